"""What stands beside `tokenizer.json` and can say the same or something else: roles, and added tokens once more."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smolship.checkpoint.chat.files import SETTINGS
from smolship.checkpoint.folder.json_file import read_object
from smolship.checkpoint.token_ids import NamedRoles
from smolship.checkpoint.tokenizer import STANDARD_ROLES
from smolship.errors import InputError

_OLDER_ROLES, _OLDER_TOKENS = "special_tokens_map.json", "added_tokens.json"
_FURTHER = ("sep_token", "cls_token", "mask_token")
_LISTS = ("additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens")
"""transformers 4 has the first two, 5 the last two; a table among them names tokens for chat templates"""
MOVING = ("lstrip", "rstrip", "single_word")
"""flags of an added token that llama.cpp cannot do"""


def read_settings(folder: Path) -> dict[str, Any]:
    """`tokenizer_config.json`, or nothing."""
    file = folder / SETTINGS
    return read_object(file) if file.exists() else {}


def named_roles(folder: Path, settings: Mapping[str, Any], tokens: Mapping[str, int]) -> tuple[NamedRoles, list[str]]:
    """The roles that are spelled out, and a note for each that files spell differently or that no token plays.

    transformers, 4 and 5, lets `special_tokens_map.json` win over a `tokenizer_config.json` that lists no added tokens.
    """
    older = folder / _OLDER_ROLES
    spelled, mapped = _roles_in(settings), _roles_in(read_object(older) if older.exists() else {})
    wins = "added_tokens_decoder" not in settings
    taken = _OLDER_ROLES if wins else SETTINGS
    notes = [
        f"{_OLDER_ROLES} has {role} {mapped[role]!r}, {SETTINGS} {spelled[role]!r}: {taken} is taken, as by "
        "transformers"
        for role in STANDARD_ROLES
        if role in mapped and role in spelled and mapped[role] != spelled[role]
    ]
    listed = [(entry, token) for entry in _LISTS for token in _tokens_of(settings.get(entry))]
    notes += [
        f"{SETTINGS} lists {token!r} in {entry}, which is no token of the tokenizer: it is left out"
        for entry, token in listed
        if token not in tokens
    ]
    own = {role: token for role, token in _own_names(settings).items() if token in tokens}
    if wins and mapped:
        return NamedRoles(spelled | mapped | own, _OLDER_ROLES), notes
    return NamedRoles(spelled | own), notes


def require_same_added(folder: Path, settings: Mapping[str, Any], added: Mapping[int, str]) -> None:
    """`InputError` if another file gives an added token another id or flag, or lists one that is not there."""
    older = folder / _OLDER_TOKENS
    decoder = {int(index): entry for index, entry in settings.get("added_tokens_decoder", {}).items()}
    encoder = {int(index): {"content": token} for token, index in _object(older).items()}
    for file, listed in ((SETTINGS, decoder), (_OLDER_TOKENS, encoder)):
        for index, entry in listed.items():
            token, moving = entry["content"], [flag for flag in MOVING if entry.get(flag)]
            if added.get(index) != token:
                raise InputError(
                    f"{folder}/{file} lists {token!r} as token {index}, tokenizer.json has {added.get(index)!r} there: "
                    "give both files of the same tokenizer"
                )
            if moving:
                raise InputError(
                    f"{folder}/{file} gives {token!r} {moving[0]}, tokenizer.json does not, and llama.cpp cannot do "
                    "it: take it out if the model was trained without"
                )


def _roles_in(settings: Mapping[str, Any]) -> dict[str, str | None]:
    """Each role's token, spelled as text or as an object with its content."""
    named = {role: settings[role] for role in (*STANDARD_ROLES, *_FURTHER) if role in settings}
    return {role: _spelled(value) for role, value in named.items() if role in STANDARD_ROLES or value is not None}


def _own_names(settings: Mapping[str, Any]) -> dict[str, str | None]:
    """Tokens by names of the checkpoint's own, which chat templates may use."""
    tables = [settings[entry] for entry in _LISTS if isinstance(settings.get(entry), dict)]
    return {str(name): _spelled(value) for table in tables for name, value in table.items() if str(name).isidentifier()}


def _tokens_of(listed: Any) -> list[str | None]:
    values = listed.values() if isinstance(listed, dict) else listed if isinstance(listed, list) else ()
    return [_spelled(value) for value in values]


def _spelled(value: Any) -> str | None:
    return value.get("content") if isinstance(value, dict) else value


def _object(file: Path) -> dict[str, Any]:
    return read_object(file) if file.exists() else {}
