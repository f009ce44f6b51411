"""`devices.toml`: the devices of a lab, how each is reached, what it is, and which groups it belongs to."""

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from smolship.errors import InputError, unknown_name
from smolship.targets.ssh.access import parse_destination
from smolship.targets.target import Target, load_target
from smolship.targets.toml_file import parse_toml, read_toml

FILE = "devices.toml"


class DeviceEntry(BaseModel):
    """One device of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^\w[\w.-]*$")
    """what reports and tables call it, and its folder among theirs"""
    host: str
    """`[user@]host[:port]`, or a Host of `~/.ssh/config`"""
    target: str
    """the profile that it is, by its name or the path of a file"""
    groups: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _can_be_reached(self) -> "DeviceEntry":
        try:
            parse_destination(self.host)
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    def load_target(self) -> Target:
        """The profile; see `target.load_target` for the errors."""
        return load_target(self.target)


class Devices(BaseModel):
    """The contents of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: tuple[DeviceEntry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "Devices":
        names = [one.name for one in self.device]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two devices are called {twice[0]}")
        return self

    def chosen(self, names: Iterable[str], group: str | None) -> tuple[DeviceEntry, ...]:
        """The devices of these names, or those of a group; `InputError` lists the known ones."""
        by_name = {one.name: one for one in self.device}
        groups = sorted({each for one in self.device for each in one.groups})
        if group is not None and group not in groups:
            raise unknown_name("group", group, groups)
        for name in names:
            if name not in by_name:
                raise unknown_name("device", name, list(by_name))
        wanted = set(names)
        return tuple(one for one in self.device if one.name in wanted or (group is not None and group in one.groups))


def load_devices(path: Path | None) -> Devices:
    """The file at `path`; by default `devices.toml` here, else in smolship's folder of the user's configuration.

    `InputError` if there is none, or with the line and the key that is wrong.
    """
    place = path or next((each for each in _places() if each.is_file()), Path(FILE))
    wanted = f"give one with --devices, or write it here or to {_places()[-1]} (docs/how-to/fleet.md)"
    return parse_toml(read_toml(place, "file of devices", wanted), place.name, Devices)


def _places() -> tuple[Path, Path]:
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(FILE), Path(config) / "smolship" / FILE
