"""The C++ probe beside the Python one, on this machine and on the emulated board."""

import json
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board.board import Board, open_board
from board.processors import PI_4
from board.tree import Tree
from kept_results import unpacked_kit
from unavailable import run, skipped_if_unavailable

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError
from smolship.runtime_checks.kits import kit_executorch
from smolship.runtime_checks.kits.cross_compiler import OLDEST_GLIBC
from smolship.runtime_checks.kits.platform import Platform
from smolship.runtime_checks.probe import steps
from smolship.runtime_checks.probe.records import PROTOCOL
from smolship.runtime_checks.run_probe import stage
from smolship.targets import Local
from smolship.workflows.build import Order, build

pytestmark = pytest.mark.device

Record = dict[str, Any]
CONTEXT = 512
HERE = Platform(platform.machine(), (2, 36), None)
SPEED = {"step": "speed", "tokens": list(range(20, 84)), "prefill": [32, 64], "first": 64, "decode": 8, "repeats": 3}
WINDOWS = [[30, 40, 50], list(range(20, 60))]
KNOWN = ", ".join(sorted({*steps.STEPS, "memory"}))
STEPS: list[Record] = [
    SPEED,
    {"step": "memory"},
    {"step": "generate", "name": "g", "tokens": [30, 40, 50], "max_new": 20, "stop": [2]},
    {"step": "tokenize", "name": "t", "texts": ["the"]},
    {"step": "windows", "windows": WINDOWS, "keep": 9, "patience": 5},
    {"step": "likelihoods", "windows": WINDOWS, "ids": [[[1, 2], [], [*range(320)]], [[3, 4, 5]] * 40]},
    {"step": "sustained", "tokens": [30, 40, 50], "seconds": 0.3, "slice": 0.1, "room": CONTEXT},
]


@pytest.fixture(scope="session")
def native_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked_kit("executorch", HERE, tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="session")
def board_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked_kit("executorch", replace(HERE, machine="aarch64"), tmp_path_factory.mktemp("board"))


