"""The probe as a program: bare environment, protocol, faults."""

import json
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smolship.artefact import Artefact
from smolship.runtime_checks.fidelity import log_softmax
from smolship.runtime_checks.run_probe import stage
from smolship.targets import Local

NEEDED = ("numpy", "numpy.libs", "llama_cpp", "diskcache", "jinja2", "markupsafe", "typing_extensions.py")
"""of site-packages: numpy, and llama-cpp-python with what it imports itself"""

SPEED = {"step": "speed", "tokens": list(range(20, 84)), "prefill": [32, 64], "first": 64, "decode": 8, "repeats": 3}


@pytest.fixture
def workplace(tiny_artefact: Artefact, tmp_path: Path) -> Path:
    """A folder with the probe, the tiny artefact and a job of every step."""
    steps: list[dict[str, Any]] = [
        SPEED,
        {"step": "memory"},
        {"step": "generate", "name": "g", "tokens": [30, 40, 50], "max_new": 5, "stop": [2]},
        {"step": "tokenize", "name": "t", "texts": ["the <|im_end|> é", ""]},
        {"step": "windows", "windows": [[30, 40, 50], list(range(20, 320))], "keep": 9, "patience": 5},
    ]
    write_job(tmp_path, tiny_artefact, steps)
    return tmp_path


def write_job(folder: Path, artefact: Artefact, steps: list[dict[str, Any]], **more: Any) -> None:
    job = {"backend": "backend_gguf", "model": "model.gguf", "context": 512, "threads": 1, "steps": steps, **more}
    stage(Local(folder), artefact, job)


def probe(folder: Path, python: str = sys.executable) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[str]]:
    """Run the staged probe as a user on a device would; its records and how it ended."""
    end = subprocess.run([python, "-m", "probe", "job.json"], cwd=folder, capture_output=True, text=True, check=False)
    return [json.loads(line) for line in end.stdout.splitlines()], end


def named(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record for record in records if record["record"] == kind]


def test_it_runs_where_there_is_only_numpy_and_the_runtime(workplace: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=False, symlinks=True)
    here = Path(sys.prefix) / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    there = bare / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    for name in NEEDED:
        (there / name).symlink_to(here / name)
    python = str(bare / "bin" / "python")
    for absent in ("smolship", "torch", "pydantic"):
        assert subprocess.run([python, "-c", f"import {absent}"], capture_output=True, check=False).returncode != 0
    records, end = probe(workplace, python)
    assert end.returncode == 0, end.stderr
    assert records[-1]["record"] == "done"


def test_every_record_of_a_whole_job(workplace: Path) -> None:
    records, end = probe(workplace)
    assert end.returncode == 0, end.stderr
    assert {record["protocol"] for record in records} == {1}
    kinds = [record["record"] for record in records if record["record"] not in ("progress", "step")]
    assert kinds == [
        "host", "imports", "load", *["speed"] * 4, "memory", "generated", "tokenized", "logits", "logits", "done"
    ]  # fmt: skip
    assert {(each["measure"], each["tokens"]) for each in named(records, "speed")} == {
        ("prefill", 32), ("prefill", 64), ("first_token", 64), ("decode", 8)
    }  # fmt: skip
    assert all(len(each["seconds"]) == 3 and min(each["seconds"]) > 0 for each in named(records, "speed"))
    memory, imports = named(records, "memory")[0], named(records, "imports")[0]["memory"]
    assert memory["peak"] >= memory["sampled_rss"] * 0.98  # the kernel counts both a little late
    assert memory["sampled_rss"] >= imports["rss"] * 0.9
    assert memory["sampled_rss"] == pytest.approx(memory["anon"] + memory["file"] + memory["shared"], rel=0.02)
    assert len(named(records, "generated")[0]["tokens"]) <= 5
    assert bytes.fromhex(named(records, "tokenized")[0]["bytes"][0]).decode() == "the <|im_end|> é"
    for record, rows in zip(named(records, "logits"), (3, 300), strict=True):
        assert record["shape"] == [rows, 320]
        assert (workplace / record["file"]).stat().st_size == rows * 320 * 4
    assert [each["step"] for each in named(records, "step")] == ["speed", "memory", "generate", "tokenize", "windows"]


def test_likelihoods_are_those_of_the_logits(tmp_path: Path, tiny_artefact: Artefact) -> None:
    windows = [[30, 40, 50], list(range(20, 220))]
    ids = [[[0, 5, 319]] * len(window) for window in windows]
    steps: list[dict[str, Any]] = [
        {"step": "windows", "windows": windows, "keep": 9, "patience": 5},
        {"step": "likelihoods", "windows": windows, "ids": ids},
    ]
    write_job(tmp_path, tiny_artefact, steps)
    records, end = probe(tmp_path)
    assert end.returncode == 0, end.stderr
    told = named(records, "likelihoods")
    assert [each["window"] for each in told] == [0, 1]
    for record, logits in zip(told, named(records, "logits"), strict=True):
        rows = log_softmax(np.fromfile(tmp_path / logits["file"], "<f4").reshape(logits["shape"]))
        assert record["top1"] == rows.argmax(axis=-1).tolist()
        assert np.allclose(record["log_probabilities"], rows[:, [0, 5, 319]], atol=1e-5)
        assert np.allclose(
            np.exp(record["tail"]), np.delete(np.exp(rows), [0, 5, 319], axis=-1).sum(axis=-1), atol=1e-5
        )


