"""This project's ONNX files beside other tools' of the same checkpoint: speed, memory, size, fidelity; interleaved.

    python benchmarks/onnx_peers.py [--checkpoint embedded] [--work build/foreign] [--text prose|FILE] [--rounds 10]
        [--threads 2] [--json FILE] [--again] [--only NAME ...]

`onnx_makers` says what is measured and makes it; other tools are in environments of their own. Every measurement is a
process of its own (`onnx_peers_one`) with a fresh load, all on the same runner. A round measures every candidate once;
the order is turned and reversed from round to round. `onnx_ratios` says what is compared with what, and the bars.
`--again` keeps what the JSON file says of sizes and fidelity; `--only` leaves the other candidates out of the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from foreign_makers import ENVIRONMENTS, open_workshop
from onnx_files import file_records
from onnx_makers import CONTEXT, Candidate, candidates, model_files
from onnx_peers_one import DECODE, FIRST, PREFILL, REPEATS
from onnx_peers_view import show
from onnx_ratios import Runs, ratios_of

from smolship.artefact import write_atomically
from smolship.checkpoint import open_checkpoint
from smolship.errors import RuntimeFailure, SmolshipError
from smolship.quiet import quiet
from smolship.runtime_checks.probe.host import processor
from smolship.runtime_checks.windows import COUNT, windows

TIMEOUT = 600.0


def in_turn(count: int, turn: int) -> list[int]:
    """The order of a round: begun at another place each time, every other one backwards."""
    step = -1 if turn % 2 else 1
    return [(turn * 5 + step * index) % count for index in range(count)]


def measure_one(candidate: Candidate, tokens: list[int], threads: int) -> dict[str, Any]:
    """What the process that measures one folder says; `RuntimeFailure` names the folder."""
    job = {"folder": str(candidate.folder), "threads": threads, "context": CONTEXT, "tokens": tokens}
    command = [sys.executable, str(Path(__file__).with_name("onnx_peers_one.py"))]
    try:
        end = subprocess.run(
            command, input=json.dumps(job), capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailure(f"{candidate.name} was not done after {TIMEOUT:.0f} s") from error
    if end.returncode != 0:
        said = end.stderr.strip().splitlines() or ["it said nothing"]
        raise RuntimeFailure(f"{candidate.name} ended with {end.returncode}: {said[-1]}")
    told: dict[str, Any] = json.loads(end.stdout)
    return told


def take_rounds(chosen: list[Candidate], tokens: list[int], rounds: int, threads: int) -> list[Runs]:
    """Every candidate measured once a round."""
    runs = [Runs(each.name, each.file, each.chunk, [], [], [], [], [], []) for each in chosen]
    for path in {path for each in chosen for path in model_files(each.folder)}:
        path.read_bytes()  # so that the first round finds them in memory as the others do
    for turn in range(rounds):
        for index in in_turn(len(chosen), turn):
            told, into = measure_one(chosen[index], tokens, threads), runs[index]
            into.decode.append(DECODE / statistics.median(told["decode"]))
            into.prefill.append(PREFILL / statistics.median(told["prefill"]))
            into.peak.append(told["peak"] / 1e6)
            into.imports.append(told["imports"] / 1e6)
            into.loaded.append(told["loaded"] / 1e6)
            into.load.append(told["load"])
        print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    return runs


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Make, measure; everything that is written down."""
    before = os.getloadavg()  # nothing of this has run yet
    checkpoint = open_checkpoint(options.checkpoint)
    text = windows(checkpoint.tokenizer, options.text, count=options.windows)
    shop = open_workshop(checkpoint, options.work)
    with tempfile.TemporaryDirectory(prefix="onnx-peers-", dir=shop.work) as place:
        with quiet():
            chosen = candidates(shop, Path(place))
        if options.again:
            files = json.loads(options.json.read_text(encoding="utf-8"))["files"]
        else:
            files = file_records(chosen, checkpoint, text, options.threads)
        chosen = [each for each in chosen if not options.only or each.name in options.only]
        runs = take_rounds(chosen, list(text.tokens[0]), options.rounds, options.threads)
    ratios = ratios_of(runs)
    return {
        "checkpoint": checkpoint.name,
        "cpu": processor()[0],
        "threads": options.threads,
        "rounds": options.rounds,
        "load_before": before,
        "load_after": os.getloadavg(),
        "versions": {name: version(name) for name in ("onnxruntime", "optimum", "optimum-onnx", "smolship")},
        "environments": {"genai": ENVIRONMENTS["genai"]},
        "workload": {"prefill": PREFILL, "prompt": FIRST, "decode": DECODE, "repeats": REPEATS, "context": CONTEXT},
        "text": text.text.model_dump(),
        "files": files,
        "runs": [asdict(run) for run in runs],
        "ratios": [asdict(ratio) | {"holds": ratio.holds(), "sure": ratio.sure()} for ratio in ratios],
    }


def main() -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(description="ONNX files beside other tools' files")
    parser.add_argument("--checkpoint", default="embedded")
    parser.add_argument("--work", type=Path, default=Path("build/foreign"))
    parser.add_argument("--text", default="prose", help="prose, or a UTF-8 file (.gz or not)")
    parser.add_argument("--windows", type=int, default=COUNT)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    try:
        record = compare(options)
    except SmolshipError as error:
        parser.exit(error.exit_code, f"{error}\n")
    show(record)
    if options.json:
        write_atomically(options.json, (json.dumps(record, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
