"""What each verb shows: tables for a person, plain data for `--json`."""

from smolship.views.artefacts import built, inspected, mobile
from smolship.views.checkpoint import understood
from smolship.views.comparison import compared
from smolship.views.devices import device, smoked
from smolship.views.lists import doctor, recipes, target, targets
from smolship.views.plan import planned
from smolship.views.reports import report
from smolship.views.view import View

__all__ = [
    "View",
    "built",
    "compared",
    "device",
    "doctor",
    "inspected",
    "mobile",
    "planned",
    "recipes",
    "report",
    "smoked",
    "target",
    "targets",
    "understood",
]
