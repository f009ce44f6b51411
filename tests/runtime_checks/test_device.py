"""A device: what is brought to it, what is kept there and removed again, and a run that is held against this host."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from families import FAMILY, assert_gone, python
from measured import measured
from smoking import HERE, Board, KitOfHere, files_below, use_kit

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError, LinkLost
from smolship.runtime_checks.check_on_device import Expected, HostRun, check_on_device, settings_for
from smolship.runtime_checks.device import PLACE, Device
from smolship.runtime_checks.job import BRIEF
from smolship.runtime_checks.measurements import Measurements
from smolship.runtime_checks.verdicts import judge
from smolship.runtime_checks.windows import ReferenceWindows
from smolship.targets import Exit, load_target
from smolship.targets.lines import OnLine

QUICK = replace(BRIEF, prefill=(8,), first=8, decode=2, sustained=0.3)


@pytest.fixture(autouse=True)
def kit(monkeypatch: pytest.MonkeyPatch) -> KitOfHere:
    """What runs the probe on the device."""
    use_kit(monkeypatch, KitOfHere())
    return KitOfHere()


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A device with nothing of ours."""
    home = tmp_path / "home of it's user"
    home.mkdir()
    return Board(home)


@pytest.fixture(scope="module")
def expected(tiny_reference: ReferenceWindows) -> Expected:
    """What the reference says."""
    return Expected.of(tiny_reference)


@pytest.fixture(scope="module")
def here(tiny_artefact: Artefact, tiny_checkpoint: Checkpoint, expected: Expected) -> HostRun:
    """What the tiny artefact says on this host."""
    return HostRun.of(tiny_artefact, tiny_checkpoint, expected, HERE)


def bring(board: Board, artefact: Artefact) -> tuple[Device, list[str]]:
    """Bring an artefact there; the device, and the command that would run it."""
    device = Device.reached("board", board)
    return device, list(device.bring(artefact, device.kit_for(artefact)).command)


def check(board: Board, run: HostRun, checkpoint: Checkpoint, expected: Expected) -> Measurements:
    """One run on the device."""
    device = Device.reached("board", board, target="host")
    return check_on_device(run, checkpoint, expected, device, settings=HERE, workload=QUICK)


def test_what_is_there_is_not_sent_again(board: Board, tiny_artefact: Artefact) -> None:
    bring(board, tiny_artefact)
    kinds = [path.removeprefix(PLACE).split("/")[1] for path in board.put_there]
    assert sorted(set(kinds)) == ["artefacts", "kits", "probes"]
    board.put_there.clear()
    bring(board, tiny_artefact)
    assert board.put_there == []
    below = files_below(board.folder)
    assert all(path.startswith(f"{PLACE}/") for path in below)
    assert not [path for path in below if path.endswith((".tar.gz", ".new", ".partial"))]


