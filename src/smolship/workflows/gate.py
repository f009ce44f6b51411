"""`Gate`: the targets whose budgets decide, and what was measured on devices before."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from smolship.artefact import Artefact
from smolship.errors import InputError
from smolship.runtime_checks.check_artefact import subject_of
from smolship.runtime_checks.measurements import Measurements
from smolship.runtime_checks.report import Report, report_of
from smolship.runtime_checks.report.record_files import read_records
from smolship.targets import Target, load_target, target_names, with_budgets

HOST = "host"


@dataclass(frozen=True)
class Gate:
    """What artefacts are held against."""

    targets: tuple[Target, ...]
    allow_unmeasured: bool = False
    """let budgets pass that could not be measured"""
    elsewhere: tuple[Measurements, ...] = ()
    """records of devices"""

    def require(self, formats: Iterable[str]) -> None:
        """`InputError` names formats that no target runs."""
        run = {name for target in self.targets for name in target.device.runtimes}
        if missing := [name for name in dict.fromkeys(formats) if name not in run]:
            self.targets[0].require(missing)

    def require_same_files(self, artefacts: Sequence[Artefact]) -> None:
        """`InputError` names a device's record that is of another file than those that are checked."""
        known = {subject_of(one).name_of_file: subject_of(one).model_sha256 for one in artefacts}
        for record in self.elsewhere:
            name, digest = record.subject.name_of_file, record.subject.model_sha256
            if name not in known:
                raise InputError(f"--measurements tells of {name} on {record.place}, which is not among the artefacts")
            if digest != known[name]:
                raise InputError(
                    f"--measurements tells of another {name} (sha256 {digest[:12]}…) than the one here "
                    f"({known[name][:12]}…): measure this one on {record.place}"
                )

    def judge(self, records: Sequence[Measurements]) -> Report:
        """A report of what was measured here and of what was measured elsewhere."""
        return report_of([*records, *self.elsewhere], self.targets, allow_unmeasured=self.allow_unmeasured)


def gate_of(
    names: Sequence[str],
    budgets: Sequence[str] = (),
    *,
    allow_unmeasured: bool = False,
    measurements: Sequence[Path] = (),
) -> Gate:
    """The gate that the command line describes: targets by name or file, each once, and budgets beside their own.

    `InputError` as `load_target`, `with_budgets` and `read_records`, and for a file that tells of no device.
    """
    targets = tuple(with_budgets(load_target(name), budgets) for name in dict.fromkeys(names))
    elsewhere: list[Measurements] = []
    for path in measurements:
        of_devices = [record for record in read_records([path]) if record.device is not None]
        if not of_devices:
            raise InputError(f"{path} tells of no device: give --measurements the report of a smoke test")
        elsewhere += of_devices
    return Gate(targets, allow_unmeasured, tuple(elsewhere))


def targets_of(records: Sequence[Measurements]) -> list[str]:
    """The targets that records are of: `host` for this host, and what each device is.

    `InputError` for a device whose target is none of the profiles that come with smolship.
    """
    named = [HOST if record.device is None else record.device.target for record in records]
    for name in named:
        if name not in target_names():
            raise InputError(f"a record is of a device that is {name!r}: give that target's .toml file with --target")
    return list(dict.fromkeys(named))
