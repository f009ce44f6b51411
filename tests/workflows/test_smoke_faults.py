"""Everything that can go wrong between here and a device, over a live sshd: what is said, and that nothing is left."""

import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from families import FAMILY, assert_gone
from live_sshd import Sshd
from meddler import Meddler, digest
from smoking import HERE, TARGET, KitOfHere, briefly, files_below, use_kit
from tcp_proxy import TcpProxy

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError, LinkLost, RuntimeFailure
from smolship.progress import Progress, Silent
from smolship.runtime_checks.check_artefact import Settings
from smolship.runtime_checks.device import PLACE
from smolship.runtime_checks.kits.kit import KITS
from smolship.targets import Access, Ssh
from smolship.targets.target import parse_target
from smolship.workflows.places import Place
from smolship.workflows.smoke import Smoked, smoke, worst_exit

BENCH = parse_target(TARGET, "bench.toml")
OF_HERE = KitOfHere()
LONG = replace(HERE, repeats=200)
"""the probe has some seconds to go when the first repeat is told"""
MB = 1_000_000
NEEDED = (
    *("sh", "env", "test", "cat", "dd", "wc", "sha256sum", "sleep", "mkdir", "mv", "rm", "chmod", "du", "df"),
    *("cut", "tr", "sed", "head", "tail", "tar", "gzip", "uname", "getconf"),
)
"""programs of a device that has little else"""
Reach = Callable[..., Ssh]
SmokeAt = Callable[..., Smoked]


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[Path]:
    """The device's folder; when a test ends no process works there, and nothing half-written lies there."""
    folder = tmp_path / 'it\'s a "home" $(touch pwned); é'
    folder.mkdir()
    yield folder
    deadline = time.monotonic() + 10
    while left := processes_in(folder):
        assert time.monotonic() < deadline, f"left running: {left}"
        time.sleep(0.05)
    odd = [path for path in files_below(folder) if path.endswith((".partial", ".new", ".tar.gz")) or "/jobs/" in path]
    assert odd == []
    assert not list(Path().glob("pwned"))
    assert not (folder / "pwned").exists()


def processes_in(folder: Path) -> list[str]:
    """The commands of the processes that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.fixture
def smoke_at(tiny_artefact: Artefact, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> SmokeAt:
    """Runs the tiny artefact on the device that `reach` makes the transport to."""
    monkeypatch.setattr("smolship.targets.transport.GRACE", 0.2)

    def run_there(
        connect: Callable[[Progress], Ssh],
        *,
        kit: KitOfHere = OF_HERE,
        settings: Settings = HERE,
        artefacts: Sequence[Artefact] = (tiny_artefact,),
        progress: Progress = Silent(),
    ) -> Smoked:
        use_kit(monkeypatch, kit)
        order = briefly(artefacts, tiny_checkpoint, settings)
        places = [Place("board", BENCH, connect)]
        return smoke(artefacts, tiny_checkpoint, places, order, here=HERE, progress_of=lambda _name: progress)[0]

    return run_there


def failure(smoked: Smoked) -> str:
    """Stage and message of the only artefact's failure."""
    assert smoked.report is not None, smoked.error
    assert smoked.error is None
    (checked,) = smoked.report.checked
    assert checked.records[0].failure is not None
    return f"{checked.records[0].failure.stage}: {checked.records[0].failure.message}"


def passes(smoked: Smoked) -> bool:
    assert smoked.error is None
    assert smoked.report is not None
    return smoked.report.all_well


@pytest.fixture
def large_artefact(tiny_artefact: Artefact, tmp_path: Path) -> Artefact:
    """The tiny artefact with 12 MB that mean nothing at the end of its model."""
    folder = tmp_path / "an artefact; of 'many' MB"
    shutil.copytree(tiny_artefact.folder, folder)
    data = tiny_artefact.model_path.read_bytes() + os.urandom(12 * MB)
    (folder / "model.gguf").write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        if file["path"] == "model.gguf":
            file |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Artefact.open(folder)


def test_a_link_that_drops_amid_the_artefact_is_gone_on_with_and_smoke_ends_well(
    smoke_at: SmokeAt, reach: Reach, proxy: TcpProxy, home: Path, large_artefact: Artefact
) -> None:
    proxy.cut_after(8 * MB)
    found = smoke_at(lambda _progress: reach(home, port=proxy.port), artefacts=[large_artefact])
    assert passes(found)
    assert proxy.connections == 3  # to look, to run, and to go on
    assert proxy.sent < 20 * MB
    (there,) = (home / PLACE / "artefacts").glob("*/model.gguf")
    assert digest(there) == digest(large_artefact.model_path)
    before = proxy.sent
    assert passes(smoke_at(lambda _progress: reach(home, port=proxy.port), artefacts=[large_artefact]))
    assert proxy.sent - before < MB  # all of it is there already


