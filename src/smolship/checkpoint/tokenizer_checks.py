"""What every tokenizer must be, wherever it was read."""

from collections.abc import Mapping, Sequence

from smolship.errors import InputError


def by_row(file: str, found: Mapping[int, str], rows: int) -> tuple[tuple[str, ...], frozenset[int], tuple[str, ...]]:
    """A token for each row of the embedding, the rows that no text stands for, and a note if there are any.

    Vocabularies are padded to a multiple of 64, and tokenizers have gaps: such a row gets llama.cpp's placeholder.
    `InputError` if more tokens than rows are there.
    """
    beyond = sorted(index for index in found if not 0 <= index < rows)
    if beyond:
        raise InputError(
            f"{file} has {len(found)} tokens up to id {beyond[-1]}, wanted ids below {rows}, the vocabulary size of "
            "the model: give the tokenizer that this model was trained with"
        )
    spare = frozenset(range(rows)) - found.keys()
    notes = (f"{len(spare)} of the embedding's {rows} rows stand for no text: they stay, and are marked unused",)
    return tuple(found.get(index, f"[PAD{index}]") for index in range(rows)), spare, notes if spare else ()


def require_whole(file: str, tokens: Sequence[str], merges: Sequence[str]) -> None:
    """`InputError` unless no token is there twice and every merge joins known tokens."""
    known = set(tokens)
    if len(known) != len(tokens):
        raise InputError(f"{file} has {len(tokens) - len(known)} tokens twice: give the model's own tokenizer")
    for rule in merges:
        left, _, right = rule.partition(" ")
        if not {left, right, left + right} <= known:
            raise InputError(f"{file} merges {rule!r}, not all of it in the vocabulary: give the model's own tokenizer")