def test_a_sustained_run_lasts_as_long_as_asked_and_begins_again_when_its_context_is_full(
    tmp_path: Path, tiny_artefact: Artefact
) -> None:
    """The context holds 60 tokens: without beginning again the runtime would refuse the sixty-first."""
    step = {"step": "sustained", "seconds": 1.0, "slice": 0.2, "tokens": [30, 40, 50], "room": 60}
    write_job(tmp_path, tiny_artefact, [step], context=60)
    start = time.monotonic()
    records, end = probe(tmp_path)
    assert end.returncode == 0, end.stderr
    assert time.monotonic() - start >= 1
    (found,) = named(records, "sustained")
    assert found["tokens"] > 3 * 60
    assert 0.5 < found["seconds"] < 1.5
    assert 2 <= len(found["rates"]) <= 5
    assert min(found["rates"]) > 0
    assert max(found["rates"]) >= found["tokens"] / found["seconds"] * 0.9
    assert [each["done"] for each in named(records, "progress")] == list(range(1, len(found["rates"]) + 1))


def test_what_a_runtime_prints_does_not_reach_the_records(workplace: Path) -> None:
    backend = workplace / "probe" / "backend_gguf.py"
    noisy = backend.read_text() + "\nimport os\nos.write(1, b'noise\\n')\nprint('more noise')\n"
    backend.unlink()
    backend.write_text(noisy)
    records, end = probe(workplace)
    assert records[-1]["record"] == "done"
    assert "noise" not in end.stdout
    assert "noise" in end.stderr


@pytest.mark.parametrize(
    ("change", "stage_", "words"),
    [
        ({"steps": [{"step": "juggle"}]}, "job", "unknown step 'juggle': the known ones are generate"),
        ({"protocol": 99}, "job", "the job speaks protocol 99"),
        ({"backend": "os"}, "imports", "is no backend module"),
        ({"backend": "backend_of_nothing"}, "imports", "backend_of_nothing"),
        ({"steps": [SPEED | {"prefill": [4096]}]}, "speed", "was given only 64"),
        ({"steps": [{"step": "likelihoods", "windows": [[30]], "ids": [[[320]]]}]}, "likelihoods", "out of bounds"),
        ({"steps": [{"step": "likelihoods", "windows": [[30]], "ids": []}]}, "likelihoods", "shorter"),
        ({"steps": [{"step": "sustained", "seconds": 9, "slice": 1, "tokens": [], "room": 9}]}, "sustained", ""),
        ({"steps": [{"step": "windows", "windows": [[30] * 900], "keep": 2, "patience": 1}]}, "windows", "is full"),
        ({"steps": [{"step": "windows", "windows": [[30]] * 3, "keep": 1, "patience": 0.1}]}, "windows", "nobody took"),
    ],
)  # fmt: skip
def test_a_fault_is_a_record_and_exit_3(workplace: Path, change: dict[str, Any], stage_: str, words: str) -> None:
    job = json.loads((workplace / "job.json").read_text()) | change
    (workplace / "job.json").unlink()
    (workplace / "job.json").write_text(json.dumps(job))
    records, end = probe(workplace)
    assert end.returncode == 3
    assert (records[-1]["record"], records[-1]["stage"]) == ("failed", stage_)
    assert words in records[-1]["error"]


@pytest.mark.parametrize("damage", ["cut", "garbled", "absent"])
def test_a_damaged_model_file_is_a_record(tmp_path: Path, copied_artefact: Artefact, damage: str) -> None:
    write_job(tmp_path / "work", copied_artefact, [])
    model = tmp_path / "work" / "artefact" / "model.gguf"
    whole = model.read_bytes()
    model.unlink()
    if damage != "absent":
        model.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"GARBLED!" * 1000)
    records, end = probe(tmp_path / "work")
    assert end.returncode == 3
    assert records[-1]["stage"] == "load"
    assert "llama.cpp refused model.gguf" in records[-1]["error"]


def test_memory_is_watched_from_outside(tmp_path: Path) -> None:
    """What a process holds for 0.2 s while it keeps the interpreter's lock is seen."""
    program = (
        "import ctypes, json, sys; from smolship.runtime_checks.probe.memory import Sampler, read_memory\n"
        "before, sampler = read_memory()['anon'], Sampler()\n"
        "block = bytearray(100_000_000); ctypes.PyDLL(None).usleep(200_000); del block\n"
        "print(json.dumps([before, sampler.stop()]))"
    )
    end = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    before, found = json.loads(end.stdout)
    assert found["anon"] - before == pytest.approx(100e6, rel=0.1)
    assert found["sampled_rss"] == pytest.approx(found["peak"], rel=0.05)
    assert end.stderr == ""


def test_it_ends_with_whoever_asked(tmp_path: Path, tiny_artefact: Artefact) -> None:
    step = {"step": "windows", "windows": [[30]] * 3, "keep": 1, "patience": 60}
    write_job(tmp_path, tiny_artefact, [step], watch_stdin=True)
    command = [sys.executable, "-m", "probe", "job.json"]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    while b'"logits"' not in process.stdout.readline():
        pass
    start = time.monotonic()
    process.stdin.close()
    assert process.wait(10) == 3
    assert time.monotonic() - start < 5
    process.stdout.close()


def test_no_file_of_the_probe_imports_this_package() -> None:
    import smolship.runtime_checks.probe as package

    for path in Path(package.__file__).parent.glob("*.py"):
        assert "import smolship" not in path.read_text()
        assert "from smolship" not in path.read_text()
