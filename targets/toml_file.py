"""A user's TOML file, read into a model of what it should be: an error names the line."""

import re
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from smolship.errors import InputError

T = TypeVar("T", bound=BaseModel)


def read_toml(path: Path, kind: str, wanted: str) -> str:
    """The text of a user's file; `InputError` says what is wrong with it, or what is `wanted` if it is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"no {kind} {path}: {wanted}") from error
    except OSError as error:
        raise InputError(f"{kind} {path} cannot be read ({error.strerror}): give a readable one") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{kind} {path} is not UTF-8 text ({error}): save it as UTF-8, as TOML has to be") from error


def parse_toml(text: str, file: str, kind: type[T]) -> T:
    """What the text of a TOML file called `file` describes; `InputError` names the line and the key that is wrong."""
    try:
        return kind.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file} is not TOML: {error}") from error
    except ValidationError as error:
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")  # a misspelt key first of all
        where = first["loc"]
        key = "".join(f" {part + 1}" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
        wrong = {"extra_forbidden": "no such key", "missing": "this key is missing"}.get(first["type"])
        message = wrong or first["msg"].removeprefix("Value error, ")
        place = ", ".join(filter(None, (file, f"line {line_of(text, where)}", key)))  # no key: all of the file is wrong
        raise InputError(f"{place}: {message}") from error


def line_of(text: str, where: tuple[int | str, ...]) -> int:
    """The line (from 1) on which a key stands that pydantic names, or the line of the table that should have it."""
    lines = text.splitlines()
    at = 0
    for place, key in enumerate(where):
        if isinstance(key, int):
            continue
        after = where[place + 1] if place + 1 < len(where) else 0
        index = after if isinstance(after, int) else 0  # which of several tables of the same name
        header = re.compile(rf"\s*\[+\s*{re.escape(key)}\s*\]+")
        entry = re.compile(rf"\s*{re.escape(key)}\s*=")
        end = next((i for i in range(at + 1, len(lines)) if lines[i].lstrip().startswith("[")), len(lines))
        found = [i for i, line in enumerate(lines) if header.match(line)] if place == 0 else []
        found = found or [i for i in range(at, end) if entry.match(lines[i])]
        if found:
            at = found[min(index, len(found) - 1)]  # a list's entries may share a line
    return at + 1
