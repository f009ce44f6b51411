"""`adapter_config.json`: what PEFT says of a LoRA adapter beside its tensors.

Source: `LoraConfig` and `get_pattern_key` of PEFT 0.21.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from smolship.checkpoint.folder.json_file import read_object
from smolship.errors import InputError

ADAPTER_CONFIG = "adapter_config.json"

Number = TypeVar("Number", int, float)

_BY_PEFT = "merge it with PEFT (model.merge_and_unload()) and give the folder that is saved"
_PROMPTS = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "ADAPTION_PROMPT", "CPT")
"""types that put vectors before the text or beside attention, which no weights can hold"""
_WANTED: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("task_type", (None, "CAUSAL_LM")),
    ("bias", (None, "none")),
    ("lora_bias", (None, False)),
    # The others change the base's own weights before training: PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA.
    ("init_lora_weights", (None, True, False, "gaussian", "eva", "orthogonal", "mica")),
)
_READ = (
    "peft_type", "base_model_name_or_path", "revision", "r", "lora_alpha", "rank_pattern", "alpha_pattern",
    "use_rslora", "use_dora", "fan_in_fan_out", "target_modules", "trainable_token_indices", "ensure_weight_tying",
)  # fmt: skip
_OF_TRAINING = (
    "auto_mapping", "base_model_class", "parent_library", "inference_mode", "peft_version", "lora_dropout",
    "layers_pattern", "layers_to_transform", "exclude_modules", "modules_to_save", "eva_config", "corda_config",
    "loftq_config", "lora_ga_config", "megatron_config", "megatron_core", "qalora_group_size",
    "runtime_config",
)  # fmt: skip
"""entries that say how it was trained; what is in the tensors says the rest"""


@dataclass(frozen=True)
class AdapterConfig:
    """How an adapter's tensors change their base's."""

    place: str
    base: str | None
    """a hub id or a path, as whoever trained it named it"""
    base_revision: str | None
    rank: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    """by the ends of modules' names, which may be regular expressions"""
    rank_stabilised: bool
    dora: bool
    targets: str | tuple[str, ...] | None
    """a regular expression of whole names, or their ends"""
    head_as_embedding: bool
    """the head has the embedding's adapter, whatever `targets` says"""
    token_rows: Mapping[str, tuple[int, ...]]
    """rows trained by themselves, by the end of the module's name"""
    notes: tuple[str, ...]

    def rank_of(self, module: str) -> int:
        """The rank that the config gives a module."""
        return _by_pattern(self.rank_pattern, module, self.rank)

    def scaling_of(self, module: str) -> float:
        """What the product of a module's two matrices is multiplied by."""
        alpha, rank = _by_pattern(self.alpha_pattern, module, self.alpha), self.rank_of(module)
        return alpha / math.sqrt(rank) if self.rank_stabilised else alpha / rank

    def targets_module(self, module: str) -> bool:
        """Whether PEFT would put an adapter there."""
        if self.targets is None or self.targets == "all-linear":
            return True
        if self.head_as_embedding and module == "lm_head":
            return self.targets_module("model.embed_tokens")
        if isinstance(self.targets, str):
            return re.fullmatch(self.targets, module) is not None
        return any(module == target or module.endswith(f".{target}") for target in self.targets)


def read_adapter_config(folder: Path) -> AdapterConfig:
    """The config in `folder`; `InputError` if it is of another type than LoRA, or says what cannot be merged."""
    place, config = str(folder / ADAPTER_CONFIG), read_object(folder / ADAPTER_CONFIG)
    _require_lora(place, config)
    number = (int, float)
    note = f"{place} has fan_in_fan_out true, which PEFT leaves out of account for linear layers"
    return AdapterConfig(
        place=place,
        base=_entry(place, config, "base_model_name_or_path", (str,)) or None,
        base_revision=_entry(place, config, "revision", (str,)) or None,
        rank=_positive(place, "r", _entry(place, config, "r", (int,), 8)),
        alpha=_entry(place, config, "lora_alpha", number, 8),
        rank_pattern=_pattern(place, config, "rank_pattern", (int,)),
        alpha_pattern=_pattern(place, config, "alpha_pattern", number),
        rank_stabilised=bool(config.get("use_rslora")),
        dora=bool(config.get("use_dora")),
        targets=_targets(place, config),
        head_as_embedding=bool(config.get("ensure_weight_tying")),
        token_rows=_token_rows(place, config),
        notes=(note,) if config.get("fan_in_fan_out") else (),
    )


def _require_lora(place: str, config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind in _PROMPTS:
        raise InputError(f"{place} is of type {kind}, which no weights can hold, wanted LORA: train a LoRA instead")
    if kind != "LORA":
        raise InputError(f"{place} is of type {kind}, wanted LORA: {_BY_PEFT}")
    for entry, wanted in _WANTED:
        if config.get(entry) not in wanted:
            raise InputError(
                f"{place} has {entry} {config[entry]!r}, wanted {' or '.join(map(repr, wanted))}: {_BY_PEFT}"
            )
    known = {*_READ, *_OF_TRAINING, *(entry for entry, _ in _WANTED)}
    for entry, value in config.items():
        if entry not in known and value:
            raise InputError(f"{place} has {entry} {value!r}, which is not known here: {_BY_PEFT}")


def _entry(place: str, config: Mapping[str, Any], entry: str, kinds: tuple[type, ...], default: Any = None) -> Any:
    value = config.get(entry)
    if value is None:
        return default
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise InputError(f"{place} has {entry} {value!r}, wanted {kinds[-1].__name__}: save the adapter again")
    return value


def _positive(place: str, entry: str, value: int) -> int:
    if value < 1:
        raise InputError(f"{place} has {entry} {value}, wanted a positive integer: save the adapter again")
    return value


def _pattern(place: str, config: Mapping[str, Any], entry: str, kinds: tuple[type, ...]) -> Mapping[str, Any]:
    found = _entry(place, config, entry, (dict,), {})
    for key, value in found.items():
        _entry(place, {f"{entry}.{key}": value}, f"{entry}.{key}", kinds)
        _require_expression(place, entry, key)
        if entry == "rank_pattern":
            _positive(place, f"{entry}.{key}", value)
    return dict(found)


def _by_pattern(pattern: Mapping[str, Number], module: str, otherwise: Number) -> Number:
    """The first entry whose key is the end of a module's name, from a dot on, as PEFT matches."""
    return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", module)), otherwise)


def _require_expression(place: str, entry: str, expression: str) -> None:
    try:
        re.compile(expression)
    except re.error as error:
        raise InputError(f"{place} has {entry} {expression!r}, no regular expression ({error}): repair it") from error


def _targets(place: str, config: Mapping[str, Any]) -> str | tuple[str, ...] | None:
    found = _entry(place, config, "target_modules", (str, list))
    if isinstance(found, str):
        _require_expression(place, "target_modules", found)
    return tuple(map(str, found)) if isinstance(found, list) else found


def _token_rows(place: str, config: Mapping[str, Any]) -> Mapping[str, tuple[int, ...]]:
    found = _entry(place, config, "trainable_token_indices", (list, dict), {})
    rows = found if isinstance(found, dict) else {"embed_tokens": found}
    for module, indices in rows.items():
        if not isinstance(indices, list) or not all(isinstance(one, int) and one >= 0 for one in indices):
            raise InputError(
                f"{place} has trainable_token_indices {indices!r} for {module}, wanted token ids: save it again"
            )
    return {str(module): tuple(indices) for module, indices in rows.items()}
