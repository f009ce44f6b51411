"""How far artefacts are from the checkpoint in fp32, on their own runtimes: KL, top-1 and perplexity on one text.

    python benchmarks/divergence.py ARTEFACT... [--checkpoint SPEC] [--text prose|chat|code|FILE] [--windows 8]
        [--threads 2] [--json FILE]

Nothing else is measured, so this is quicker than `smolship check`. The reference runs once. With `--json`, records of
the same artefact on the same text are replaced in the file, and the others stay: `divergence_plot.py` draws them.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smolship.artefact import Artefact, write_atomically
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError, SmolshipError
from smolship.progress import Progress
from smolship.runtime_checks.check_artefact import Settings
from smolship.runtime_checks.job import logits_step
from smolship.runtime_checks.measurements import Fidelity
from smolship.runtime_checks.take_steps import take_steps
from smolship.runtime_checks.windows import COUNT, LENGTH, ReferenceWindows, reference_windows, windows
from smolship.terminal import showing_progress
from smolship.workflows.check import open_source

TIMEOUT = 7200.0
"""seconds for one artefact; ExecuTorch decodes token by token"""


def measure(
    artefact: Artefact, checkpoint: Checkpoint, reference: ReferenceWindows, threads: int, progress: Progress
) -> Fidelity:
    """The fidelity of one artefact; `RuntimeFailure` says how its runtime failed."""
    title = f"Measuring {artefact.folder.name}"
    with progress.task(title, len(reference.windows.tokens)) as advance:
        settings = Settings(threads, timeout=TIMEOUT)
        taken = take_steps(artefact, checkpoint, reference, [logits_step(reference.windows)], settings, advance)
    fidelity: Fidelity = taken.fields["fidelity"]
    return fidelity


def record_of(artefact: Artefact, found: Fidelity, reference: ReferenceWindows) -> dict[str, Any]:
    """What is written down; MB are 10^6 bytes of the model file, KL is in nats."""
    manifest, text = artefact.manifest, reference.windows.text
    return {
        "name": artefact.folder.name,
        "recipe": manifest.recipe,
        "format": manifest.format,
        "calibration": manifest.calibration,
        "MB": round(manifest.model_bytes / 1e6, 2),
        "bits_per_weight": round(manifest.bits_per_weight, 3),
        "KL": found.kl_mean,
        "KL_p99": found.kl_p99,
        "top1": found.top1,
        "perplexity": found.perplexity,
        "perplexity_ratio": found.perplexity_ratio,
        "text": {"name": text.name, "sha256": text.sha256, "tokens": found.positions, "window": text.length},
        "reference": {"described": reference.described, "sha256": manifest.source.sha256},
    }


def merged(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The old records without those that are measured anew, then the new ones."""

    def key(record: dict[str, Any]) -> tuple[str, ...]:
        return record["name"], record["format"], record["text"]["sha256"], record["reference"]["sha256"]

    measured = {key(record) for record in new}
    return [record for record in old if key(record) not in measured] + new


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every artefact against one reference."""
    with measuring(options) as (artefacts, checkpoint, reference, progress):
        return [
            record_of(one, measure(one, checkpoint, reference, options.threads, progress), reference)
            for one in artefacts
        ]


@contextmanager
def measuring(options: argparse.Namespace) -> Iterator[tuple[list[Artefact], Checkpoint, ReferenceWindows, Progress]]:
    """What `add_options` asks for: whole artefacts, their one checkpoint, and what it says in fp32 about the text.

    `InputError` if a file is not its manifest's, or the artefacts are not of one checkpoint.
    """
    artefacts = [Artefact.open(folder) for folder in options.artefacts]
    with showing_progress() as progress:
        checkpoint = open_source(artefacts, options.checkpoint, None, progress)
        for artefact in artefacts:
            artefact.verify()
            if artefact.manifest.source.sha256 != checkpoint.source.sha256:
                raise InputError(f"{artefact.folder} was made from another checkpoint than {checkpoint.name}")
        chosen = windows(checkpoint.tokenizer, options.text, count=options.windows)
        if any(artefact.manifest.context < LENGTH for artefact in artefacts):
            raise InputError(
                f"windows of {LENGTH} tokens need artefacts made for that many: build with a longer --context"
            )
        described = f"{checkpoint.name} ({checkpoint.source.stored_as} weights) in fp32"
        with reference_windows(lambda: _load(checkpoint, options.threads), chosen, described, progress) as reference:
            yield artefacts, checkpoint, reference, progress


def _load(checkpoint: Checkpoint, threads: int) -> Any:
    from smolship.reference import Reference

    return Reference.from_checkpoint(checkpoint, threads)


def markdown(records: list[dict[str, Any]]) -> str:
    """The records as a table."""
    lines = ["| file | MB | bits/weight | KL, nats | top-1 | perplexity ratio |", "| --- |" + " --: |" * 5]
    lines += [
        f"| {one['name']} | {one['MB']:.2f} | {one['bits_per_weight']:.2f} | {one['KL']:.4f} "
        f"| {100 * one['top1']:.1f} % | {one['perplexity_ratio']:.3f} |"
        for one in records
    ]
    return "\n".join(lines)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What is measured, on which text."""
    parser.add_argument("artefacts", type=Path, nargs="+", metavar="ARTEFACT")
    parser.add_argument("--checkpoint", help="what they were made from, if their manifest cannot say where it is")
    parser.add_argument("--text", default="prose", help="prose, chat, code, or a UTF-8 file (.gz or not)")
    parser.add_argument("--windows", type=int, default=COUNT, help=f"of {LENGTH} tokens; fewer are a quick look")
    parser.add_argument("--threads", type=int, default=2)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="divergence from fp32 on the real runtimes")
    add_options(parser)
    parser.add_argument("--json", type=Path, help="file of records to put these into")
    options = parser.parse_args()
    try:
        records = run(options)
    except SmolshipError as error:
        parser.exit(error.exit_code, f"{error}\n")
    text = records[0]["text"]
    print(f"{text['name']}, {text['tokens']} tokens in windows of {text['window']}\n\n{markdown(records)}")
    if options.json:
        old = json.loads(options.json.read_text(encoding="utf-8")) if options.json.is_file() else []
        write_atomically(options.json, (json.dumps(merged(old, records), indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
