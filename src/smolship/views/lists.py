"""The tables that can be named: targets and recipes; and what is on this machine."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from smolship.terminal import table
from smolship.views.view import View

if TYPE_CHECKING:
    from smolship.quantize import Recipe
    from smolship.targets import Target
    from smolship.workflows.doctor import Finding


def targets(profiles: Sequence["Target"]) -> View:
    """The profiles that can be named."""
    rows = [(one.name, one.title, str(len(one.budget)), one.notes) for one in profiles]
    made = table("Targets", ("name", "device", "budgets", "notes"), rows, ("budgets",))
    return View((made,), [one.model_dump(mode="json") for one in profiles])


def target(profile: "Target") -> View:
    """One profile: what the device is, and its budgets."""
    device = profile.device
    facts = [
        ("architecture", device.architecture, device.cpu),
        ("runs", ", ".join(device.runtimes), ""),
        *((title, fact.value, fact.source) for title, fact in device.facts.items()),
    ]
    rows = [(one.of.title, str(one), one.scope, one.source) for one in profile.budget]
    made = (
        table(profile.title, ("device", "", "source"), facts),
        table("Budgets", ("budget", "limit", "for", "source"), rows),
    )
    return View(made, profile.model_dump(mode="json"))


def recipes(table_of: Sequence["Recipe"]) -> View:
    """The recipes and what they do."""
    rows = [(one.name, one.linear, one.embedding, one.rounding, one.summary, one.cost) for one in table_of]
    made = table("Recipes", ("name", "layers", "embedding and head", "rounding", "what for", "takes"), rows)
    return View((made,), [asdict(one) for one in table_of])


def doctor(findings: Sequence["Finding"]) -> View:
    """What was found on this machine."""
    rows = [(one.subject, "ok" if one.ok else "missing", one.found, one.advice) for one in findings]
    return View((table("This machine", ("what", "", "found", "what to do"), rows),), [asdict(one) for one in findings])
