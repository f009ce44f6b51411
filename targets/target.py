"""`Target`: a device profile with its budgets, read from a TOML file in which every number names its source."""

import re
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from smolship.errors import InputError, unknown_name
from smolship.targets.budget import Budget
from smolship.targets.units import parse_quantity


class Fact(BaseModel):
    """A quantity of a device and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: str
    source: str = Field(min_length=1)

    @field_validator("value")
    @classmethod
    def _is_quantity(cls, text: str) -> str:
        try:
            parse_quantity(text)
        except InputError as error:
            raise ValueError(str(error)) from error
        return text


class Device(BaseModel):
    """What a device is and gives an app; a fact nobody published is absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    """as `uname -m` says it; `any` for the machine at hand"""
    cpu_features: tuple[str, ...] = ()
    """as /proc/cpuinfo spells them"""
    cpu: str = ""
    runtimes: tuple[Literal["gguf", "onnx", "executorch"], ...]
    memory: Fact | None = None
    memory_for_app: Fact | None = None
    bandwidth: Fact | None = None
    storage_limit: Fact | None = None


class Target(BaseModel):
    """A device profile and the budgets that a release must keep there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    notes: str = ""
    measured_here: bool = False
    """true for `host`, and for a file of your own that describes this very machine: its speed and memory are judged"""
    device: Device
    budget: tuple[Budget, ...] = ()

    def require(self, formats: Iterable[str]) -> None:
        """`InputError` names a format that this device has no runtime for: no budget could be judged by it."""
        missing = [name for name in formats if name not in self.device.runtimes]
        if missing:
            raise InputError(
                f"target {self.name} does not run {', '.join(missing)}; it runs {', '.join(self.device.runtimes)}: "
                "take another --format or --target"
            )

    def budgets_for(
        self,
        *,
        format: str,  # noqa: A002 - the word of the table
        recipe: str,
        parameters: int,
        context: int,
    ) -> tuple[Budget, ...]:
        """The budgets that an artefact is held against; of two on one metric, the one named later in the file."""
        chosen = {
            budget.metric: budget
            for budget in self.budget
            if budget.applies_to(format=format, recipe=recipe, parameters=parameters, context=context)
        }
        return tuple(chosen.values())


def target_names() -> list[str]:
    """The names of the profiles that come with the package."""
    folder = files("smolship.targets") / "profiles"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_target(name_or_path: str) -> Target:
    """A profile by its name, or a file of your own by its path (ending in `.toml`).

    `InputError` lists the known names, says why a file cannot be read, or names the line and the key that is wrong.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        return parse_target(_read(path), path.name)
    if name_or_path not in target_names():
        raise unknown_name("target", name_or_path, target_names())
    entry = files("smolship.targets") / "profiles" / f"{name_or_path}.toml"
    return parse_target(entry.read_text(encoding="utf-8"), entry.name)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        known = ", ".join(target_names())
        raise InputError(f"no target file {path}: give an existing .toml file or one of {known}") from error
    except OSError as error:
        raise InputError(f"target file {path} cannot be read ({error.strerror}): give a readable one") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"target file {path} is not UTF-8 text ({error}): save it as UTF-8, as TOML has to be"
        ) from error


def parse_target(text: str, file: str) -> Target:
    """A target from the text of a TOML file called `file`; see `load_target` for the errors."""
    try:
        return Target.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file} is not TOML: {error}") from error
    except ValidationError as error:
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")  # a misspelt key first of all
        where = first["loc"]
        key = "".join(f" {part + 1}" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
        wrong = {"extra_forbidden": "no such key", "missing": "this key is missing"}.get(first["type"])
        message = wrong or first["msg"].removeprefix("Value error, ")
        raise InputError(f"{file}, line {line_of(text, where)}, {key}: {message}") from error


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
