"""What was checked: the verdict of each target, the figures of each place, and every budget that did not pass."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from smolship.terminal import table
from smolship.views.view import View

if TYPE_CHECKING:
    from smolship.runtime_checks.report import Checked, Judged, Report


def report(made: "Report", folder: Path | None) -> View:
    """A report, and where it was written."""
    notes = [*made.identical, *made.superseded, *made.notes, *notes_of(made)]
    if folder is not None:
        notes.append(f"Report: {folder / 'report.html'}")
    notes.append(summary(made))
    return View(tables_of(made), made.model_dump(mode="json"), tuple(notes))


def tables_of(made: "Report") -> tuple[Table, ...]:
    """The figures of each place, the matrix if there are several targets, and what did not pass."""
    tables = _places(made)
    if len(made.targets) > 1:
        rows = [(one.subject.title, *(judged.outcome for judged in one.judged)) for one in made.checked]
        tables.append(table("Verdicts", ("artefact", *(judge.name for judge in made.targets)), rows))
    several = len(made.targets) > 1
    exceptions = [line for one in made.checked for judged in one.judged for line in _exceptions(one, judged, several)]
    if exceptions:
        columns = ("artefact", "budget", "limit", "measured", "")
        tables.append(table("Budgets that did not pass", columns, exceptions))
    return tuple(tables)


def _places(made: "Report") -> list[Table]:
    """A table of figures for each place; where there is one target, with its verdicts."""
    from smolship.runtime_checks.report.figures import by_place, cell, columns_of
    from smolship.runtime_checks.verdicts import values
    from smolship.targets import METRICS

    outcomes = {one.subject.name_of_file: one.judged[0].outcome for one in made.checked}
    alone = len(made.targets) == 1
    tables = []
    for place, records in by_place([record for one in made.checked for record in one.records]).items():
        columns = columns_of(records)
        headings = tuple("\n".join([*heading.split(), METRICS[metric].unit.name]) for metric, heading in columns)
        rows = []
        for one in records:
            found = values(one)
            outcome = [outcomes[one.subject.name_of_file]] if alone else []
            rows.append((one.subject.title, *(cell(metric, found[metric]) for metric, _ in columns), *outcome))
        where = place if records[0].device is None else f"the device {place}"
        title = f"Measured on {where}" + (f", held against the budgets of {made.targets[0].name}" if alone else "")
        tables.append(table(title, ("artefact", *headings, *([""] if alone else [])), rows, headings, dense=True))
    return tables


def _exceptions(one: "Checked", judged: "Judged", several: bool) -> list[tuple[str, ...]]:
    """Every budget that did not pass, and the runtime that failed."""
    name = f"{one.subject.title}, {judged.target}" if several else one.subject.title
    lines: list[tuple[str, ...]] = []
    record = next(each for each in one.records if each.place == judged.measured)
    if failure := record.failure:
        budget = "all" if judged.outcome == "refused" else f"the runtime, at {failure.stage}"
        lines.append((name, budget, "", failure.message, judged.outcome))
    for (outcome, shown), group in groupby(judged.verdicts, key=lambda v: (v.outcome, v.shown)):
        verdicts = list(group)
        if outcome != "pass":  # several that were not measured for one reason are one line
            limits = verdicts[0].limit if len(verdicts) == 1 else f"{len(verdicts)} budgets"
            lines.append((name, ", ".join(v.title for v in verdicts), limits, shown, outcome))
    return lines


def notes_of(made: "Report") -> list[str]:
    """What was predicted of the files, what disturbed a device, and what to beware of in the figures."""
    from smolship.runtime_checks.report.figures import disturbances, prediction

    records = [record for one in made.checked for record in one.records]
    notes = [f"{record.subject.title}, {told}" for record in records if (told := prediction(record))]
    elsewhere = [one.subject for one in made.checked if one.subject.made_by != "smolship"]
    notes += ["; ".join((f"{one.title}: made by {one.made_by}", *one.notes)) for one in elsewhere]
    if disturbed := disturbances(records):
        notes.append(f"Disturbed, so its speeds are not trusted: {'; '.join(disturbed)}")
    subjects = [one.subject for one in made.checked]
    if any(subject.already_quantised for subject in subjects):
        stored = subjects[0].stored_as
        notes.append(
            f"The checkpoint itself is {stored}: its 4-bit figures flatter, for its weights lie on a grid already"
        )
    return notes


def summary(made: "Report") -> str:
    """How many budgets of each outcome, and what that means for the gate."""
    found = made.counts
    told = f"{found['pass']} budgets pass, {found['fail']} fail"
    if unmeasured := found["not measured"]:
        told += f", {unmeasured} not measured"
    if made.all_well:
        return f"{told}: {'all that was judged is well' if unmeasured else 'all is well'}"
    if made.unmeasured_alone:
        return f"{told}: what was not measured does not pass, unless you say --allow-unmeasured"
    return f"{told}: not all is well"
