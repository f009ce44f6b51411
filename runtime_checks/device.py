"""`Device`: one that is reached, with what smolship keeps there: kits, artefacts and jobs, all below one folder."""

import hashlib
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from smolship.artefact import MANIFEST_FILE, Artefact
from smolship.errors import InputError, SmolshipError
from smolship.progress import Progress, Silent
from smolship.runtime_checks.kits.kit import OWN_LLAMA_CPP, Kit, kit_for, pack, require_kit
from smolship.runtime_checks.kits.kit_gguf_installed import INSTALLED_SCRIPT, installed_libraries
from smolship.runtime_checks.kits.platform import Platform
from smolship.runtime_checks.run_probe import put_job
from smolship.runtime_checks.suitability import Needs, require_room, require_runnable
from smolship.targets import Exit, Facts, Transport, read_facts
from smolship.targets.asking import ask

PLACE = ".cache/smolship/device"
"""below the user's home there; its own folder, for smolship's caches may lie beside it"""
PATIENCE = 600.0
"""seconds that unpacking and removing may take on a slow card"""

_UNPACK = """
cd "$1" || exit
rm -rf "$2.new"
mkdir "$2.new" && tar -xzf "$2.tar.gz" -C "$2.new" && mv "$2.new" "$2" || { rm -rf "$2.new" "$2.tar.gz"; exit 1; }
rm -f "$2.tar.gz"
"""
_KEPT = """
[ -d "$1" ] && du -sk "$1" | cut -f 1
[ -d "$1" ] || echo 0
"""


@dataclass(frozen=True)
class Device:
    """A machine that runs artefacts for us. `transport` is to the user's home there."""

    name: str
    transport: Transport
    facts: Facts
    target: str = ""
    """the name of the target that it is, where budgets are to be judged"""
    use_installed: bool = False
    """run GGUF files with the llama.cpp that it has"""

    @classmethod
    def reached(cls, name: str, transport: Transport, *, target: str = "", use_installed: bool = False) -> "Device":
        """Ask what it is; `RuntimeFailure` if what answers is no Linux with a shell."""
        return cls(name, transport, read_facts(transport), target, use_installed)

    def kit_for(self, artefact: Artefact, progress: Progress = Silent()) -> Kit:
        """The kit that this artefact needs here; `InputError` if it cannot run here, whatever is brought."""
        require_runnable(self.name, self.facts, artefact)
        own = self.use_installed and artefact.manifest.format == "gguf"
        return kit_for(OWN_LLAMA_CPP if own else artefact.manifest.format, self._platform, progress)

    def require_kit(self, format_name: str) -> None:
        """`InputError` if there is no kit of that format's runtime for such a device; none is made."""
        require_kit(format_name, self._platform)

    def bring(self, artefact: Artefact, kit: Kit) -> "Brought":
        """Bring over what is not there yet; `InputError` if there is no room, `LinkLost` as `Transport.put`."""
        own = [f"LLAMA_CPP_LIB_PATH={self._own_llama_cpp()}"] if kit.format == OWN_LLAMA_CPP else []
        program = self._is_there(f"{PLACE}/kits/{kit.name}")
        folder = f"{PLACE}/artefacts/{_digest(artefact.folder / MANIFEST_FILE)}"
        model = 0 if self._is_there(f"{folder}/{MANIFEST_FILE}") else artefact.manifest.bytes
        kit_bytes = 0 if program else kit.archive.stat().st_size + kit.unpacked
        require_room(self.name, self.facts, Needs(artefact.folder.name, model, kit_bytes))
        if not program:
            self._install("kits", kit.name, kit.archive)
        for name in (*(file.path for file in artefact.manifest.files), MANIFEST_FILE):  # it is there when all are
            self.transport.put(artefact.folder / name, f"{folder}/{name}")
        command = kit.command(f"{PLACE}/kits/{kit.name}", self._probe())
        return Brought(self, folder, ["env", *own, *command])

    def kept(self) -> int:
        """Bytes that smolship keeps there."""
        told = self._shell(_KEPT, PLACE).split()
        return int(told[0]) * 1024 if told and told[0].isdecimal() else 0

    def clean(self) -> None:
        """Remove all that smolship keeps there."""
        self._shell('rm -rf "$1"', PLACE)

    def forget(self, path: str) -> None:
        """Remove one file there."""
        self._shell('rm -f "$1"', path)

    @property
    def _platform(self) -> Platform:
        assert self.facts.glibc is not None  # noqa: S101 - `require_system` was asked before
        return Platform(self.facts.machine, self.facts.glibc, self.facts.python_version)

    def _own_llama_cpp(self) -> str:
        """The folder of its own llama.cpp's libraries; `InputError` if it has none, or another build than ours."""
        return installed_libraries(ask(self.transport, INSTALLED_SCRIPT))

    def _probe(self) -> str:
        """The folder there that holds the Python probe, brought over if it is not there."""
        with tempfile.TemporaryDirectory(prefix="smolship-probe-") as folder:
            archive = Path(folder) / "probe.tar.gz"
            pack(Path(str(files("smolship.runtime_checks") / "probe")), archive, below="probe/")
            name = _digest(archive)
            if not self._is_there(f"{PLACE}/probes/{name}"):
                self._install("probes", name, archive)
        return f"{PLACE}/probes/{name}"

    def _install(self, kind: str, name: str, archive: Path) -> None:
        """Unpack an archive there as `kind/name`, which is whole or not there."""
        self.transport.put(archive, f"{PLACE}/{kind}/{name}.tar.gz")
        self._shell(_UNPACK, f"{PLACE}/{kind}", name)

    def _is_there(self, path: str) -> bool:
        return self._run(["test", "-e", path]).code == 0

    def _shell(self, script: str, *arguments: str) -> str:
        """What a script prints there; `InputError` if it fails, with its own words."""
        printed: list[str] = []
        end = self._run(["sh", "-c", script, "sh", *arguments], printed)
        if end.code != 0:
            reason = end.errors or ("it took too long" if end.timed_out else f"exit status {end.code}")
            raise InputError(f"{self.name} cannot unpack or remove files ({reason}): see that its disk has room")
        return "\n".join(printed)

    def _run(self, command: Sequence[str], printed: list[str] | None = None) -> Exit:
        lines: list[str] = [] if printed is None else printed
        return self.transport.run(command, on_line=lambda line: lines.append(line[:200]), timeout=PATIENCE)


@dataclass(frozen=True)
class Brought:
    """An artefact that lies on a device beside what runs it."""

    device: Device
    folder: str
    command: Sequence[str]

    @contextmanager
    def job(self, job: Mapping[str, Any]) -> Iterator[list[str]]:
        """The command that runs a job of it there; the job's file is removed afterwards."""
        path = f"{PLACE}/jobs/{secrets.token_hex(6)}.json"
        put_job(self.device.transport, path, self.folder, job)
        try:
            yield [*self.command, path]
        finally:
            with suppress(SmolshipError):  # how the run ended is what counts; a device that is gone keeps a small file
                self.device.forget(path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
