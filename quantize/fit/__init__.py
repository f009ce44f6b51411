"""Bits where they count: a grid for each tensor, by what it costs in divergence and in bytes."""

from smolship.quantize.fit.choose import Choice, choose, choose_under, require_room
from smolship.quantize.fit.model import FittedModel, StandIn
from smolship.quantize.fit.sizes import STORAGES, alternating, sizes_of

__all__ = [
    "STORAGES",
    "Choice",
    "FittedModel",
    "StandIn",
    "alternating",
    "choose",
    "choose_under",
    "require_room",
    "sizes_of",
]
