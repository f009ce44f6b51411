"""SmolLM2's tokenizer out of a folder's `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from smolship.checkpoint.chat.files import chat_template_of
from smolship.checkpoint.folder.json_file import read_object
from smolship.checkpoint.folder.tokenizer_pipeline import require_same_ids, splitting
from smolship.checkpoint.folder.tokenizer_settings import MOVING, named_roles, read_settings, require_same_added
from smolship.checkpoint.token_ids import StatedIds, TokenIds, assign
from smolship.checkpoint.tokenizer import AddedToken, Tokenizer
from smolship.checkpoint.tokenizer_checks import by_row, require_whole
from smolship.errors import InputError


def read_tokenizer_folder(folder: Path, rows: int, stated: StatedIds, max_positions: int) -> tuple[Tokenizer, TokenIds]:
    """The tokenizer in `folder` for an embedding of so many rows, and the ids that its places settle on.

    `InputError` if a file is missing or malformed, or it is not SmolLM2's kind. Only vocabulary, merges, added tokens
    and the way of splitting are taken: the pipeline is checked to do nothing else, then written anew.
    """
    path = folder / "tokenizer.json"
    definition = read_object(path)
    settings = read_settings(folder)
    try:
        pre = splitting(path, definition)
        found, merges, added = _contents(path, definition)
        require_same_added(folder, settings, {token.id: token.text for token in added})
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path} is not a tokenizer of the tokenizers library ({error!r}): fetch it again") from error
    found, added, unused = _within(found, added, rows)
    tokens, spare, padded = by_row(str(path), found, rows)
    require_whole(str(path), tokens, merges)
    template, templates = chat_template_of(folder, settings)
    tokenizer = Tokenizer(tokens, merges, added, {}, template, max_positions, pre=pre, spare=spare)
    named, differing = named_roles(folder, settings, {text: index for index, text in found.items()})
    tokenizer, ids = assign(tokenizer, stated, named, str(folder))
    require_same_ids(path, definition, tokenizer)  # the tokenizer that is kept, and its engine with it
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
        moving = [flag for flag in MOVING if entry.get(flag)]
        if moving:
            raise InputError(
                f"{path}: the added token {entry['content']} has {moving[0]}, which llama.cpp cannot do: "
                f"set {moving[0]} to false there and in tokenizer_config.json, if the model can do without it"
            )
    ids = {int(index): str(token) for token, index in model["vocab"].items()}
    for token in added:
        if ids.get(token.id, token.text) != token.text:
            raise InputError(
                f"{path} has {ids[token.id]!r} as token {token.id} of its vocabulary and {token.text!r} as an added "
                "one: give the tokenizer that this model was trained with"
            )
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