@pytest.fixture(scope="session")
def tiny_program(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    """The tiny model as a .pte file; tests must not write into it."""
    order = Order(recipes=("q4-e8",), formats=("executorch",), context=CONTEXT)
    return build(tiny_checkpoint, tmp_path_factory.mktemp("artefacts"), order)[0].artefact


@pytest.fixture
def workplace(tiny_program: Artefact, tmp_path: Path) -> Path:
    write_job(tmp_path, tiny_program)
    return tmp_path


def write_job(folder: Path, artefact: Artefact, **changes: Any) -> None:
    job = {
        "backend": "backend_executorch",
        "model": "model.pte",
        "context": CONTEXT,
        "threads": 1,
        "steps": STEPS,
        **changes,
    }
    stage(Local(folder), artefact, job)


def probe(folder: Path, command: Sequence[str]) -> tuple[list[Record], subprocess.CompletedProcess[str]]:
    end = subprocess.run([*command, "job.json"], cwd=folder, capture_output=True, text=True, check=False)
    return [json.loads(line) for line in end.stdout.splitlines()], end


def native(kit: Path) -> list[str]:
    return kit_executorch.command(str(kit), "probe")


def named(records: list[Record], kind: str) -> list[Record]:
    return [record for record in records if record["record"] == kind]


def test_it_says_what_the_python_probe_says(workplace: Path, native_kit: Path) -> None:
    theirs, end = probe(workplace, [sys.executable, "-m", "probe"])
    assert end.returncode == 0, end.stderr
    expected = [np.fromfile(workplace / each["file"], "<f4") for each in named(theirs, "logits")]
    for each in named(theirs, "logits"):
        (workplace / each["file"]).unlink()
    ours, end = probe(workplace, native(native_kit))
    assert end.returncode == 0, end.stderr
    spoken = [(record["record"], set(record)) for record in ours if record["record"] not in ("unsupported", "progress")]
    assert spoken == [
        (record["record"], set(record)) for record in theirs if record["record"] not in ("tokenized", "progress")
    ]
    assert set(named(ours, "memory")[0]) == set(named(theirs, "memory")[0])
    assert named(ours, "generated")[0]["tokens"] == named(theirs, "generated")[0]["tokens"]
    assert named(ours, "generated")[0]["text"] is None
    for each, logits in zip(named(ours, "logits"), expected, strict=True):
        np.testing.assert_allclose(np.fromfile(workplace / each["file"], "<f4"), logits, atol=1e-4)
    for mine, their in zip(named(ours, "likelihoods"), named(theirs, "likelihoods"), strict=True):
        agree(mine, their, 1e-5)


def agree(mine: Record, their: Record, tolerance: float) -> None:
    """Two records of likelihoods; the logarithm of a rest that is next to nothing may be anything, or nothing."""
    assert mine["top1"] == their["top1"]
    for found, wanted in zip(mine["log_probabilities"], their["log_probabilities"], strict=True):
        assert found == pytest.approx(wanted, abs=tolerance)
    for rest, wanted_rest in zip(mine["tail"], their["tail"], strict=True):
        assert (rest is None) == (wanted_rest is None)
        assert rest is None or rest == pytest.approx(wanted_rest, abs=tolerance)


def test_every_record_of_a_whole_job(workplace: Path, native_kit: Path) -> None:
    records, end = probe(workplace, native(native_kit))
    assert end.returncode == 0, end.stderr
    assert {record["protocol"] for record in records} == {PROTOCOL}
    kinds = [record["record"] for record in records if record["record"] not in ("progress", "step")]
    assert kinds == [
        "host", "imports", "load", *["speed"] * 4, "memory", "generated", "unsupported", *["logits"] * 2,
        *["likelihoods"] * 2, "sustained", "done",
    ]  # fmt: skip
    assert {(each["measure"], each["tokens"]) for each in named(records, "speed")} == {
        ("prefill", 32), ("prefill", 64), ("first_token", 64), ("decode", 8)
    }  # fmt: skip
    assert all(len(each["seconds"]) == 3 and min(each["seconds"]) > 0 for each in named(records, "speed"))
    memory, sustained = named(records, "memory")[0], named(records, "sustained")[0]
    assert memory["peak"] >= memory["sampled_rss"] * 0.98  # the kernel counts both a little late
    assert memory["sampled_rss"] == pytest.approx(memory["anon"] + memory["file"] + memory["shared"], rel=0.02)
    assert sustained["tokens"] / sustained["seconds"] == pytest.approx(np.mean(sustained["rates"]), rel=0.5)
    assert named(records, "unsupported")[0]["step"] == "tokenize"
    assert [each["step"] for each in named(records, "step")] == [each["step"] for each in STEPS]


@pytest.mark.parametrize(
    ("change", "stage_", "words"),
    [
        ({"steps": [{"step": "juggle"}]}, "job", f"unknown step 'juggle': the known ones are {KNOWN}"),
        ({"protocol": 99}, "job", "the job speaks protocol 99"),
        ({"steps": 3}, "job", "the job: "),
        ({"backend": "backend_gguf"}, "imports", "is no backend module"),
        ({"artefact": "elsewhere"}, "load", "cannot open elsewhere/model.pte: No such file or directory"),
        ({"context": 4096}, "load", "was built for a context of 512 tokens, and 4096 were asked for"),
        ({"steps": [SPEED | {"prefill": [4096]}]}, "speed", "was given only 64"),
        ({"steps": [{"step": "windows", "windows": [[30] * 900], "keep": 2, "patience": 1}]}, "windows", "more than"),
        ({"steps": [{"step": "windows", "windows": [[30]] * 3, "keep": 1, "patience": 0.1}]}, "windows", "nobody took"),
        ({"steps": [{"step": "likelihoods", "windows": [[30]], "ids": [[[320]]]}]}, "likelihoods", "no token 320"),
    ],
)  # fmt: skip
def test_a_fault_is_a_record_and_exit_3(
    workplace: Path, native_kit: Path, change: Record, stage_: str, words: str
) -> None:
    job = json.loads((workplace / "job.json").read_text()) | change
    (workplace / "job.json").unlink()
    (workplace / "job.json").write_text(json.dumps(job))
    records, end = probe(workplace, native(native_kit))
    assert end.returncode == 3
    assert (records[-1]["record"], records[-1]["stage"]) == ("failed", stage_)
    assert words in records[-1]["error"]


@pytest.mark.parametrize("damage", ["cut", "garbled"])
def test_a_damaged_model_file_is_a_record(
    tmp_path: Path, tiny_program: Artefact, native_kit: Path, damage: str
) -> None:
    folder = tmp_path / "artefact with a space"
    shutil.copytree(tiny_program.folder, folder)
    whole = tiny_program.model_path.read_bytes()
    (folder / "model.pte").write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"GARBLED!" * 1000)
    write_job(tmp_path / "work", Artefact(folder, tiny_program.manifest))
    records, end = probe(tmp_path / "work", native(native_kit))
    assert end.returncode == 3
    assert records[-1]["stage"] == "load"


