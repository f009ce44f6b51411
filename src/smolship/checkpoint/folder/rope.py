"""The base of the rotary positions, in each of the three places where transformers 4 and 5 write it."""

from collections.abc import Mapping
from typing import Any

from smolship.errors import InputError

_SECTIONS = ("rope_scaling", "rope_parameters")
"""in the order in which transformers 5 looks for one; 4 writes the first, 5 the second"""
_PLAIN = "rope_theta"


def rotary_base(config: Mapping[str, Any], place: str) -> float:
    """The base that transformers 5 takes; `InputError` if positions are scaled, or no place names a positive number."""
    for entry in _SECTIONS:
        _require_plain(entry, config.get(entry), place)
    where, value = next(iter(_stated(config).items()), (_PLAIN, None))
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise InputError(f"{place}/config.json has {where} {value!r}, wanted a positive number: repair it")
    return float(value)


def rotary_notes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence if the places differ."""
    stated = _stated(config)
    if len({float(value) for value in stated.values()}) < 2:
        return ()
    (taken, base), *others = stated.items()
    also = " and ".join(f"{where} {value}" for where, value in others)
    return (f"config.json has {taken} {base} and {also}: the first is taken, as by transformers 5",)


def _stated(config: Mapping[str, Any]) -> dict[str, Any]:
    """The base by the name of its place, the one that counts first."""
    sections = {entry: config[entry] for entry in _SECTIONS if config.get(entry)}
    inside = {f"{entry}.{_PLAIN}": section.get(_PLAIN) for entry, section in sections.items()}
    stated = {where: value for where, value in {**inside, _PLAIN: config.get(_PLAIN)}.items() if value is not None}
    if sections:  # of two sections only the first is read: without a base in it, the plain one counts
        first = f"{next(iter(sections))}.{_PLAIN}"
        stated = {where: stated[where] for where in (first, _PLAIN) if where in stated} | stated
    return stated


def _require_plain(entry: str, section: object, place: str) -> None:
    if section is None:
        return
    plain = isinstance(section, dict) and (
        section.get("rope_type", section.get("type", "default")) == "default"
        and section.get("partial_rotary_factor", 1) == 1
    )
    if not plain:
        raise InputError(
            f"{place}/config.json has {entry} {section!r}, wanted rope_type 'default': "
            "give a SmolLM2 or a fine-tune of one"
        )
