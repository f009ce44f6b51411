"""Report: records that were taken at different times and places, judged together."""

from collections.abc import Sequence
from pathlib import Path

from smolship.errors import InputError
from smolship.runtime_checks.report import Report
from smolship.runtime_checks.report.record_files import read_records
from smolship.workflows.gate import gate_of, targets_of


def report(
    paths: Sequence[Path], targets: Sequence[str], budgets: Sequence[str] = (), *, allow_unmeasured: bool = False
) -> Report:
    """Every record in files of measurements, held against targets: by default those that the records are of.

    `InputError` as `read_records`, `gate_of` and `report_of`.
    """
    records = read_records(paths)
    if not records:
        raise InputError("the files hold no record: give reports of artefacts that were checked")
    gate = gate_of(targets or targets_of(records), budgets, allow_unmeasured=allow_unmeasured)
    gate.require(record.subject.format for record in records)
    return gate.judge(records)
