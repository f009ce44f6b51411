"""Device profiles, their budgets, and how to reach a device."""

from smolship.targets.budget import Budget
from smolship.targets.goal import Goal, goal_of, parse_goal
from smolship.targets.metrics import METRICS, Metric
from smolship.targets.ssh import Access, Ssh
from smolship.targets.target import Device, Target, load_target, target_names
from smolship.targets.transport import Exit, Local, Transport

__all__ = [
    "METRICS",
    "Access",
    "Budget",
    "Device",
    "Exit",
    "Goal",
    "Local",
    "Metric",
    "Ssh",
    "Target",
    "Transport",
    "goal_of",
    "load_target",
    "parse_goal",
    "target_names",
]
