"""What every tokenizer must be, wherever it was read."""

from collections.abc import Sequence

from smolship.checkpoint.architecture import Architecture
from smolship.errors import InputError


def require_whole(file: str, tokens: Sequence[str], merges: Sequence[str], architecture: Architecture) -> None:
    """`InputError` unless there is one token per embedding row, no token twice, and every merge joins known tokens."""
    if len(tokens) != architecture.vocabulary:
        raise InputError(
            f"{file} has {len(tokens)} tokens, wanted {architecture.vocabulary}, the vocabulary size of the model: "
            "give the tokenizer that this model was trained with"
        )
    known = set(tokens)
    if len(known) != len(tokens):
        raise InputError(f"{file} has {len(tokens) - len(known)} tokens twice: give the model's own tokenizer")
    for rule in merges:
        left, _, right = rule.partition(" ")
        if not {left, right, left + right} <= known:
            raise InputError(f"{file} merges {rule!r}, not all of it in the vocabulary: give the model's own tokenizer")
    for role, index in (("bos", architecture.bos_id), ("eos", architecture.eos_id), ("pad", architecture.pad_id)):
        if not 0 <= index < len(tokens):
            raise InputError(f"the {role} token id is {index}, wanted one below {len(tokens)}: repair config.json")
