"""SmolLM2's architecture out of `config.json` and `generation_config.json` (transformers' `LlamaConfig`)."""

from collections.abc import Mapping
from typing import Any

from smolship.checkpoint.architecture import Architecture
from smolship.errors import InputError

_FIXED: tuple[tuple[str, Any, Any], ...] = (
    # entry, what it is when absent (LlamaConfig's default), what SmolLM2 has
    ("hidden_act", "silu", "silu"),
    ("attention_bias", False, False),
    ("mlp_bias", False, False),
    ("rope_interleaved", False, False),
    ("rope_scaling", None, None),
)


def read_config(config: Mapping[str, Any], generation: Mapping[str, Any], place: str) -> Architecture:
    """The numbers of the model in `place`; `InputError` if it is no SmolLM2-shaped Llama or an entry is missing or odd.

    Token ids come from the generation config where it has them, as in transformers' `generate`.
    """
    _require_llama(config, place)
    for entry, default, wanted in _FIXED:
        found = config.get(entry, default)
        if found != wanted:
            raise InputError(
                f"{place}/config.json has {entry} {found!r}, wanted {wanted!r}: give a SmolLM2 or a fine-tune of one"
            )
    reader = _Reader(config, place)
    heads, hidden = reader.count("num_attention_heads"), reader.count("hidden_size")
    kv_heads = reader.count("num_key_value_heads", default=heads)
    head_dim = reader.count("head_dim", default=hidden // heads)
    if heads % kv_heads or head_dim % 2 or ("head_dim" not in config and hidden % heads):
        raise InputError(
            f"{place}/config.json has hidden_size {hidden}, {heads} heads and {kv_heads} key-value heads, wanted heads "
            "of an even width that divide the hidden size, and key-value heads that divide the heads: repair it"
        )
    ids = {**config, **{key: value for key, value in generation.items() if value is not None}}
    eos_id = _token_id(ids, "eos_token_id", place)
    return Architecture(
        vocabulary=reader.count("vocab_size"),
        hidden=hidden,
        intermediate=reader.count("intermediate_size"),
        layers=reader.count("num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        rope_theta=reader.rope_theta(),
        norm_epsilon=reader.positive("rms_norm_eps"),
        max_positions=reader.count("max_position_embeddings"),
        bos_id=_token_id(ids, "bos_token_id", place),
        eos_id=eos_id,
        pad_id=_token_id(ids, "pad_token_id", place) if ids.get("pad_token_id") is not None else eos_id,
        tied=_says_tied(config, place),
    )


def _require_llama(config: Mapping[str, Any], place: str) -> None:
    names = config.get("architectures") or []
    found = (config.get("model_type"), *(names if isinstance(names, list) else [names]))
    if found[0] != "llama" or found[1:] not in ((), ("LlamaForCausalLM",)):
        raise InputError(
            f"{place}/config.json is of a {' / '.join(map(str, found))} model, wanted llama / LlamaForCausalLM: "
            "give a SmolLM2 or a fine-tune of one"
        )


def _says_tied(config: Mapping[str, Any], place: str) -> bool:
    """What the config says; nothing is LlamaConfig's default, false."""
    value = config.get("tie_word_embeddings")
    if not isinstance(value, bool | None):
        raise InputError(f"{place}/config.json has tie_word_embeddings {value!r}, wanted true or false: repair it")
    return bool(value)


def _token_id(ids: Mapping[str, Any], entry: str, place: str) -> int:
    """One token id, the first of a list: `folder` looks for the turn's end among `end_ids`."""
    value = ids.get(entry)
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{place}/config.json has {entry} {value!r}, wanted a token's id: repair it")
    return value


def end_ids(config: Mapping[str, Any], generation: Mapping[str, Any]) -> list[int]:
    """Every id that ends generation, as the configs list them; one, as a rule."""
    value = config.get("eos_token_id") if generation.get("eos_token_id") is None else generation["eos_token_id"]
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int)]


class _Reader:
    """Numbers out of a config, each checked to be one."""

    def __init__(self, config: Mapping[str, Any], place: str) -> None:
        self.config = config
        self.place = place

    def count(self, entry: str, default: int | None = None) -> int:
        value = self.config.get(entry)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{self.place}/config.json has {entry} {value!r}, wanted a positive integer: repair it")
        return value

    def positive(self, entry: str) -> float:
        return self._positive(entry, self.config.get(entry))

    def rope_theta(self) -> float:
        """The rotary base: `rope_theta`, or inside `rope_parameters` as transformers 5 writes it."""
        parameters = self.config.get("rope_parameters")
        if parameters is None:
            return self.positive("rope_theta")
        if not isinstance(parameters, dict) or parameters.get("rope_type", "default") != "default":
            raise InputError(
                f"{self.place}/config.json has rope_parameters {parameters!r}, wanted rope_type 'default': "
                "give a SmolLM2 or a fine-tune of one"
            )
        return self._positive("rope_parameters.rope_theta", parameters.get("rope_theta"))

    def _positive(self, entry: str, value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
            raise InputError(f"{self.place}/config.json has {entry} {value!r}, wanted a positive number: repair it")
        return float(value)
