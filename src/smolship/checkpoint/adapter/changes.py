"""What an adapter's tensors do to those of its base: each is a part of one change, or an error that names it."""

from collections import defaultdict
from collections.abc import Mapping

from smolship.checkpoint.adapter.change import Change, LowRank
from smolship.checkpoint.adapter.config import AdapterConfig
from smolship.checkpoint.adapter.shapes import require_shapes
from smolship.checkpoint.architecture import EMBEDDING, HEAD, Architecture
from smolship.checkpoint.folder.safetensors_file import STORED, StoredTensor
from smolship.errors import InputError

_PREFIX = "base_model.model."
_PARTS = (
    # the end of a stored name, the part it is; the more telling ends first
    (".lora_A.weight", "right"),
    (".lora_B.weight", "left"),
    (".lora_embedding_A", "left_t"),
    (".lora_embedding_B", "right_t"),
    (".lora_magnitude_vector", "magnitude"),
    (".lora_magnitude_vector.weight", "magnitude"),
    (".token_adapter.trainable_tokens_delta", "rows"),
    (".token_adapter.base_layer.weight", "whole"),
    (".modules_to_save.weight", "whole"),
    (".base_layer.weight", "whole"),
    (".original_module.weight", "before"),
    (".weight", "whole"),
)
_PAIRS = {frozenset(("left", "right")): False, frozenset(("left_t", "right_t")): True}


def changes_of(
    config: AdapterConfig, stored: Mapping[str, StoredTensor], architecture: Architecture
) -> dict[str, Change]:
    """Each changed tensor of the base by its name, the head's as `lm_head.weight` although it may be tied there.

    `InputError` names a stored tensor that is part of no change, a part that is missing, a shape that does not fit the
    base, and a rank that config and tensors state differently.
    """
    grouped: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, place in sorted(stored.items()):
        module, part = _part_of(name, place)
        grouped[module][part].append(name)
    shapes = architecture.shapes() | {HEAD: architecture.shapes()[EMBEDDING]}
    changes = {}
    for module, parts in grouped.items():
        if f"{module}.weight" not in shapes:
            name = next(iter(parts.values()))[0]
            raise InputError(
                f"{stored[name].path} holds {name}, and its base has no {module}: "
                "name the base that it was trained on with --base"
            )
        change = _change(config, module, parts, stored)
        if change != Change():
            changes[f"{module}.weight"] = change
    vocabulary = _vocabulary(changes, stored, architecture)
    for name, change in changes.items():
        resized = name in (EMBEDDING, HEAD)
        require_shapes(config, name, change, stored, (vocabulary, architecture.hidden) if resized else shapes[name])
    return changes


def vocabulary_of(changes: Mapping[str, Change], stored: Mapping[str, StoredTensor], architecture: Architecture) -> int:
    """Rows of the embedding after the changes."""
    embedding = changes.get(EMBEDDING, Change()).whole
    return architecture.vocabulary if embedding is None else stored[embedding].shape[0]


def _part_of(name: str, stored: StoredTensor) -> tuple[str, str]:
    """The module that a stored tensor belongs to, and the part of its change that it is."""
    if stored.storage not in STORED:
        raise InputError(f"{stored.path} stores {name} as {stored.storage}, wanted {', '.join(STORED)}: save it again")
    if not stored.shape:
        raise InputError(f"{stored.path} holds {name}, which is a single number, wanted a tensor: save it again")
    plain = name.removeprefix(_PREFIX)
    for end, part in _PARTS:
        if plain.endswith(end) and plain != name:
            return plain.removesuffix(end), part
    raise InputError(
        f"{stored.path} holds {name}, which is no part of a LoRA adapter of PEFT: "
        "merge it with the tool that wrote it and give the folder that is saved"
    )


def _change(
    config: AdapterConfig, module: str, parts: Mapping[str, list[str]], stored: Mapping[str, StoredTensor]
) -> Change:
    twice = next((names for part, names in parts.items() if part != "whole" and len(names) > 1), None)
    if twice is not None or ("before" in parts and "whole" not in parts):
        raise InputError(
            f"the adapter has {' and '.join(twice or parts['before'])}, which nothing is to be made of: save it again"
        )
    rows = next(iter(parts.get("rows", ())), None)
    wholes = parts.get("whole", [])
    pair = frozenset(parts) & frozenset().union(*_PAIRS)
    if pair and pair not in _PAIRS:
        raise InputError(
            f"the adapter has {parts[min(pair)][0]} and not the other matrix of {module}: fetch or save it again"
        )
    low_rank = _low_rank(config, module, parts, transposed=_PAIRS[pair]) if pair else None
    if "magnitude" in parts and low_rank is None:
        raise InputError(f"the adapter has {parts['magnitude'][0]} and no matrices of {module}: save it again")
    indices = _indices(config, module, rows, stored)
    return Change(wholes[0] if wholes else None, tuple(wholes[1:]), rows, indices, low_rank)


def _low_rank(config: AdapterConfig, module: str, parts: Mapping[str, list[str]], *, transposed: bool) -> LowRank:
    if not config.targets_module(module):
        raise InputError(
            f"{config.place} has target_modules {config.targets!r}, and its tensors change {module}, which PEFT would "
            "leave out: give config and tensors of the same adapter"
        )
    magnitude = parts.get("magnitude", [None])[0]
    if config.dora != (magnitude is not None):
        found = "no magnitudes" if magnitude is None else magnitude
        raise InputError(
            f"{config.place} has use_dora {str(config.dora).lower()}, and there is {found} for {module}: "
            "give config and tensors of the same adapter"
        )
    left, right = (parts[f"{side}_t" if transposed else side][0] for side in ("left", "right"))
    return LowRank(left, right, transposed, config.scaling_of(module), magnitude)


def _indices(
    config: AdapterConfig, module: str, rows: str | None, stored: Mapping[str, StoredTensor]
) -> tuple[int, ...]:
    if rows is None:
        return ()
    ends = (module, EMBEDDING.removesuffix(".weight"))  # a tied head shares the embedding's
    named = (ids for end in ends for key, ids in config.token_rows.items() if end == key or end.endswith(f".{key}"))
    indices = next(named, ())
    if len(indices) != stored[rows].shape[0]:
        raise InputError(
            f"{config.place} has {len(indices)} trainable_token_indices for {module}, and {rows} has "
            f"{stored[rows].shape[0]} rows: give config and tensors of the same adapter"
        )
    return indices


def _vocabulary(changes: Mapping[str, Change], stored: Mapping[str, StoredTensor], architecture: Architecture) -> int:
    """Rows of the embedding; `InputError` if a head that is stored has other ones."""
    rows = vocabulary_of(changes, stored, architecture)
    head = changes.get(HEAD, Change()).whole
    if head is not None and stored[head].shape[0] != rows:
        raise InputError(
            f"{stored[head].path} holds a head of {stored[head].shape[0]} rows, and the embedding has {rows}, wanted "
            "as many: save the adapter with save_embedding_layers=True"
        )
    return rows
