"""Files that hold measurements: an artefact's own, and the reports of checks and smoke tests."""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from smolship.artefact import MEASUREMENTS_FILE
from smolship.errors import InputError
from smolship.runtime_checks.measurements import Measurements
from smolship.runtime_checks.report.report import Report

WANTED = f"give report.json of a check or a smoke test, {MEASUREMENTS_FILE} of an artefact, or the artefact's folder"


def read_records(paths: Sequence[Path]) -> list[Measurements]:
    """Every record in files or folders of measurements; `InputError` says what is wrong with one."""
    return [record for path in paths for record in _records(path)]


def _records(path: Path) -> list[Measurements]:
    if path.is_dir():
        if (path / MEASUREMENTS_FILE).is_file():
            return [Measurements.read(path)]
        if (path / "report.json").is_file():
            return _records(path / "report.json")
        raise InputError(f"{path} holds no measurements: {WANTED}")
    found = _json(path)
    if isinstance(found, dict) and "report_version" in found:
        return [record for one in _report(path).checked for record in one.records]
    if isinstance(found, dict) and "measurements_version" in found:
        return [Measurements.read_file(path)]
    raise InputError(f"{path} holds no measurements: {WANTED}")


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"there is no {path}: {WANTED}") from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one
        raise InputError(f"{path} is not JSON ({error}): {WANTED}") from error


def _report(path: Path) -> Report:
    try:
        return Report.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{path} is not a report that this version reads (at {where}: {first['msg']}): check the artefacts again"
        ) from error
