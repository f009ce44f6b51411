"""Under which licence a checkpoint says that it is: what it does not say itself is not known, and written nowhere."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

README = "README.md"
"""the model card of a folder, as the hub keeps it"""
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_UNKNOWN = ("", "unknown")


def licence_of_folder(folder: Path) -> tuple[str | None, tuple[str, ...]]:
    """What `license:` says at the head of the folder's README.md, and a sentence if that cannot be taken."""
    try:
        text = (folder / README).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None, ()
    except (OSError, UnicodeDecodeError) as error:
        return None, (_not_known(f"cannot be read ({error})"),)
    head = _FRONT.match(text)
    return _in_front_matter(head[1]) if head else (None, ())


def licence_of_gguf(metadata: Mapping[str, Any]) -> str | None:
    """The metadata's `general.license`."""
    return _plain(metadata.get("general.license"))


def _in_front_matter(head: str) -> tuple[str | None, tuple[str, ...]]:
    import yaml

    try:
        facts = yaml.safe_load(head)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that is none is a ValueError
        said = " ".join(str(error).split())
        return None, (_not_known(f"has malformed YAML at its head ({said})"),)
    found = facts.get("license") if isinstance(facts, dict) else None
    found = found[0] if isinstance(found, list) and len(found) == 1 else found
    licence = _plain(found)
    if licence is None and found is not None and str(found).strip().lower() not in _UNKNOWN:
        return None, (_not_known(f"has license {found!r}, which names not one licence"),)
    return licence, ()


def _plain(value: object) -> str | None:
    """A name on one line, or nothing."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return None if text.lower() in _UNKNOWN else text


def _not_known(why: str) -> str:
    return f"{README} {why}: the licence is not known, and the files do not name one"
