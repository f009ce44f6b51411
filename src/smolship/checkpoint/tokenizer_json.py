"""SmolLM2's tokenizer out of a folder's `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from smolship.checkpoint.json_file import read_object
from smolship.checkpoint.token_ids import ROLES, NamedRoles, StatedIds, TokenIds, assign
from smolship.checkpoint.tokenizer import AddedToken, Tokenizer
from smolship.checkpoint.tokenizer_checks import by_row, require_whole
from smolship.checkpoint.tokenizer_pipeline import require_same_ids, splitting
from smolship.errors import InputError


def read_tokenizer_folder(folder: Path, rows: int, stated: StatedIds, max_positions: int) -> tuple[Tokenizer, TokenIds]:
    """The tokenizer in `folder` for an embedding of so many rows, and the ids that its places settle on.

    `InputError` if a file is missing or malformed, or it is not SmolLM2's kind. Only vocabulary, merges, added tokens
    and the way of splitting are taken: the pipeline is checked to do nothing else, then written anew.
    """
    path = folder / "tokenizer.json"
    definition = read_object(path)
    settings_file = folder / "tokenizer_config.json"
    settings = read_object(settings_file) if settings_file.exists() else {}
    try:
        pre = splitting(path, definition)
        found, merges, added = _contents(path, definition)
        _require_same_added(folder, settings, {token.id: token.text for token in added})
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path} is not a tokenizer of the tokenizers library ({error!r}): fetch it again") from error
    found, added, unused = _within(found, added, rows)
    tokens, spare, padded = by_row(str(path), found, rows)
    require_whole(str(path), tokens, merges)
    template, templates = _chat_template(folder, settings)
    tokenizer = Tokenizer(tokens, merges, added, {}, template, max_positions, pre=pre, spare=spare)
    require_same_ids(path, definition, tokenizer)
    named, differing = _named(folder, settings)
    tokenizer, ids = assign(tokenizer, stated, named, str(folder))
    return tokenizer, replace(ids, notes=(*_split_note(pre), *padded, *unused, *templates, *differing, *ids.notes))


def _split_note(pre: str) -> tuple[str, ...]:
    note = (
        "tokenizer.json splits text as GPT-2's does, where SmolLM2 takes digits one by one (transformers 5 writes that "
        "for GPT2Tokenizer): it is taken as it is, which is right if the model was trained so"
    )
    return () if pre == "smollm" else (note,)


def _contents(
    path: Path, definition: Mapping[str, Any]
) -> tuple[dict[int, str], tuple[str, ...], tuple[AddedToken, ...]]:
    """Tokens by id, merges, and the added tokens in id order."""
    model = definition["model"]
    added = tuple(
        AddedToken(int(entry["id"]), str(entry["content"]), bool(entry["special"]))
        for entry in sorted(definition.get("added_tokens", ()), key=lambda entry: entry["id"])
    )
    for entry in definition.get("added_tokens", ()):
        moving = [flag for flag in ("lstrip", "rstrip", "single_word") if entry.get(flag)]
        if moving:
            raise InputError(
                f"{path}: the added token {entry['content']} has {moving[0]}, which llama.cpp cannot do: "
                f"set {moving[0]} to false there and in tokenizer_config.json, if the model can do without it"
            )
    ids = {int(index): str(token) for token, index in model["vocab"].items()}
    ids |= {token.id: token.text for token in added}
    merges = tuple(rule if isinstance(rule, str) else " ".join(rule) for rule in model["merges"])
    return ids, merges, added


def _within(
    found: dict[int, str], added: tuple[AddedToken, ...], rows: int
) -> tuple[dict[int, str], tuple[AddedToken, ...], tuple[str, ...]]:
    """Without the added tokens beyond the embedding's rows: the model cannot have seen one, and a note says so."""
    beyond = [token for token in added if token.id >= rows]
    kept = {index: text for index, text in found.items() if index not in {token.id for token in beyond}}
    notes = tuple(
        f"tokenizer.json has {token.text} with id {token.id}, and the embedding {rows} rows: the token is left out"
        for token in beyond
    )
    return kept, tuple(token for token in added if token.id < rows), notes


def _require_same_added(folder: Path, settings: Mapping[str, Any], added: Mapping[int, str]) -> None:
    """`InputError` if another file gives an added token another id or lists one that is not there."""
    older = folder / "added_tokens.json"
    decoder = {int(index): entry["content"] for index, entry in settings.get("added_tokens_decoder", {}).items()}
    encoder = {int(index): token for token, index in (read_object(older) if older.exists() else {}).items()}
    for file, listed in (("tokenizer_config.json", decoder), (older.name, encoder)):
        for index, token in listed.items():
            if added.get(index) != token:
                raise InputError(
                    f"{folder}/{file} lists {token!r} as token {index}, tokenizer.json has {added.get(index)!r} there: "
                    "give both files of the same tokenizer"
                )


def _named(folder: Path, settings: Mapping[str, Any]) -> tuple[NamedRoles, tuple[str, ...]]:
    """The roles that are spelled out, and a note for each that two files spell differently.

    transformers, 4 and 5, lets `special_tokens_map.json` win over a `tokenizer_config.json` that lists no added tokens.
    """
    older = folder / "special_tokens_map.json"
    spelled, mapped = _roles_in(settings), _roles_in(read_object(older) if older.exists() else {})
    wins = "added_tokens_decoder" not in settings
    taken = older.name if wins else "tokenizer_config.json"
    notes = tuple(
        f"{older.name} has {role} {mapped[role]!r}, tokenizer_config.json {spelled[role]!r}: {taken} is taken, as by "
        "transformers"
        for role in ROLES
        if role in mapped and role in spelled and mapped[role] != spelled[role]
    )
    if wins and mapped:
        return NamedRoles(spelled | mapped, older.name), notes
    return NamedRoles(spelled), notes


def _roles_in(settings: Mapping[str, Any]) -> dict[str, str | None]:
    """Each role's token, spelled as text or as an object with its content."""
    named = {role: settings[role] for role in ROLES if role in settings}
    return {role: value.get("content") if isinstance(value, dict) else value for role, value in named.items()}


def _chat_template(folder: Path, settings: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """The chat template, and a note if two places have different ones.

    It stands in its own file, as newer transformers write it, which wins, or in `tokenizer_config.json`.
    """
    file = folder / "chat_template.jinja"
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named ones: the one for plain conversations
        entries = [entry for entry in template if isinstance(entry, dict) and entry.get("name") == "default"]
        template = entries[-1].get("template") if entries else None
    if template is not None and not isinstance(template, str):
        raise InputError(f"{folder}/tokenizer_config.json has a chat_template that is no text: repair it")
    if not file.is_file():
        return template, ()
    try:
        own = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text (byte {error.start}): fetch the file again") from error
    two = f"{file.name} and tokenizer_config.json have different chat templates: the first is taken, as by transformers"
    return own, (two,) if template not in (None, own) else ()
