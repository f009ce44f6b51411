"""Where a folder keeps its chat template: transformers has had three places for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smolship.errors import InputError

SETTINGS = "tokenizer_config.json"
FILES = ("additional_chat_templates/default.jinja", "chat_template.jinja")
"""What wins over the settings, the first over the second, as in transformers."""


def chat_template_of(folder: Path, settings: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """The chat template, and a note if places have different ones; `InputError` if one is no text."""
    found = {name: _text(folder / name) for name in FILES if (folder / name).is_file()}
    inside = _in_settings(folder, settings)
    if inside is not None:
        found[SETTINGS] = inside
    if not found:
        return None, ()
    (taken, template), *others = found.items()
    notes = tuple(
        f"{taken} and {place} have different chat templates: the first is taken, as by transformers"
        for place, other in others
        if other != template
    )
    return template, notes


def _in_settings(folder: Path, settings: Mapping[str, Any]) -> str | None:
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named ones: the one for plain conversations
        entries = [entry for entry in template if isinstance(entry, dict) and entry.get("name") == "default"]
        template = entries[-1].get("template") if entries else None
    if template is not None and not isinstance(template, str):
        raise InputError(f"{folder}/{SETTINGS} has a chat_template that is no text: repair it")
    return template


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text (byte {error.start}): fetch the file again") from error
