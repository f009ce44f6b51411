"""Prove from the files that every format of a recipe packs the same integers wherever it uses the same grid."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smolship.artefact import Artefact
from smolship.errors import SmolshipError
from smolship.export import format_named
from smolship.progress import Progress, Silent
from smolship.quantize import Blocks


@dataclass(frozen=True)
class Identity:
    """What was compared: `tensors` matrices of `recipe` on `grid`, the same in every one of `formats`."""

    recipe: str
    grid: str
    formats: tuple[str, ...]
    tensors: int

    def __str__(self) -> str:
        formats = ", ".join(self.formats)
        return f"{self.recipe}: the {self.tensors} tensors on {self.grid} hold the same integers in {formats}"


def prove_identical(artefacts: Sequence[Artefact], progress: Progress = Silent()) -> list[Identity]:
    """Unpack the model files and compare codes and scales; `SmolshipError` names the first tensor that differs.

    Compared within one source and recipe; a grid that only one format uses has nothing to be compared with.
    """
    groups: dict[tuple[str, str], list[Artefact]] = defaultdict(list)
    for artefact in artefacts:
        groups[artefact.manifest.source.sha256, artefact.manifest.recipe].append(artefact)
    proved: list[Identity] = []
    with progress.task("compare the integers in the files", len(artefacts)) as advance:
        for (_, recipe), group in groups.items():
            unpacked = {}
            for artefact in group:
                fmt = artefact.manifest.format
                unpacked[fmt] = format_named(fmt).load().unpack(artefact.folder)
                advance(1)
            proved += _compare(recipe, unpacked)
    return proved


def _compare(recipe: str, unpacked: dict[str, dict[str, Blocks]]) -> list[Identity]:
    first: dict[tuple[str, str], tuple[str, Blocks]] = {}
    shared: dict[str, set[str]] = defaultdict(set)
    tensors: dict[str, set[str]] = defaultdict(set)
    for fmt, model in unpacked.items():
        for name, blocks in model.items():
            reference, known = first.setdefault((name, blocks.grid), (fmt, blocks))
            if reference == fmt:
                continue
            if not (np.array_equal(known.codes, blocks.codes) and np.array_equal(known.scales, blocks.scales)):
                raise SmolshipError(f"{recipe}: {name} is not the same in {reference} and {fmt}: build both again")
            shared[blocks.grid] |= {reference, fmt}
            tensors[blocks.grid].add(name)
    return [Identity(recipe, grid, tuple(sorted(formats)), len(tensors[grid])) for grid, formats in shared.items()]
