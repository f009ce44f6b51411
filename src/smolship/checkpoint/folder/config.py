"""SmolLM2's architecture out of `config.json` and `generation_config.json` (transformers' `LlamaConfig`)."""

from collections.abc import Mapping
from typing import Any

from smolship.checkpoint.architecture import Architecture
from smolship.checkpoint.folder.rope import rotary_base
from smolship.checkpoint.token_ids import NO_IDS, Stated, StatedIds, TokenIds
from smolship.errors import InputError

_FIXED: tuple[tuple[str, Any, Any], ...] = (
    # entry, what it is when absent (LlamaConfig's default), what SmolLM2 has
    ("hidden_act", "silu", "silu"),
    ("attention_bias", False, False),
    ("mlp_bias", False, False),
    ("rope_interleaved", False, False),
    ("sliding_window", None, None),
)


def read_config(config: Mapping[str, Any], place: str, ids: TokenIds = NO_IDS) -> Architecture:
    """The numbers of a model that `require_smollm2` let through; without `ids` they tell its shapes alone.

    `InputError` if an entry is missing or odd.
    """
    reader = _Reader(config, place)
    heads, hidden = reader.count("num_attention_heads"), reader.count("hidden_size")
    kv_heads = reader.count("num_key_value_heads", default=heads)
    head_dim = reader.count("head_dim", default=hidden // heads)
    if heads % kv_heads or head_dim % 2 or ("head_dim" not in config and hidden % heads):
        raise InputError(
            f"{place}/config.json has hidden_size {hidden}, {heads} heads and {kv_heads} key-value heads, wanted heads "
            "of an even width that divide the hidden size, and key-value heads that divide the heads: repair it"
        )
    return Architecture(
        vocabulary=vocabulary_of(config, place),
        hidden=hidden,
        intermediate=reader.count("intermediate_size"),
        layers=reader.count("num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        rope_theta=rotary_base(config, place),
        norm_epsilon=reader.positive("rms_norm_eps"),
        max_positions=max_positions_of(config, place),
        bos_id=ids.bos,
        end_ids=ids.ends,
        pad_id=ids.pad,
        tied=_says_tied(config, place),
    )


def require_smollm2(config: Mapping[str, Any], place: str) -> None:
    """`InputError` if the config is of another family, or has what SmolLM2 has not."""
    _require_llama(config, place)
    for entry, default, wanted in _FIXED:
        found = config.get(entry, default)
        if found != wanted:
            raise InputError(
                f"{place}/config.json has {entry} {found!r}, wanted {wanted!r}: give a SmolLM2 or a fine-tune of one"
            )


def storage_notes(config: Mapping[str, Any], stored_as: str) -> tuple[str, ...]:
    """A sentence if the config names another storage than the weights have, or two of them (transformers 4 and 5)."""
    named = {entry: config[entry] for entry in ("dtype", "torch_dtype") if config.get(entry) is not None}
    spelled = {entry: str(value).removeprefix("torch.") for entry, value in named.items()}
    if set(spelled.values()) <= {stored_as, "auto"}:
        return ()
    says = " and ".join(f"{entry} {value}" for entry, value in spelled.items())
    return (f"config.json says {says}, most weights are stored as {stored_as}: they are read as they are stored",)


def vocabulary_of(config: Mapping[str, Any], place: str) -> int:
    """Rows of the embedding."""
    return _Reader(config, place).count("vocab_size")


def max_positions_of(config: Mapping[str, Any], place: str) -> int:
    """Positions that the model was trained for."""
    return _Reader(config, place).count("max_position_embeddings")


def stated_ids(config: Mapping[str, Any], generation: Mapping[str, Any], place: str) -> StatedIds:
    """What the two configs say of special tokens; `InputError` if one of them says something that is no id.

    The generation config wins, as in transformers' `generate`. A null says nothing: SmolLM2 puts no BOS anywhere, and
    transformers' Trainer writes one where the tokenizer names none.
    """
    ids = {**config, **{key: value for key, value in generation.items() if value is not None}}
    ours, theirs = (_token_ids(one, "eos_token_id", place) for one in (config, generation))
    obeyed = Stated("generation_config.json", theirs) if theirs else Stated("config.json", ours)
    denied = "generation_config.json has eos_token_id null, config.json has one: an answer ends at that"
    notes = (denied,) if ours and "eos_token_id" in generation and not theirs else ()
    # A pad id of -1 was Llama's way to say none.
    return StatedIds(
        bos=next(iter(_token_ids(ids, "bos_token_id", place)), None),
        pad=next((index for index in _token_ids(ids, "pad_token_id", place) if index >= 0), None),
        ends=obeyed,
        ignored=Stated("config.json", ours),
        notes=notes,
    )


def _require_llama(config: Mapping[str, Any], place: str) -> None:
    names = config.get("architectures") or []
    found = (config.get("model_type"), *(names if isinstance(names, list) else [names]))
    if found[0] != "llama" or found[1:] not in ((), ("LlamaForCausalLM",), ("LlamaModel",)):
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


def _token_ids(ids: Mapping[str, Any], entry: str, place: str) -> tuple[int, ...]:
    """The ids of an entry, which is one, a list or nothing."""
    value = ids.get(entry)
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in values):
        raise InputError(f"{place}/config.json has {entry} {value!r}, wanted a token's id: repair it")
    return tuple(values)


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
        value = self.config.get(entry)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
            raise InputError(f"{self.place}/config.json has {entry} {value!r}, wanted a positive number: repair it")
        return float(value)
