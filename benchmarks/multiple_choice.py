"""Multiple choice on the real runtimes: accuracy of artefacts, paired against one of them and against fp32.

    python benchmarks/multiple_choice.py ARTEFACT... --data FILE.jsonl.gz [--rows N] [--baseline ARTEFACT]
        [--reference] [--checkpoint SPEC] [--keep FOLDER] [--threads 2] [--json FILE]

A row is `{"id": text, "query": text, "choices": [text, ...], "gold": index}`. A choice's score is the log-likelihood
of `" " + choice` after the query: `acc` takes the likeliest choice, `acc_norm` the likeliest a character, as
lm-evaluation-harness does. A model of this size is right a little more often than by chance, so accuracy tells files
apart late; the margin (gold minus the best other choice, in nats) and the agreement with fp32's choices do so sooner.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from smolship.artefact import Artefact, write_atomically
from smolship.checkpoint import Checkpoint, Tokenizer
from smolship.errors import InputError, SmolshipError
from smolship.progress import Progress
from smolship.runtime_checks.tasks.likelihoods import Runner, log_likelihoods
from smolship.runtime_checks.tasks.paired import difference, mcnemar
from smolship.runtime_checks.tasks.rows import Row, continuations, read_rows
from smolship.runtime_checks.tasks.scores import RowValues, mean, values
from smolship.terminal import showing_progress
from smolship.workflows.check import open_source

SAVED_EVERY = 50
"""rows between two writes of what is kept"""
REFERENCE = "fp32"


@dataclass(frozen=True)
class Subject:
    """One model to score: its name here, what tells it from others, and how it is loaded."""

    name: str
    key: str
    open: Callable[[], Runner]


class Kept:
    """Scores of a subject on the rows of one file, in a folder: a run that was ended goes on where it was."""

    def __init__(self, folder: Path | None, subject: Subject, data_key: str) -> None:
        self._path = folder / f"{subject.key[:16]}-{data_key[:16]}.json" if folder else None
        known = self._path is not None and self._path.is_file()
        self.scores: list[tuple[float, ...]] = _load(self._path) if known and self._path else []

    def add(self, scores: tuple[float, ...]) -> None:
        """One more row's."""
        self.scores.append(scores)
        if len(self.scores) % SAVED_EVERY == 0:
            self.write()

    def write(self) -> None:
        """Put them into the folder, if there is one."""
        if self._path:
            write_atomically(self._path, (json.dumps(self.scores) + "\n").encode())


def _load(path: Path) -> list[tuple[float, ...]]:
    return [tuple(scores) for scores in json.loads(path.read_text(encoding="utf-8"))]


def score(subject: Subject, rows: list[Row], tokenizer: Tokenizer, kept: Kept, progress: Progress) -> RowValues:
    """Score the rows that are not kept yet."""
    missing = rows[len(kept.scores) :]
    if missing:
        runner = subject.open()
        with progress.task(subject.name, len(missing)) as advance:
            for row in missing:
                kept.add(log_likelihoods(runner, continuations(tokenizer, row)))
                advance(1)
        kept.write()
    return values(rows, kept.scores[: len(rows)])


def named(folders: list[Path]) -> dict[Path, str]:
    """Each folder once, with its own name, or with its whole path where two have one name."""
    names = Counter(folder.name for folder in set(folders))
    return {folder: folder.name if names[folder.name] == 1 else str(folder) for folder in folders}


def subjects(artefacts: list[Path], checkpoint: Checkpoint, threads: int, with_reference: bool) -> list[Subject]:
    """The artefacts, whose files must be those of their manifests, and the checkpoint in fp32 if it is asked for."""
    from smolship.runtime_checks.tasks.runners import FullPrecision, open_runner

    found = []
    for folder, name in named(artefacts).items():
        artefact = Artefact.open(folder)
        artefact.verify()
        if artefact.manifest.source.sha256 != checkpoint.source.sha256:
            raise InputError(f"{folder} was made from another checkpoint than {checkpoint.name}")
        key = sha256("".join(sorted(file.sha256 for file in artefact.manifest.files)).encode()).hexdigest()
        found.append(Subject(name, key, partial(open_runner, artefact, threads)))
    if with_reference:

        def load() -> Runner:
            from smolship.reference import Reference

            return FullPrecision(Reference.from_checkpoint(checkpoint, threads))

        found.append(Subject(REFERENCE, checkpoint.source.sha256, load))
    return found


def summarise(scored: dict[str, RowValues], baseline: str | None) -> list[dict[str, Any]]:
    """A record for each model: its own figures, then what pairs it with the baseline and with fp32."""
    records = []
    for name, found in scored.items():
        record: dict[str, Any] = {
            "name": name,
            "acc": asdict(mean(found.right)),
            "acc_norm": asdict(mean(found.right_normalised)),
            "margin": asdict(mean(found.margin)),
        }
        if REFERENCE in scored and name != REFERENCE:
            record |= _beside_reference(found, scored[REFERENCE])
        if baseline and name not in (baseline, REFERENCE):
            base = scored[baseline]
            record["against"] = baseline
            record["acc_paired"] = asdict(mcnemar(found.right, base.right)) | asdict(
                difference(found.right, base.right)
            )
            record["acc_norm_paired"] = asdict(mcnemar(found.right_normalised, base.right_normalised)) | asdict(
                difference(found.right_normalised, base.right_normalised)
            )
            record["margin_paired"] = asdict(difference(found.margin, base.margin))
            if REFERENCE in scored:
                record |= _nearer_reference(found, base, scored[REFERENCE])
        records.append(record)
    return records


