"""`Target`: a device profile with its budgets, read from a TOML file in which every number names its source."""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from smolship.errors import InputError, unknown_name
from smolship.targets.budget import Budget
from smolship.targets.toml_file import parse_toml, read_toml
from smolship.targets.units import UNITS, parse_quantity


class Fact(BaseModel):
    """A quantity of a device, above zero, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: str
    source: str = Field(min_length=1)

    @field_validator("value")
    @classmethod
    def _is_quantity(cls, text: str) -> str:
        try:
            quantity = parse_quantity(text)
        except InputError as error:
            raise ValueError(str(error)) from error
        if quantity.value <= 0:
            raise ValueError(f"{text!r} is nothing: give a number above zero")
        return text


def _fact_in(dimension: str) -> AfterValidator:
    """That a fact is in units of this dimension: others reckon with it."""

    def check(fact: Fact) -> Fact:
        if parse_quantity(fact.value).unit.dimension != dimension:
            units = ", ".join(unit.name for unit in UNITS.values() if unit.dimension == dimension)
            raise ValueError(f"{fact.value!r} is no {dimension}: give it in one of {units}")
        return fact

    return AfterValidator(check)


Memory = Annotated[Fact, _fact_in("memory")]
Bandwidth = Annotated[Fact, _fact_in("bandwidth")]


class Device(BaseModel):
    """What a device is and gives an app; a fact that nobody published or measured is absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    """as `uname -m` says it on Linux; `wasm32` in a browser, `any` for the machine at hand"""
    cpu_features: tuple[str, ...] = ()
    """as /proc/cpuinfo spells them"""
    cpu: str = ""
    runtimes: tuple[Literal["gguf", "onnx", "executorch"], ...]
    memory: Memory | None = None
    """all that the device has"""
    memory_for_app: Memory | None = None
    """what one app can take of it before it is refused or killed; what counts is `memory_counts`"""
    memory_counts: Literal["resident", "anonymous"] = "resident"
    """all of a process's resident pages, or the anonymous (dirty) ones alone: iOS and Android's limiter drop a mapped
    file's clean pages instead of killing for them"""
    address_space: Memory | None = None
    """what a process can address at all, where that is less than the memory could be: 32 bits"""
    bandwidth: Bandwidth | None = None
    """bytes a second from memory, measured where known: decoding reads every weight for every token, so no faster"""
    storage_limit: Memory | None = None
    """the most that its store or channel delivers in one piece"""

    @property
    def memory_metric(self) -> str:
        """The metric that `memory_for_app` is a limit of."""
        return {"resident": "peak_memory", "anonymous": "anonymous_memory"}[self.memory_counts]

    @property
    def facts(self) -> dict[str, Fact]:
        """What is known of it, by a title in words."""
        known = {
            "memory": self.memory,
            f"memory for app ({self.memory_metric})": self.memory_for_app,
            "address space": self.address_space,
            "bandwidth": self.bandwidth,
            "storage limit": self.storage_limit,
        }
        return {title: fact for title, fact in known.items() if fact is not None}


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
        bits: float,
        parameters: int,
        context: int,
    ) -> tuple[Budget, ...]:
        """The budgets that an artefact is held against; of two on one metric, the one named later in the file."""
        chosen = {
            budget.metric: budget
            for budget in self.budget
            if budget.applies_to(format=format, recipe=recipe, bits=bits, parameters=parameters, context=context)
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
        wanted = f"give an existing .toml file or one of {', '.join(target_names())}"
        return parse_target(read_toml(path, "target file", wanted), path.name)
    if name_or_path not in target_names():
        raise unknown_name("target", name_or_path, target_names())
    entry = files("smolship.targets") / "profiles" / f"{name_or_path}.toml"
    return parse_target(entry.read_text(encoding="utf-8"), entry.name)


def parse_target(text: str, file: str) -> Target:
    """A target from the text of a TOML file called `file`; see `load_target` for the errors."""
    return parse_toml(text, file, Target)
