"""Units of limits and figures, as a literal table, and quantities written with them such as `95 MB`."""

import re
from dataclasses import dataclass
from math import isfinite

from smolship.errors import InputError


@dataclass(frozen=True)
class Unit:
    """A name, what it measures, and how many of that dimension's base unit it is."""

    name: str
    dimension: str
    factor: float


UNITS: dict[str, Unit] = {
    unit.name: unit
    for unit in (
        Unit("B", "memory", 1),
        Unit("kB", "memory", 1e3),
        Unit("MB", "memory", 1e6),
        Unit("GB", "memory", 1e9),
        Unit("KiB", "memory", 2**10),
        Unit("MiB", "memory", 2**20),
        Unit("GiB", "memory", 2**30),
        Unit("B/s", "bandwidth", 1),
        Unit("GB/s", "bandwidth", 1e9),
        Unit("tok/s", "speed", 1),
        Unit("s", "time", 1),
        Unit("ms", "time", 1e-3),
        Unit("%", "share", 0.01),
        Unit("pp", "share difference", 0.01),
        Unit("nats", "divergence", 1),
        Unit("x", "ratio", 1),
    )
}
"""by name; the base unit of a dimension is the one with factor 1 (a share is the number itself, as is a difference)"""

_QUANTITY = re.compile(r"\s*(-?[0-9][0-9_]*(?:\.[0-9]+)?(?:e-?[0-9]+)?)\s*(\S*)\s*")


@dataclass(frozen=True)
class Quantity:
    """A number with its unit, as it was written."""

    value: float
    """in the dimension's base unit"""
    unit: Unit

    def __str__(self) -> str:
        return show(self.value, self.unit)


def parse_quantity(text: str) -> Quantity:
    """Read `95 MB`; `InputError` says what is wrong with anything else, a missing unit above all."""
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise InputError(f"{text!r} is no quantity: write a number and its unit, such as '95 MB'")
    number, name = match.groups()
    if not name:
        raise InputError(f"{text!r} has no unit: write one of {', '.join(UNITS)} after the number")
    if name not in UNITS:
        raise InputError(f"{text!r} has the unknown unit {name!r}: the known ones are {', '.join(UNITS)}")
    unit = UNITS[name]
    if number.startswith("-") and unit.dimension != "share difference":
        raise InputError(f"{text!r} is below zero: only a difference ({UNITS['pp'].name}) can be")
    value = float(number) * unit.factor
    if not isfinite(value):
        raise InputError(f"{text!r} is too large to be reckoned with: write a smaller number")
    return Quantity(value, unit)


def show(value: float, unit: Unit) -> str:
    """A value (in base units) as people read it in that unit: three or four digits that matter."""
    return f"{show_number(value, unit)} {unit.name}"


def show_number(value: float, unit: Unit) -> str:
    """The same without the unit, for a table that names it in the heading."""
    shown = value / unit.factor
    if unit.name in ("%", "pp"):
        return f"{shown:.1f}"
    if abs(shown) < 1:
        return f"{shown:.3g}"
    return f"{shown:,.{0 if shown >= 1000 else 1 if shown >= 10 else 2}f}"
