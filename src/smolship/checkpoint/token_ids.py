"""Which tokens begin, end and pad a text: what configs, tokenizer and chat template say of it, held together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from smolship.checkpoint.tokenizer import STANDARD_ROLES, Tokenizer
from smolship.errors import InputError

_ANSWER = "an answer"


@dataclass(frozen=True)
class Stated:
    """The ids that one place says end an answer."""

    place: str
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class StatedIds:
    """What a checkpoint's numbers say; `None` where they say nothing."""

    bos: int | None
    pad: int | None
    ends: Stated
    """where transformers' `generate` and llama.cpp look"""
    ignored: Stated = Stated("config.json")
    """the same fact in a place that loses to that one"""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NamedRoles:
    """What a tokenizer's settings spell out: the token that plays a role, or `None` for a role that they deny."""

    roles: Mapping[str, str | None]
    place: str = "tokenizer_config.json"


@dataclass(frozen=True)
class TokenIds:
    """The ids of one checkpoint, and a sentence for each place that says otherwise."""

    bos: int
    ends: tuple[int, ...]
    """every id that ends an answer, the one that the chat template writes after a turn first"""
    pad: int
    notes: tuple[str, ...]
    said: tuple[Stated, ...] = ()
    """what each place says ends an answer"""


NO_IDS = TokenIds(bos=0, ends=(0,), pad=0, notes=())
"""of a file of which only the shapes are wanted"""


def assign(tokenizer: Tokenizer, stated: StatedIds, named: NamedRoles, place: str) -> tuple[Tokenizer, TokenIds]:
    """The tokenizer with its roles, and the ids; `InputError` if nothing ends an answer or an id is beyond the tokens.

    Chat templates are given the named roles, as by transformers; ids fill in the rest. An answer ends at every token
    that any of the places names: one that runs on past its turn is worse.
    """
    ids = {text: index for index, text in enumerate(tokenizer.tokens)}
    notes = [
        f"{named.place} has {role} {text!r}, which is no token of the tokenizer: it is left out"
        for role, text in named.roles.items()
        if text is not None and text not in ids
    ]
    _require_tokens(stated, tokenizer, place)
    roles = _roles(tokenizer, stated, {role: text for role, text in named.roles.items() if text is None or text in ids})
    turn_end = end_of_turn(replace(tokenizer, roles=roles))
    said = [Stated(named.place, (ids[text],)) for text in [named.roles.get("eos_token")] if text in ids]
    said += [Stated("the chat template", (turn_end,))] if turn_end is not None else []
    ends, differences = _settled(stated, said, tokenizer)
    if not ends:
        raise InputError(
            f"{place} names no token that ends an answer, wanted eos_token_id in its config.json: add the one that it "
            "was trained with"
        )
    ends = tuple(sorted(ends, key=lambda index: index != turn_end))
    first = tokenizer.tokens[ends[0]]
    bos = roles.get("bos_token")
    if bos is None:
        notes.append(f"no place names a token that begins a text: {first} stands for it, and nothing writes it")
    elif stated.bos is not None and ids[bos] != stated.bos:
        notes.append(
            f"config.json begins a text with {tokenizer.tokens[stated.bos]}, {named.place} with {bos}: chat "
            "templates are given the latter, and nothing else writes either"
        )
    if stated.pad is not None and ids[roles["pad_token"]] != stated.pad:
        notes.append(
            f"config.json pads with {tokenizer.tokens[stated.pad]}, {named.place} with {roles['pad_token']}: the "
            "latter is taken, as by transformers' tokenizer"
        )
    roles = dict.fromkeys(("eos_token", "pad_token", "unk_token"), first) | roles
    settled = TokenIds(
        ids[bos or first], ends, ids[roles["pad_token"]], (*stated.notes, *notes, *differences), _sayings(stated, said)
    )
    return replace(tokenizer, roles={role: roles[role] for role in (*STANDARD_ROLES, *roles) if role in roles}), settled


def _require_tokens(stated: StatedIds, tokenizer: Tokenizer, place: str) -> None:
    for what, index in (("bos", stated.bos), ("pad", stated.pad), *(("eos", one) for one in stated.ends.ids)):
        if index is None:
            continue
        if not 0 <= index < len(tokenizer.tokens):
            raise InputError(
                f"{place} has {what} token id {index}, wanted one below {len(tokenizer.tokens)}: repair its config.json"
            )
        if what == "eos" and index in tokenizer.spare:
            raise InputError(
                f"{place} ends an answer at id {index}, which no token of its tokenizer has: repair its config.json"
            )


def _roles(tokenizer: Tokenizer, stated: StatedIds, named: Mapping[str, str | None]) -> dict[str, str]:
    """What plays each role: the token that is named, else the one of that id; a role that is denied has none."""
    numbers = {"bos_token": stated.bos, "eos_token": next(iter(stated.ends.ids), None), "pad_token": stated.pad}
    by_id = {role: tokenizer.tokens[index] for role, index in numbers.items() if index is not None}
    spelled = {role: named.get(role, by_id.get(role)) for role in (*STANDARD_ROLES, *named)}
    return {role: text for role, text in spelled.items() if text is not None}


def end_of_turn(tokenizer: Tokenizer) -> int | None:
    """The id of the added token that the chat template writes after an answer; `None` if it writes none."""
    if tokenizer.chat_template is None:
        return None
    turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": _ANSWER}]
    try:
        after = tokenizer.render_chat(turns, add_generation_prompt=False).rpartition(_ANSWER)[2].lstrip()
    except InputError:  # a template that does not take such a conversation says nothing of how its turns end
        return None
    found = [token for token in tokenizer.added if after.startswith(token.text)]
    return max(found, key=lambda token: len(token.text)).id if found else None


def _sayings(stated: StatedIds, said: Sequence[Stated]) -> tuple[Stated, ...]:
    also = [stated.ignored] if stated.ignored.place != stated.ends.place else []
    return tuple(one for one in (stated.ends, *also, *said) if one.ids)


def _settled(stated: StatedIds, said: Sequence[Stated], tokenizer: Tokenizer) -> tuple[tuple[int, ...], list[str]]:
    """Every id that ends an answer, and a note for each place that says otherwise."""

    def spelled(ids: Sequence[int]) -> str:
        return " and ".join(tokenizer.tokens[index] for index in ids)

    ends, notes = list(stated.ends.ids), []
    for one in said:
        new = [index for index in one.ids if index not in ends]
        if new and stated.ends.ids:
            notes.append(
                f"{stated.ends.place} ends an answer at {spelled(stated.ends.ids)}, {one.place} at {spelled(one.ids)}: "
                "it ends at each of them"
            )
        ends += new
    lost = [index for index in stated.ignored.ids if index not in ends]
    if lost:
        names = ", ".join(tokenizer.tokens[i] if 0 <= i < len(tokenizer.tokens) else str(i) for i in lost)
        notes.append(
            f"{stated.ignored.place} ends an answer at {names}, {stated.ends.place} does not: the latter is taken, as "
            "by transformers"
        )
    return tuple(ends), notes