@pytest.mark.parametrize("broken", ["kit", "kit unpacked", "artefact"])
def test_a_disk_that_is_full_is_said_and_cleaned_up(
    smoke_at: SmokeAt, start_sshd: Callable[..., Sshd], give_access: Callable[..., Access], home: Path,
    large_artefact: Artefact, broken: str,
) -> None:  # fmt: skip
    device = start_sshd()
    device.limit_files(4 * MB)
    marker = {"kit": os.urandom(5 * MB).hex(), "kit unpacked": "x" * 5 * MB, "artefact": "small"}[broken]
    found = smoke_at(
        lambda _progress: Ssh(f"127.0.0.1:{device.port}", str(home), access=give_access(device.port)),
        kit=KitOfHere(marker=marker),
        artefacts=[large_artefact],
    )
    assert found.report is None
    assert isinstance(found.error, InputError)
    what = {
        "kit": "cannot bring kit.tar.gz",
        "kit unpacked": "board cannot unpack",
        "artefact": "cannot bring model.gguf",
    }
    assert what[broken] in str(found.error)
    assert "room" in str(found.error)
    assert worst_exit([found]) == 2
    large = [path for path in files_below(home) if (home / path).stat().st_size > MB]
    assert large == []


def test_a_device_without_python3_is_refused_where_the_runtime_wants_one(
    smoke_at: SmokeAt, start_sshd: Callable[..., Sshd], give_access: Callable[..., Access], home: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in NEEDED:
        (programs / name).symlink_to(str(shutil.which(name)))
    device = start_sshd(environment=f"PATH={programs}")

    def connect(_progress: Progress) -> Ssh:
        monkeypatch.setitem(KITS, "gguf", KITS["onnx"])
        return Ssh(f"127.0.0.1:{device.port}", str(home), access=give_access(device.port))

    found = smoke_at(connect)
    assert isinstance(found.error, InputError)
    assert "the device's own Python, and it has no python3: install one there" in str(found.error)
    assert files_below(home) == []


def test_an_illegal_instruction_is_named(smoke_at: SmokeAt, reach: Reach, home: Path) -> None:
    found = smoke_at(lambda _progress: reach(home), kit=KitOfHere("kill -s ILL $$"))
    assert "ended by SIGILL, an illegal instruction: the runtime was built for a processor" in failure(found)
    assert worst_exit([found]) == 3


def test_a_probe_that_the_system_kills_is_reported_as_out_of_memory(
    smoke_at: SmokeAt, reach: Reach, home: Path
) -> None:
    def kill() -> None:
        os.kill(int((home / "pids").read_text()), signal.SIGKILL)

    script = 'echo $$ >pids; exec "$@"'
    found = smoke_at(lambda _progress: reach(home), kit=KitOfHere(script), settings=LONG, progress=Meddler(1, kill))
    assert "ended by SIGKILL, killed from outside: as a rule the system ran out of memory" in failure(found)
    assert not failure(found).startswith("start")
    assert worst_exit([found]) == 3


def test_a_probe_that_hangs_is_ended_with_all_it_started(smoke_at: SmokeAt, reach: Reach, home: Path) -> None:
    (home / "family.py").write_text(FAMILY.replace('print("ready", flush=True)', ""))
    limited = replace(HERE, timeout=1.5)
    found = smoke_at(lambda _progress: reach(home), kit=KitOfHere("exec python3 family.py"), settings=limited)
    assert failure(found) == "start: took longer than 2 s and was ended"
    assert worst_exit([found]) == 3
    assert_gone(home)


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_link_that_drops_while_the_probe_runs_is_lost_and_the_probe_is_ended(
    smoke_at: SmokeAt, reach: Reach, proxy: TcpProxy, home: Path, comes_back: bool
) -> None:
    act = proxy.cut if comes_back else proxy.close
    found = smoke_at(
        lambda _progress: reach(home, port=proxy.port),
        kit=KitOfHere('echo $$ >pids; exec "$@"'),
        settings=LONG,
        progress=Meddler(1, act),
    )
    assert found.report is None
    assert isinstance(found.error, LinkLost)
    assert worst_exit([found]) == 3
    assert_gone(home)
    for path in (home / PLACE / "jobs").iterdir():
        assert not comes_back, "a device that can be reached again keeps no job"
        path.unlink()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            r"printf '\033[2J\033]0;owned\007garbage\n'; sleep 60",
            "not its protocol: '\\x1b[2J\\x1b]0;owned\\x07garbage'",
        ),
        ("head -c 20000000 /dev/zero | tr '\\0' '['", "not its protocol: '[[["),
        ("cat /dev/zero", "not its protocol: '\\x00"),
        ('yes \'{"protocol": 1, "record": "surprise"}\'', "unknown kind 'surprise'"),
    ],
    ids=["garbage", "a long line", "no end of a line", "no end of records"],
)
def test_what_a_hostile_device_prints_is_one_short_harmless_sentence(
    smoke_at: SmokeAt, reach: Reach, home: Path, script: str, words: str
) -> None:
    found = smoke_at(lambda _progress: reach(home), kit=KitOfHere(script))
    assert isinstance(found.error, RuntimeFailure)
    assert words in str(found.error)
    assert len(str(found.error)) < 1500
    assert str(found.error).isprintable()
    assert worst_exit([found]) == 3


def test_endless_words_of_complaint_are_bounded(smoke_at: SmokeAt, reach: Reach, home: Path) -> None:
    script = r"printf '\033[2J' >&2; exec yes complaint >&2"
    found = smoke_at(lambda _progress: reach(home), kit=KitOfHere(script), settings=replace(HERE, timeout=2.0))
    assert "took longer than 2 s" in failure(found)
    assert found.report is not None
    assert len(found.report.model_dump_json()) < 300_000
    assert "\\u001b" not in found.report.model_dump_json()
