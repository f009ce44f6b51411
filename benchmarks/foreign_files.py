"""Other tools' files of one checkpoint, each by its own tool, held to the checks that smolship's own files are.

    python benchmarks/foreign_files.py [--checkpoint embedded] [--work build/foreign] [--only NAME ...] [--json FILE]

`foreign_makers` says which tool makes what, and in which environment. What is made is kept below `--work` and used
again; a tool that fails is told, and the others go on. Speeds are of this machine as it was: its load stands beside
them.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from foreign_makers import MAKERS, Workshop, open_workshop
from rich.console import Console
from rich.table import Table

from smolship.artefact import write_atomically
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import SmolshipError
from smolship.foreign import open_artefact
from smolship.runtime_checks.check_artefact import Settings
from smolship.runtime_checks.measurements import Agreement, Measurements
from smolship.terminal import showing_progress
from smolship.workflows.check import bind, check, prepare

LONG = 512
WIDTH = 120


@dataclass(frozen=True)
class Row:
    """One file's figures; what could not be measured is `None`."""

    file: str
    made_by: str
    format: str
    mb: float
    bits_per_weight: float
    kl: float | None
    top1: float | None
    perplexity_ratio: float | None
    prefill_512: float | None
    decode: float | None
    load: float
    """of the machine over a minute, when it was measured"""
    tokenizer: str
    chat_template: str
    failure: str | None

    @classmethod
    def of(cls, name: str, found: Measurements) -> "Row":
        """The row of what was measured."""
        fidelity, subject = found.fidelity, found.subject
        return cls(
            file=name,
            made_by=subject.made_by,
            format=subject.format,
            mb=round(subject.model_size / 1e6, 2),
            bits_per_weight=round(subject.bits_per_weight, 3),
            kl=round(fidelity.kl_mean, 5) if fidelity else None,
            top1=round(fidelity.top1, 4) if fidelity else None,
            perplexity_ratio=round(fidelity.perplexity_ratio, 4) if fidelity else None,
            prefill_512=round(found.prefill[LONG].rate, 1) if LONG in found.prefill else None,
            decode=round(found.decode.rate, 1) if found.decode else None,
            load=round(os.getloadavg()[0], 1),
            tokenizer=_share(found.tokenizer),
            chat_template=_share(found.chat_template),
            failure=found.failure.message if found.failure else None,
        )


def _share(agreement: Agreement | None) -> str:
    return f"{agreement.identical}/{agreement.compared}" if agreement else "–"


def measure(shop: Workshop, names: list[str], settings: Settings, out: Path | None) -> list[Row]:
    """Make and check one file after the other."""
    rows: list[Row] = []
    with showing_progress() as progress:
        for name in names:
            try:
                artefacts = bind([open_artefact(shop.made(name, MAKERS[name]))], shop.checkpoint)
                windows = prepare(
                    shop.checkpoint, [artefacts[0].manifest.format], artefacts[0].manifest.context, "prose"
                )
                (found,) = check(artefacts, shop.checkpoint, windows, settings, progress=progress)
            except SmolshipError as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            rows.append(Row.of(name, found))
            if out:
                write_atomically(out, (json.dumps([asdict(row) for row in rows], indent=2) + "\n").encode())
    return rows


def show(checkpoint: Checkpoint, rows: list[Row], console: Console) -> None:
    """The rows as a table."""
    columns = ("file", "format", "MB", "bits/weight", "KL", "top-1", "prefill 512", "decode", "load", "tokens", "chat")
    table = Table(*columns, title=f"Other tools' files of {checkpoint.name}, against it in fp32")
    for row in rows:
        figures = (row.kl, row.top1, row.prefill_512, row.decode, row.load)
        shown = ["–" if each is None else f"{each:g}" for each in figures]
        table.add_row(
            row.file,
            row.format,
            f"{row.mb:.1f}",
            f"{row.bits_per_weight:.2f}",
            *shown,
            row.tokenizer,
            row.chat_template,
        )
    console.print(table)
    for row in rows:
        if row.failure:
            console.print(f"{row.file} failed to run: {row.failure}")


def main() -> None:
    """Make, check, print."""
    parser = argparse.ArgumentParser(description="other tools' files, checked")
    parser.add_argument("--checkpoint", default="embedded")
    parser.add_argument("--work", type=Path, default=Path("build/foreign"))
    parser.add_argument("--only", nargs="+", choices=list(MAKERS), default=list(MAKERS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    checkpoint = open_checkpoint(options.checkpoint)
    shop = open_workshop(checkpoint, options.work)
    rows = measure(shop, options.only, Settings(options.threads, options.repeats), options.json)
    show(checkpoint, rows, Console(width=WIDTH))


if __name__ == "__main__":
    main()
