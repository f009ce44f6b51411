"""Prove from the files that every format of a recipe packs the same integers wherever it uses the same grid."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

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
        tensors = f"{self.tensors} tensors hold" if self.tensors > 1 else "1 tensor holds"
        return f"{self.recipe}: {tensors} the same integers on {self.grid} in {formats}"


def prove_identical(artefacts: Sequence[Artefact], progress: Progress = Silent()) -> list[Identity]:
    """Unpack the model files and compare codes and scales; `SmolshipError` names the first tensor that differs.

    Each file must hold every matrix on the grid that its manifest lists. Compared within one source and recipe; a
    tensor whose grid only one format uses has nothing to be compared with.
    """
    groups: dict[tuple[str, str], list[Artefact]] = defaultdict(list)
    for artefact in artefacts:
        groups[artefact.manifest.source.sha256, artefact.manifest.recipe].append(artefact)
    proved: list[Identity] = []
    with progress.task("compare the integers in the files", len(artefacts)) as advance:
        for (_, recipe), group in groups.items():
            found: dict[tuple[str, str], dict[str, Blocks]] = defaultdict(dict)
            for artefact in group:
                for name, blocks in _unpack(artefact).items():
                    found[name, blocks.grid][artefact.manifest.format] = blocks
                advance(1)
            proved += _compare(recipe, found)
    return proved


def _unpack(artefact: Artefact) -> dict[str, Blocks]:
    """The matrices in the model file, which must be those on the manifest's coverage table."""
    line, backend = format_named(artefact.manifest.format), artefact.manifest.backend
    line = line if backend is None else line.with_backend(backend.name)
    unpacked = line.load().unpack(artefact.folder)
    listed = {line.tensor: line.grid for line in artefact.manifest.coverage if len(line.shape) == 2}
    held = {name: blocks.grid for name, blocks in unpacked.items()}
    for name in listed.keys() | held.keys():
        if listed.get(name) != held.get(name):
            raise SmolshipError(
                f"{artefact.folder.name} holds {name} on {held.get(name)}, "
                f"its manifest lists {listed.get(name)}: build it again"
            )
    return unpacked


def _compare(recipe: str, found: dict[tuple[str, str], dict[str, Blocks]]) -> list[Identity]:
    """Compare what formats share; `found` is by tensor and grid, then by format."""
    counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for (name, grid), by_format in found.items():
        (first, known), *others = by_format.items()
        for fmt, blocks in others:
            if not known.same_as(blocks):
                raise SmolshipError(f"{recipe}: {name} is not the same in {first} and {fmt}: build both again")
        if others:
            counts[grid, tuple(sorted(by_format))] += 1
    return [Identity(recipe, grid, formats, tensors) for (grid, formats), tensors in counts.items()]
