"""This project's files of one format beside other tools' of the same checkpoint: speed, memory, size, fidelity.

`onnx_peers` and `executorch_peers` say what takes part (a `Contest`); this makes it, measures it in turns and compares.
Other tools are in environments of their own (`foreign_makers`).
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from foreign_makers import ENVIRONMENTS, Workshop, open_workshop
from peers_one import DECODE, DEEP, FIRST, PREFILL, REPEATS
from peers_ratios import Rivalry, ratios_of
from peers_rounds import Candidate, take_rounds
from peers_view import show

from smolship.artefact import write_atomically
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import SmolshipError
from smolship.quiet import quiet
from smolship.runtime_checks.probe.host import processor
from smolship.runtime_checks.windows import COUNT, ReferenceWindows, Windows, reference_windows, windows


@dataclass(frozen=True)
class Contest:
    """What takes part, and what is asked of it."""

    format: str
    context: int
    candidates: Callable[[Workshop, Path], list[Candidate]]
    """makes them, ours below the folder that is given"""
    record: Callable[[Candidate, ReferenceWindows, int], dict[str, Any]]
    """what is said of a file apart from its speed; threads last"""
    rivalries: tuple[Rivalry, ...]
    packages: tuple[str, ...]
    """whose versions are written down"""
    environments: tuple[str, ...]


def file_records(
    contest: Contest, chosen: list[Candidate], checkpoint: Checkpoint, text: Windows, threads: int
) -> list[dict[str, Any]]:
    """A record of each file; the reference runs once."""
    from smolship.reference import Reference

    records: dict[str, dict[str, Any]] = {}
    with reference_windows(lambda: Reference.from_checkpoint(checkpoint, threads), text, "fp32") as reference:
        for candidate in chosen:
            if candidate.file not in records:
                record = contest.record(candidate, reference, threads)
                records[candidate.file] = record
                print(f"{candidate.file}: KL {record['KL']:.4f}", file=sys.stderr, flush=True)
    return list(records.values())


def compare(contest: Contest, options: argparse.Namespace) -> dict[str, Any]:
    """Make, measure; everything that is written down."""
    before = os.getloadavg()  # nothing of this has run yet
    checkpoint = open_checkpoint(options.checkpoint)
    text = windows(checkpoint.tokenizer, options.text, count=options.windows)
    shop = open_workshop(checkpoint, options.work)
    with tempfile.TemporaryDirectory(prefix=f"{contest.format}-peers-", dir=shop.work) as place:
        with quiet():
            chosen = contest.candidates(shop, Path(place))
        if options.again:
            files = json.loads(options.json.read_text(encoding="utf-8"))["files"]
        else:
            files = file_records(contest, chosen, checkpoint, text, options.threads)
        chosen = [each for each in chosen if not options.only or each.name in options.only]
        tokens = list(text.tokens[0])
        runs = take_rounds(chosen, contest.format, contest.context, tokens, options.rounds, options.threads)
    workload = {"prefill": PREFILL, "prompt": FIRST, "decode": DECODE, "deep": DEEP, "repeats": REPEATS}
    return {
        "checkpoint": checkpoint.name,
        "cpu": processor()[0],
        "threads": options.threads,
        "rounds": options.rounds,
        "load_before": before,
        "load_after": os.getloadavg(),
        "versions": {name: version(name) for name in (*contest.packages, "smolship")},
        "environments": {name: ENVIRONMENTS[name] for name in contest.environments},
        "workload": workload | {"context": contest.context},
        "text": text.text.model_dump(),
        "files": files,
        "runs": [asdict(run) for run in runs],
        "ratios": [
            asdict(ratio) | {"holds": ratio.holds(), "sure": ratio.sure()}
            for ratio in ratios_of(runs, contest.rivalries)
        ],
    }


def main(contest: Contest) -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(description=f"{contest.format} files beside other tools' files")
    parser.add_argument("--checkpoint", default="embedded")
    parser.add_argument("--work", type=Path, default=Path("build/foreign"))
    parser.add_argument("--text", default="prose", help="prose, or a UTF-8 file (.gz or not)")
    parser.add_argument("--windows", type=int, default=COUNT)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--again", action="store_true", help="keep what the JSON file says of sizes and fidelity")
    parser.add_argument("--only", nargs="*", help="leave the other candidates out of the rounds")
    options = parser.parse_args()
    try:
        record = compare(contest, options)
    except SmolshipError as error:
        parser.exit(error.exit_code, f"{error}\n")
    show(record)
    if options.json:
        write_atomically(options.json, (json.dumps(record, indent=2) + "\n").encode())
