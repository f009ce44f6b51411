"""llama.cpp's kit on the emulated board: both of its processors, and what a device that it is not for is told."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from board.board import Board, open_board
from board.processors import PI_4
from board.tree import Tree
from kept_results import unpacked_kit

from smolship.artefact import Artefact
from smolship.errors import InputError
from smolship.runtime_checks.kits import kit_gguf, kit_gguf_installed
from smolship.runtime_checks.kits.cross_compiler import OLDEST_GLIBC
from smolship.runtime_checks.kits.llama_cpp_build import PACKAGE
from smolship.runtime_checks.kits.platform import Platform
from smolship.runtime_checks.run_probe import stage
from smolship.targets import Local
from smolship.targets.asking import ask

Record = dict[str, Any]
BOARD = Platform("aarch64", (2, 36), (3, 11))
VARIANTS = {"armv8.0_1", "armv8.2_1", "armv8.2_2", "armv8.2_3", "armv8.6_1", "armv8.6_2"}
STEPS: list[Record] = [
    {"step": "speed", "tokens": list(range(20, 52)), "prefill": [32], "first": 32, "decode": 4, "repeats": 1},
    {"step": "memory"},
    {"step": "generate", "name": "g", "tokens": [30, 40, 50], "max_new": 20, "stop": [2]},
    {"step": "tokenize", "name": "t", "texts": ["the <|im_end|> é"]},
]


@pytest.fixture(scope="session")
def board_kit(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - only for a board
    """The board's kit, from the tests' cache or made now, which takes some minutes."""
    return unpacked_kit("gguf", BOARD, tmp_path_factory.mktemp("kit"))


@pytest.fixture
def workplace(tiny_artefact: Artefact, tmp_path: Path) -> Path:
    """A folder with the probe, the tiny artefact and the job."""
    job = {"backend": "backend_gguf", "model": "model.gguf", "context": 512, "threads": 1, "steps": STEPS}
    stage(Local(tmp_path), tiny_artefact, job)
    return tmp_path


@pytest.fixture
def steps_here(workplace: Path) -> list[Record]:
    """What this machine says to the job that the boards are given."""
    command = [sys.executable, "-m", "probe", "job.json"]
    return records(subprocess.run(command, cwd=workplace, capture_output=True, text=True, check=True).stdout)


def records(printed: str) -> list[Record]:
    return [json.loads(line) for line in printed.splitlines()]


def named(all_of_them: list[Record], kind: str) -> Record:
    return next(record for record in all_of_them if record["record"] == kind)


def run_there(board: Board, kit: Path, work: Path) -> list[Record]:
    """The staged probe's records from a board."""
    shutil.copytree(kit, work / "kit", symlinks=True)
    board.told("rm -rf gguf")
    board.copy(str(work), "board:gguf")
    command = " ".join(kit_gguf.command("kit", "."))
    return records(board.told(f"cd gguf && {command} job.json"))


def same_as_here(there: list[Record], here: list[Record]) -> None:
    assert there[-1]["record"] == "done"
    assert named(there, "host")["machine"] == "aarch64"
    assert named(there, "generated")["tokens"] == named(here, "generated")["tokens"]
    assert named(there, "tokenized") == named(here, "tokenized")
    assert named(there, "load")["versions"]["llama.cpp"] == named(here, "load")["versions"]["llama.cpp"]


def test_the_board_says_the_same_with_dot_products(
    board: Board, board_kit: Path, workplace: Path, steps_here: list[Record]
) -> None:
    there = run_there(board, board_kit, workplace)
    assert named(there, "load")["versions"]["ggml backend"] == "CPU (armv8.2_2)"
    same_as_here(there, steps_here)


