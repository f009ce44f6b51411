"""Tensors' names as training tools leave them, brought back to those that transformers writes."""

from collections.abc import Mapping
from typing import TypeVar

from smolship.checkpoint.architecture import EMBEDDING
from smolship.errors import InputError

WRAPPERS = {
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing",
}
"""Parts that a wrapper puts into the names of what it wraps, wherever that is; no model of transformers has them."""
PREFIXES = ("module.", "_forward_module.", "model.")
"""What stands before all names if a wrapped model was saved: by DataParallel, DeepSpeed, or a class that holds it."""

_BARE = "embed_tokens.weight"
_HEAD = "lm_head."
_UNMERGED = (".base_layer.", ".lora_A.", ".lora_B.", ".lora_embedding_A", ".lora_embedding_B")
_PEFT = "base_model.model."
_META = "tok_embeddings.weight"

Place = TypeVar("Place")


def plain_names(place: str, found: Mapping[str, Place]) -> tuple[dict[str, Place], tuple[str, ...]]:
    """The same tensors under transformers' names, and a sentence for what was taken off or put before.

    `InputError` for names that have no single meaning: an adapter beside its base, two tensors that come to one name.
    """
    _refuse_unmerged(place, found)
    named, taken = unwrapped(place, found)
    notes = [*taken]
    while EMBEDDING not in named and (prefix := _prefix_of(named)) is not None:
        named = {name.removeprefix(prefix): one for name, one in named.items()}
        notes.append(f"the names of all tensors begin with {prefix!r}, which was taken off")
    if EMBEDDING not in named and _BARE in named:
        named = {name if name.startswith(_HEAD) else f"model.{name}": one for name, one in named.items()}
        notes.append("the names of the tensors lack 'model.', as a LlamaModel saves them: it was put before them")
    if EMBEDDING not in named:
        _refuse_others(place, named)
    return named, tuple(notes)


def _refuse_unmerged(place: str, found: Mapping[str, object]) -> None:
    for name in sorted(found):
        if name.startswith(_PEFT) or any(part in name for part in _UNMERGED):
            raise InputError(
                f"{place} holds {name}, as PEFT names the tensors of a model whose adapter is not merged: "
                "save what model.merge_and_unload() gives, or give the folder that model.save_pretrained() writes"
            )


def unwrapped(place: str, found: Mapping[str, Place]) -> tuple[dict[str, Place], tuple[str, ...]]:
    """Without the parts of `WRAPPERS`, and a note for each that was there; `InputError` if two come to one name."""
    named: dict[str, Place] = {}
    dropped: set[str] = set()
    for name, one in found.items():
        parts = name.split(".")
        dropped |= WRAPPERS.keys() & parts
        plain = ".".join(part for part in parts if part not in WRAPPERS)
        if plain in named:
            raise InputError(
                f"{place} holds {plain} twice, once as {name}: save the model again after taking it out of its wrapper"
            )
        named[plain] = one
    return named, tuple(
        f"the names of tensors have {part!r} in them, as {tool} leaves them, which was taken out"
        for part, tool in WRAPPERS.items()
        if part in dropped
    )


def _prefix_of(names: Mapping[str, object]) -> str | None:
    """The one of `PREFIXES` that all names have, if they have one."""
    return next((prefix for prefix in PREFIXES if names and all(name.startswith(prefix) for name in names)), None)


def _refuse_others(place: str, names: Mapping[str, object]) -> None:
    """Names of another layout, if they are known or end as they should."""
    if _META in names:
        raise InputError(
            f"{place} holds {_META} and its like, which is Meta's layout, wanted that of transformers: "
            "convert it with transformers' convert_llama_weights_to_hf.py"
        )
    for name in sorted(names):
        if name.endswith(f".{EMBEDDING}"):
            prefix = name.removesuffix(EMBEDDING)
            raise InputError(
                f"{place} names its tensors {prefix}model.…, wanted model.…: "
                f"save the language model inside it, {prefix.removesuffix('.')}, by itself"
            )
