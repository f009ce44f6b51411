"""Device profiles, their budgets, and how to reach a device."""

from smolship.targets.budget import Budget
from smolship.targets.devices import DeviceEntry, Devices, load_devices
from smolship.targets.facts import Facts, read_facts
from smolship.targets.goal import Goal, goal_of, parse_goal
from smolship.targets.metrics import METRICS, Metric
from smolship.targets.overrides import with_budgets
from smolship.targets.ssh import Access, Ssh, Unreachable
from smolship.targets.state import State, disturbances, read_state
from smolship.targets.target import Device, Target, load_target, target_names
from smolship.targets.transport import Exit, Local, Transport

__all__ = [
    "METRICS",
    "Access",
    "Budget",
    "Device",
    "DeviceEntry",
    "Devices",
    "Exit",
    "Facts",
    "Goal",
    "Local",
    "Metric",
    "Ssh",
    "State",
    "Target",
    "Transport",
    "Unreachable",
    "disturbances",
    "goal_of",
    "load_devices",
    "load_target",
    "parse_goal",
    "read_facts",
    "read_state",
    "target_names",
    "with_budgets",
]
