"""A device for tests of smoke, which is this machine, and a kit for it, which is this interpreter."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.progress import Progress
from smolship.runtime_checks.check_artefact import Settings
from smolship.runtime_checks.kits.kit import KITS
from smolship.runtime_checks.kits.platform import Platform
from smolship.targets import Local
from smolship.workflows.smoke import Smoke, workload_for

TARGET = """
name = "bench"
title = "a bench"
[device]
architecture = "any"
runtimes = ["gguf"]
"""
"""a target that has no wishes: `ALWAYS` and `ON_DEVICE` are what is judged"""
HERE = Settings(threads=1, repeats=1)


@dataclass(frozen=True)
class KitOfHere:
    """A maker of kits (`kits.kit.Maker`): its programs are this interpreter and the runtimes that it has.

    `script` is what a shell runs instead of the probe's command, which it gets as its arguments.
    """

    script: str = ""
    marker: str = "of here"
    """the only file's contents"""

    def contents(self, platform: Platform) -> str:
        """See `Maker.contents`."""
        return self.marker

    def assemble(self, platform: Platform, folder: Path, progress: Progress) -> None:
        """See `Maker.assemble`."""
        (folder / "marker").write_text(self.marker)

    def command(self, kit: str, probe: str) -> list[str]:
        """See `Maker.command`."""
        shell = ["sh", "-c", self.script, "sh"] if self.script else []
        return [*shell, "env", f"PYTHONPATH={probe}", sys.executable, "-m", "probe"]


def use_kit(patch: pytest.MonkeyPatch, maker: Any) -> None:
    """From now on the kit of llama.cpp is made by `maker`."""
    patch.setitem(KITS, "gguf", "kit_of_here")
    patch.setitem(sys.modules, "smolship.runtime_checks.kits.kit_of_here", maker)


@dataclass
class Board(Local):
    """A folder of this machine as a device's: what is put there is a copy, as on a device, and is counted."""

    folder: Path
    put_there: list[str] = field(default_factory=list)

    def put(self, source: Path, destination: str) -> None:
        """See `Transport.put`; what is there already is not sent again."""
        there = self.folder / destination
        if there.is_file() and there.read_bytes() == source.read_bytes():
            return
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, there)
        self.put_there.append(destination)


def briefly(artefacts: Sequence[Artefact], checkpoint: Checkpoint, settings: Settings = HERE) -> Smoke:
    """The least that smoke can ask: 128 tokens, one question, short speeds."""
    return Smoke.of(artefacts, checkpoint, settings, workload_for(brief=True, sustained=0), "prose", None)


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, by its path from there."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
