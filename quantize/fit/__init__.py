"""Bits where they count: a grid for each tensor, by what it costs in divergence and in bytes."""

from smolship.quantize.fit.choose import Choice, choose, choose_under, require_room
from smolship.quantize.fit.model import FittedModel, StandIn
from smolship.quantize.fit.sizes import STORAGES, sizes_of, smallest

__all__ = [
    "STORAGES",
    "Choice",
    "FittedModel",
    "StandIn",
    "choose",
    "choose_under",
    "require_room",
    "sizes_of",
    "smallest",
]
