"""Compare: two releases, from their records or with both sides run in turns."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from smolship.artefact import MANIFEST_FILE, MEASUREMENTS_FILE, Artefact
from smolship.errors import InputError
from smolship.progress import Progress, Silent
from smolship.runtime_checks.check_artefact import Settings, subject_of
from smolship.runtime_checks.comparison import Comparison, Release, Rerun, Terms, compare_releases, measure_in_turns
from smolship.runtime_checks.measurements import Measurements
from smolship.runtime_checks.report.record_files import read_records
from smolship.runtime_checks.runtimes import runtime_for


@dataclass(frozen=True)
class Turns:
    """How both sides are run in turns."""

    settings: Settings
    rounds: int = 10
    identical: bool = False
    """pairs of the same model file too"""


def compare(
    old: Path, new: Path, terms: Terms, *, turns: Turns | None = None, progress: Progress = Silent()
) -> Comparison:
    """Compare what was measured of two releases: folders of artefacts, or reports; with `turns`, speed is measured now.

    `InputError` if a side cannot be read, or with `turns` holds no artefacts or one whose files are not those of its
    manifest or whose runtime is not installed, all of which is said before anything is run; else as `compare_releases`.
    """
    if turns is None:
        return compare_releases(_release(old), _release(new), terms)
    before, after = _artefacts(old), _artefacts(new)
    for path, found in ((old, before), (new, after)):
        if not found:
            raise InputError(f"--rerun runs the files, and {path} holds no artefact: give a folder that `build` wrote")
    releases = [_of_artefacts(path, found, turns) for path, found in ((old, before), (new, after))]
    compare_releases(releases[0], releases[1], terms)  # what is wrong with the two is said before anything is run
    reruns = _reruns(before, after, turns, progress)
    return compare_releases(releases[0], releases[1], replace(terms, reruns=reruns))


def _release(path: Path) -> Release:
    artefacts = _artefacts(path)
    if artefacts:
        return _of_artefacts(path, artefacts)
    return Release(str(path), tuple(read_records([path])))


def _artefacts(path: Path) -> list[Artefact]:
    """The artefact in a folder, or those in its folders; none for a file or a folder without any."""
    if (path / MANIFEST_FILE).is_file():
        return [Artefact.open(path)]
    if not path.is_dir():
        return []
    folders = sorted(one for one in path.iterdir() if (one / MANIFEST_FILE).is_file() and not one.name.startswith("."))
    return [Artefact.open(folder) for folder in folders]


def _of_artefacts(path: Path, artefacts: Iterable[Artefact], turns: Turns | None = None) -> Release:
    return Release(str(path), tuple(_record(one, turns) for one in artefacts))


def _record(artefact: Artefact, turns: Turns | None) -> Measurements:
    """What was measured of an artefact; where both sides are run, one that was not has its size alone."""
    subject = subject_of(artefact)
    if turns is not None and not (artefact.folder / MEASUREMENTS_FILE).is_file():
        return Measurements(subject=subject, reference="none")
    found = Measurements.read(artefact.folder)
    if found.subject.model_sha256 != subject.model_sha256:
        raise InputError(
            f"{artefact.folder / MEASUREMENTS_FILE} is of another model file (sha256 "
            f"{found.subject.model_sha256[:12]}…) than the one beside it ({subject.model_sha256[:12]}…): "
            "measure it with `smolship check`"
        )
    return found


def _reruns(old: Iterable[Artefact], new: Iterable[Artefact], turns: Turns, progress: Progress) -> dict[str, Rerun]:
    """Measure each pair in turns, one pair after the other."""
    before = {subject_of(one).name_of_file: one for one in old}
    pairs = [(name, before[name], one) for one in new if (name := subject_of(one).name_of_file) in before]
    for _, *both in pairs:
        for artefact in both:
            runtime_for(artefact.manifest.format).require()
            artefact.verify()
    found = {}
    for name, first, second in pairs:
        if _model(first) == _model(second) and not turns.identical:
            found[name] = Rerun(same_files=True)
            continue
        with progress.task(f"Measuring {name} in turns", 2 * turns.rounds) as advance:
            found[name] = measure_in_turns(first, second, turns.rounds, turns.settings, advance)
    return found


def _model(artefact: Artefact) -> tuple[int, set[tuple[str, str]]]:
    """What the runtime loads: the context, and the model file with what lies beside it."""
    manifest = artefact.manifest
    return manifest.context, {(file.path, file.sha256) for file in manifest.model_files}
