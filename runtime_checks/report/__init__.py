"""Reports: records of what was measured, held against targets, as JSON, HTML, Markdown and JUnit XML."""

from smolship.runtime_checks.report.report import Checked, Judge, Judged, Report, Stage, report_of

__all__ = ["Checked", "Judge", "Judged", "Report", "Stage", "report_of"]