def test_a_job_that_is_not_there_is_a_record(tmp_path: Path, native_kit: Path) -> None:
    records, end = probe(tmp_path, native(native_kit))
    assert end.returncode == 3
    assert records[-1]["kind"] == "FileNotFoundError"


def test_it_ends_with_whoever_asked(tmp_path: Path, tiny_program: Artefact, native_kit: Path) -> None:
    step = {"step": "windows", "windows": [[30]] * 3, "keep": 1, "patience": 60}
    write_job(tmp_path, tiny_program, steps=[step], watch_stdin=True)
    command = [*native(native_kit), "job.json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while b'"logits"' not in process.stdout.readline():
            pass
        start = time.monotonic()
        process.stdin.close()
        assert process.wait(10) == 3
        assert time.monotonic() - start < 5


def test_both_c_plus_plus_libraries_lay_the_runtime_out_alike() -> None:
    """The kit's compiler brings LLVM's; GNU's, which ExecuTorch's libraries are built with, passes the same checks."""
    import executorch

    source = Path(kit_executorch.__file__).parents[1] / "probe_cpp" / "program.cpp"
    include = Path(next(iter(executorch.__path__))) / "include"
    folders = [f"-isystem{include}", f"-isystem{include}/executorch/runtime/core/portable_type/c10"]
    with skipped_if_unavailable():
        run(["g++", "-std=c++17", "-fsyntax-only", "-DC10_USING_CUSTOM_GENERATED_MACROS", *folders, source])


def test_no_library_finds_a_function_in_the_program(native_kit: Path, board_kit: Path) -> None:
    for kit in (native_kit, board_kit):
        with skipped_if_unavailable():
            defined = run(["nm", "--dynamic", "--defined-only", kit / "bin" / "probe"])
        assert defined == b""


def test_it_runs_on_the_oldest_c_library_that_is_promised(board_kit: Path) -> None:
    for path in (file for file in board_kit.rglob("*") if file.is_file()):
        wanted = re.findall(rb"GLIBC_(\d+)\.(\d+)", path.read_bytes())
        assert max((int(major), int(minor)) for major, minor in wanted) <= OLDEST_GLIBC, path


def test_no_file_of_it_names_a_folder_of_this_machine(board_kit: Path) -> None:
    program = (board_kit / "bin" / "probe").read_bytes()
    assert str(Path(kit_executorch.__file__).parents[2]).encode() not in program
    assert b"/tmp/" not in program


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (Platform("armv7l", (2, 36), (3, 11)), "armv7l"),
        (Platform("aarch64", (2, 27), (3, 11)), "the device has glibc 2.27, and ExecuTorch's libraries need 2.28"),
    ],
)
def test_a_device_that_it_is_not_for_is_refused(device: Platform, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        kit_executorch.contents(device)


def run_there(board: Board, kit: Path, work: Path) -> list[Record]:
    """The staged probe's records from a board."""
    shutil.copytree(kit, work / "kit")
    board.told("rm -rf executorch")
    board.copy(str(work), "board:executorch")
    command = " ".join(kit_executorch.command("kit", "probe"))
    return [json.loads(line) for line in board.told(f"cd executorch && {command} job.json").splitlines()]


@pytest.fixture
def steps_there(workplace: Path, native_kit: Path) -> list[Record]:
    """What this machine says to the job that the boards are given."""
    return probe(workplace, native(native_kit))[0]


def same_as_here(there: list[Record], here: list[Record]) -> None:
    assert there[-1]["record"] == "done"
    assert named(there, "host")[0]["machine"] == "aarch64"
    assert named(there, "generated")[0]["tokens"] == named(here, "generated")[0]["tokens"]
    for mine, their in zip(named(there, "likelihoods"), named(here, "likelihoods"), strict=True):
        agree(mine, their, 1e-3)


def test_the_board_says_the_same(board: Board, board_kit: Path, workplace: Path, steps_there: list[Record]) -> None:
    same_as_here(run_there(board, board_kit, workplace), steps_there)


def test_a_processor_without_dot_products_is_enough(
    tree: Tree, board_kit: Path, workplace: Path, steps_there: list[Record], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with open_board(tree, tmp_path_factory.mktemp("board"), processor=PI_4) as board:
        there = run_there(board, board_kit, workplace)
    assert "asimddp" not in named(there, "host")[0]["features"]
    same_as_here(there, steps_there)