def _beside_reference(found: RowValues, exact: RowValues) -> dict[str, Any]:
    """How often the choice is fp32's, and how far the margin is from fp32's, in nats."""
    return {
        "agreement": asdict(mean((found.choice == exact.choice).astype(np.float64))),
        "margin_error": asdict(mean(abs(found.margin - exact.margin))),
    }


def _nearer_reference(found: RowValues, base: RowValues, exact: RowValues) -> dict[str, Any]:
    """The same two, paired: agreement gained on the baseline, margin error lost."""
    mine, theirs = ((each.choice == exact.choice).astype(np.float64) for each in (found, base))
    errors = (abs(each.margin - exact.margin) for each in (found, base))
    return {
        "agreement_paired": asdict(mcnemar(mine, theirs)) | asdict(difference(mine, theirs)),
        "margin_error_paired": asdict(difference(*errors)),
    }


def markdown(records: list[dict[str, Any]]) -> str:
    """The records as two tables: each model alone, and each beside the baseline."""
    lines = ["| model | acc | acc_norm | margin, nats | agrees with fp32 | margin error |", "| --- |" + " --- |" * 5]
    for one in records:
        cells = [_percent(one["acc"]), _percent(one["acc_norm"]), _plus_minus(one["margin"])]
        cells += [_percent(one["agreement"]) if "agreement" in one else "–"]
        cells += [_plus_minus(one["margin_error"]) if "margin_error" in one else "–"]
        lines.append(f"| {one['name']} | {' | '.join(cells)} |")
    paired = [one for one in records if "against" in one]
    if paired:
        lines += ["", f"Paired against {paired[0]['against']}, 95 % intervals:", ""]
        lines += ["| model | what | difference | gained / lost | p (McNemar) |", "| --- | --- | --- | --- | --- |"]
    for one in paired:
        for what in ("acc", "acc_norm", "agreement", "margin", "margin_error"):
            if f"{what}_paired" in one:
                lines.append(_paired_line(one["name"], what, one[f"{what}_paired"]))
    return "\n".join(lines)


def _paired_line(name: str, what: str, of: dict[str, Any]) -> str:
    scale, unit = (1, "nats") if what.startswith("margin") else (100, "points")
    shown = f"{scale * of['value']:+.2f} ({scale * of['low']:+.2f} to {scale * of['high']:+.2f}) {unit}"
    test = f"{of['gained']} / {of['lost']} | {of['p']:.2g}" if "p" in of else "– | –"
    return f"| {name} | {what} | {shown} | {test} |"


def _percent(of: dict[str, Any]) -> str:
    return f"{100 * of['value']:.1f} ± {100 * of['error']:.1f} %"


def _plus_minus(of: dict[str, Any]) -> str:
    return f"{of['value']:.3f} ± {of['error']:.3f}"


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Score everything, pair it, write what was asked for."""
    folders = [*options.artefacts, *([options.baseline] if options.baseline else [])]
    rows = read_rows(options.data, options.rows)
    data_key = sha256(options.data.read_bytes()).hexdigest()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    scored = {}
    with showing_progress() as progress:
        checkpoint = open_source([Artefact.open(folder) for folder in folders], options.checkpoint, None, progress)
        for subject in subjects(folders, checkpoint, options.threads, options.reference):
            kept = Kept(options.keep, subject, data_key)
            scored[subject.name] = score(subject, rows, checkpoint.tokenizer, kept, progress)
    return summarise(scored, named(folders)[options.baseline] if options.baseline else None)


def main() -> None:
    """Parse, score, print."""
    parser = argparse.ArgumentParser(description="multiple choice on the real runtimes")
    parser.add_argument("artefacts", type=Path, nargs="+", metavar="ARTEFACT")
    parser.add_argument("--data", type=Path, required=True, help="JSON lines, .gz or not")
    parser.add_argument("--rows", type=int, help="only the first ones")
    parser.add_argument("--baseline", type=Path, help="the artefact that the others are paired with")
    parser.add_argument("--reference", action="store_true", help="score the checkpoint in fp32 too")
    parser.add_argument("--checkpoint", help="what they were made from, if their manifest cannot say where it is")
    parser.add_argument("--keep", type=Path, help="folder of scores: what is there is not measured again")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        records = run(options)
    except SmolshipError as error:
        parser.exit(error.exit_code, f"{error}\n")
    print(f"{options.data.name}, {records[0]['acc']['rows']} rows; ± is one standard error\n\n{markdown(records)}")
    if options.json:
        write_atomically(options.json, (json.dumps(records, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
