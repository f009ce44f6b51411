"""Files measured in turns: each in a process of its own with a fresh load, every one once a round.

The order of a round is begun at another place each time, and every other round goes backwards.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers_one import DECODE, DEEP, PREFILL

from smolship.errors import RuntimeFailure

TIMEOUT = 600.0


@dataclass(frozen=True)
class Candidate:
    """A model file as it is run."""

    name: str
    file: str
    """what file it is: candidates of one file differ in how they are run alone"""
    folder: Path
    model: str
    """the model file's name in the folder"""


@dataclass(frozen=True)
class Runs:
    """What one candidate did, an entry a round."""

    name: str
    file: str
    measures: dict[str, list[float]]
    """
    `decode`, `deep`, `prefill` in tokens per second; `imports` (resident before the load), `loaded` (the peak until its
    end), `peak` (of the whole process) and `own` (the peak beyond the imports) in MB; `load` in seconds
    """


def in_turn(count: int, turn: int) -> list[int]:
    """The order of a round."""
    step = -1 if turn % 2 else 1
    return [(turn * 5 + step * index) % count for index in range(count)]


def measure_one(candidate: Candidate, runtime: str, context: int, tokens: list[int], threads: int) -> dict[str, Any]:
    """What the process that measures one file says; `RuntimeFailure` names the candidate."""
    job: dict[str, Any] = {"format": runtime, "folder": str(candidate.folder), "model": candidate.model}
    job |= {"threads": threads, "context": context, "tokens": tokens}
    command = [sys.executable, str(Path(__file__).with_name("peers_one.py"))]
    try:
        end = subprocess.run(
            command, input=json.dumps(job), capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailure(f"{candidate.name} was not done after {TIMEOUT:.0f} s") from error
    if end.returncode != 0:
        said = end.stderr.strip().splitlines() or ["it said nothing"]
        raise RuntimeFailure(f"{candidate.name} ended with {end.returncode}: {said[-1]}")
    told: dict[str, Any] = json.loads(end.stdout.splitlines()[-1])
    return told


def measures_of(told: dict[str, Any]) -> dict[str, float]:
    """The measures of `Runs` from what one process says."""
    return {
        "decode": DECODE / statistics.median(told["decode"]),
        "deep": DEEP / statistics.median(told["deep"]),
        "prefill": PREFILL / statistics.median(told["prefill"]),
        "peak": told["peak"] / 1e6,
        "own": (told["peak"] - told["imports"]) / 1e6,
        "imports": told["imports"] / 1e6,
        "loaded": told["loaded"] / 1e6,
        "load": told["load"],
    }


def take_rounds(
    chosen: list[Candidate], runtime: str, context: int, tokens: list[int], rounds: int, threads: int
) -> list[Runs]:
    """Every candidate measured once a round on the runtime of a format."""
    runs = [Runs(each.name, each.file, {}) for each in chosen]
    for path in {path for each in chosen for path in model_files(each)}:
        path.read_bytes()  # so that the first round finds them in memory as the others do
    for turn in range(rounds):
        for index in in_turn(len(chosen), turn):
            told = measure_one(chosen[index], runtime, context, tokens, threads)
            for name, value in measures_of(told).items():
                runs[index].measures.setdefault(name, []).append(value)
        print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    return runs


def model_files(candidate: Candidate) -> list[Path]:
    """The model and what it keeps outside of itself."""
    return sorted(path for path in candidate.folder.iterdir() if path.name.startswith(candidate.model))