def test_what_it_keeps_is_counted_and_removed_and_nothing_else(board: Board, tiny_artefact: Artefact) -> None:
    neighbours = [".cache/smolship/calibration", ".cache/smolship/device.old", "notes"]
    for name in neighbours:
        (board.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (board.folder / name).write_text("of the user")
    device = Device.reached("board", board)
    assert device.kept() == 0
    device.clean()  # nothing is there, and nothing is wrong with that
    device, _ = bring(board, tiny_artefact)
    assert device.kept() >= tiny_artefact.manifest.bytes
    device.clean()
    assert device.kept() == 0
    assert files_below(board.folder) == sorted(neighbours)


def test_a_device_without_room_is_refused_before_anything_is_sent(board: Board, tiny_artefact: Artefact) -> None:
    device = Device.reached("board", board)
    small = replace(device, facts=replace(device.facts, free=1_000_000))
    with pytest.raises(InputError, match=r"board has no room for .*-q8-gguf"):
        small.bring(tiny_artefact, small.kit_for(tiny_artefact))
    assert files_below(board.folder) == []


def test_an_artefact_that_is_half_there_still_wants_its_room(board: Board, tiny_artefact: Artefact) -> None:
    class Breaking(Board):
        def put(self, source: Path, destination: str) -> None:
            if source.name == tiny_artefact.manifest.model_file:
                raise LinkLost("link lost: the connection to board broke")
            super().put(source, destination)

    with pytest.raises(LinkLost):
        bring(Breaking(board.folder), tiny_artefact)
    device = Device.reached("board", board)
    small = replace(device, facts=replace(device.facts, free=1_000_000))
    with pytest.raises(InputError, match="has no room"):
        small.bring(tiny_artefact, small.kit_for(tiny_artefact))


def test_a_kit_that_cannot_be_unpacked_is_said_and_nothing_of_it_stays(
    board: Board, tiny_artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tar that fails in the middle is what a full disk is."""
    (tmp_path / "tar").write_text('#!/bin/sh\ntouch "$4/half"; echo "tar: write error: No space left" >&2; exit 2\n')
    (tmp_path / "tar").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(InputError, match=r"board cannot unpack .*No space left.*see that its disk has room"):
        bring(board, tiny_artefact)
    assert files_below(board.folder) == []


def test_the_jobs_file_is_removed_however_the_run_ends(board: Board, tiny_artefact: Artefact) -> None:
    device = Device.reached("board", board)
    brought = device.bring(tiny_artefact, device.kit_for(tiny_artefact))

    def interrupted() -> None:
        with brought.job({"steps": []}) as command:
            assert (board.folder / command[-1]).is_file()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path for path in files_below(board.folder) if "/jobs/" in path] == []


def test_a_link_that_is_lost_stays_the_reason_when_the_device_is_gone_for_good(
    board: Board, tiny_artefact: Artefact
) -> None:
    device = Device.reached("board", board)
    brought = device.bring(tiny_artefact, device.kit_for(tiny_artefact))

    def gone(*_arguments: object, **_more: object) -> Exit:
        raise InputError("cannot reach board (Connection refused)")

    def switched_off() -> None:
        with brought.job({"steps": []}):
            board.run = gone  # type: ignore[method-assign]  # from now on
            raise LinkLost("link lost: it broke")

    with pytest.raises(LinkLost, match="it broke"):
        switched_off()


def test_threads_are_the_devices_cores_at_most_four_unless_they_are_given(board: Board) -> None:
    device = Device.reached("board", board)

    def threads(cores: int, given: int = 0) -> int:
        there = replace(device, facts=replace(device.facts, cores=cores))
        return settings_for(replace(HERE, threads=given), there).threads

    assert [threads(1), threads(4), threads(64), threads(64, given=6)] == [1, 4, 4, 6]


@pytest.fixture(scope="module")
def found(
    here: HostRun, tiny_checkpoint: Checkpoint, expected: Expected, tmp_path_factory: pytest.TempPathFactory
) -> Measurements:
    """A run that went well."""
    with pytest.MonkeyPatch.context() as patch:
        use_kit(patch, KitOfHere())
        return check(Board(tmp_path_factory.mktemp("home")), here, tiny_checkpoint, expected)


def test_a_device_that_computes_the_same_is_the_same_as_this_host(found: Measurements) -> None:
    assert found.failure is None
    assert found.from_host is not None
    assert (found.from_host.top1, found.from_host.kl_mean) == (1.0, 0.0)
    assert found.topk == found.host_topk
    assert found.device is not None
    assert (found.device.name, found.device.after is not None) == ("board", True)
    outcomes = {one.metric: (one.outcome, one.measured) for one in judge(found, load_target("host"))}
    assert outcomes["top1_host"] == outcomes["kl_topk_host"] == ("pass", "on the device")
    assert outcomes["peak_memory"][1] == "on the device"
    assert found.sustained is not None
    assert 0 < found.sustained.seconds < 0.6
    assert {outcomes[name] for name in ("top1", "kl_mean")} == {("not measured", "")}  # nobody ran `check` before


def test_what_check_measured_of_the_file_before_stands_beside_it(
    copied_artefact: Artefact, found: Measurements, tiny_checkpoint: Checkpoint, expected: Expected
) -> None:
    fidelity = measured().fidelity
    known = found.model_copy(update={"device": None, "fidelity": fidelity})
    known.write(copied_artefact.folder)
    assert HostRun.of(copied_artefact, tiny_checkpoint, expected, HERE).before == known


class Meddling(Board):
    """A board whose storage changes one weight of what it is given: it computes something else, and does not know."""

    def put(self, source: Path, destination: str) -> None:
        """See `Transport.put`."""
        super().put(source, destination)
        if destination.endswith(".gguf"):
            tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(self.folder / destination, "r+").tensors}
            norm = tensors["output_norm.weight"].data
            norm[:] = np.roll(norm, 1)


def test_a_board_that_computes_something_else_is_caught(
    tmp_path: Path, here: HostRun, tiny_checkpoint: Checkpoint, expected: Expected
) -> None:
    found = check(Meddling(tmp_path), here, tiny_checkpoint, expected)
    assert found.failure is None
    outcomes = {one.metric: one.outcome for one in judge(found, load_target("host"))}
    assert outcomes["top1_host"] == outcomes["kl_topk_host"] == "fail"
    assert outcomes["tokenizer"] == "pass"
    here.artefact.verify()  # the file here is what it was


class Gone(Board):
    """A board that answers nothing more once the probe has said that it is done."""

    done = False

    def run(self, command: Sequence[str], *, on_line: OnLine, timeout: float | None = None) -> Exit:
        """See `Transport.run`."""
        if self.done:
            raise LinkLost("link lost: the board was switched off")

        def listen(line: str) -> None:
            self.done = self.done or '"record": "done"' in line
            on_line(line)

        return super().run(command, on_line=listen, timeout=timeout)


def test_what_was_measured_stays_if_the_device_is_gone_afterwards(
    tmp_path: Path, here: HostRun, tiny_checkpoint: Checkpoint, expected: Expected
) -> None:
    found = check(Gone(tmp_path), here, tiny_checkpoint, expected)
    assert found.failure is None
    assert found.decode is not None
    assert found.device is not None
    assert found.device.after is None


def test_a_probe_that_ends_badly_there_is_a_result(
    board: Board, here: HostRun, tiny_checkpoint: Checkpoint, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_kit(monkeypatch, KitOfHere("kill -s ILL $$"))
    found = check(board, here, tiny_checkpoint, expected)
    assert found.failure is not None
    assert (found.failure.stage, found.failure.signal) == ("start", "SIGILL")
    assert "an illegal instruction: the runtime was built for a processor with other features" in found.failure.message
    assert found.from_host is None
    assert found.device is not None


def test_a_probe_that_hangs_is_ended_with_all_it_started(
    board: Board, here: HostRun, tiny_checkpoint: Checkpoint, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smolship.targets.transport.GRACE", 0.2)
    (board.folder / "family.py").write_text(FAMILY.replace('print("ready", flush=True)', ""))
    use_kit(monkeypatch, KitOfHere(f"exec {python('')[0]} family.py"))
    device = Device.reached("board", board)
    limited = replace(HERE, timeout=1.0)
    found = check_on_device(here, tiny_checkpoint, expected, device, settings=limited, workload=QUICK)
    assert found.failure is not None
    assert found.failure.message == "took longer than 1 s and was ended"
    assert_gone(board.folder)
