"""Device profiles, their budgets, and how to reach a device."""

from smolship.targets.budget import Budget
from smolship.targets.metrics import METRICS, Metric
from smolship.targets.target import Device, Target, load_target, target_names
from smolship.targets.transport import Exit, Local, Transport

__all__ = [
    "METRICS",
    "Budget",
    "Device",
    "Exit",
    "Local",
    "Metric",
    "Target",
    "Transport",
    "load_target",
    "target_names",
]