def test_a_processor_without_dot_products_takes_another_variant(
    tree: Tree, board_kit: Path, workplace: Path, steps_here: list[Record], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with open_board(tree, tmp_path_factory.mktemp("pi-4"), processor=PI_4) as board:
        there = run_there(board, board_kit, workplace)
    assert "asimddp" not in named(there, "host")["features"]
    assert named(there, "load")["versions"]["ggml backend"] == "CPU (armv8.0_1)"
    same_as_here(there, steps_here)


def test_a_kit_without_a_variant_for_the_processor_says_so(
    board: Board, board_kit: Path, workplace: Path, tmp_path: Path
) -> None:
    kit = tmp_path / "kit without"
    shutil.copytree(board_kit, kit)
    for path in kit.glob("lib/libggml-cpu-armv8.[02]_[12].so"):
        path.unlink()
    board.told("rm -rf without")
    shutil.copytree(kit, workplace / "kit", dirs_exist_ok=True)
    board.copy(str(workplace), "board:without")
    end = board.run(f"cd without && {' '.join(kit_gguf.command('kit', '.'))} job.json")
    assert end.returncode == 3
    assert "none of llama.cpp's backends in kit/lib runs on this processor" in records(end.stdout)[-1]["error"]


def test_every_kind_of_processor_has_its_variant(board_kit: Path) -> None:
    prefix, suffix = "libggml-cpu-", ".so"
    names = {path.name for path in (board_kit / "lib").iterdir()}
    assert names == {"libllama.so", "libggml.so", "libggml-base.so", *(f"{prefix}{each}{suffix}" for each in VARIANTS)}


def test_it_runs_on_the_oldest_c_library_that_is_promised(board_kit: Path) -> None:
    for path in board_kit.rglob("*.so"):
        wanted = re.findall(rb"GLIBC_(\d+)\.(\d+)", path.read_bytes())
        assert max(((int(major), int(minor)) for major, minor in wanted), default=(0, 0)) <= OLDEST_GLIBC, path


def test_no_library_names_a_folder_of_this_machine_or_has_more_than_code(board_kit: Path) -> None:
    for path in (board_kit / "lib").iterdir():
        library = path.read_bytes()
        assert b"/tmp/" not in library
        assert b"smolship" not in library
        assert b".debug_info" not in library


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (Platform("armv7l", (2, 36), (3, 11)), "devices of kind aarch64, and this one is 'armv7l'"),
        (Platform("x86_64", (2, 36), (3, 11)), "devices of kind aarch64, and this one is 'x86_64'"),
        (Platform("aarch64", (2, 36), None), "it has no python3: install one there"),
        (Platform("aarch64", (2, 36), (3, 9)), "the device has Python 3.9, and what runs GGUF files there needs 3.11"),
        (Platform("aarch64", (2, 27), (3, 11)), "the device has glibc 2.27, and what runs GGUF files there needs 2.28"),
    ],
)
def test_a_device_that_it_is_not_for_is_refused(device: Platform, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        kit_gguf.contents(device)


def test_what_decides_its_bytes_is_one_line_of_names_and_versions() -> None:
    line = kit_gguf.contents(BOARD)
    assert "\n" not in line
    assert "aarch64-linux-gnu.2.28" in line
    assert "numpy==" in line


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `llama-cli` on the PATH that is linked with this machine's own libllama."""
    library = kit_gguf._installed(PACKAGE, "llama_cpp/lib")
    program = tmp_path / "bin" / "llama-cli"
    program.parent.mkdir()
    link = ["-Wl,--no-as-needed", f"-L{library}", "-lllama", f"-Wl,-rpath,{library}", "-Wl,--allow-shlib-undefined"]
    source = "int main(void) { return 0; }"
    subprocess.run(["cc", "-x", "c", "-", "-o", program, *link], input=source, text=True, check=True)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return library


def test_the_same_build_on_a_device_is_taken(installed: Path, tmp_path: Path) -> None:
    told = ask(Local(tmp_path), kit_gguf_installed.INSTALLED_SCRIPT)
    assert Path(kit_gguf_installed.installed_libraries(told)) == installed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"program": ""}, "the device has no llama-cli, llama-server or llama-bench on its PATH"),
        ({"folder": ""}, "has llama.cpp inside, not as shared libraries"),
        ({"build": "0.4.0 1234567"}, "is another build (0.4.0 1234567) than the one that llama-cpp-python"),
        ({"build": "unknown unknown"}, "is another build (unknown unknown)"),
        ({"build": ""}, "is another build (it does not say which)"),
    ],
)
def test_another_build_or_none_is_refused(change: dict[str, str], words: str) -> None:
    told = {"program": "/usr/bin/llama-cli", "folder": "/usr/lib", "build": kit_gguf_installed._build_here()}
    with pytest.raises(InputError, match=re.escape(words)):
        kit_gguf_installed.installed_libraries(told | change)


def test_a_device_without_llama_cpp_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sh", "tr"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask(Local(tmp_path), kit_gguf_installed.INSTALLED_SCRIPT) == {"program": ""}
