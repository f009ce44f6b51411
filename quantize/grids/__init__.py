"""The grids a weight can lie on: which codes, which scales, how many bits; each a literal line of `GRIDS`."""

from smolship.quantize.grids.codes import decode, encode, nearest_codes
from smolship.quantize.grids.fit import fit
from smolship.quantize.grids.grid import Grid, Offset
from smolship.quantize.grids.scales import ScaleFormat, round_scale
from smolship.quantize.grids.scaling import Scaling, decode_with, encode_with
from smolship.quantize.grids.table import FLOAT32_BITS, GRIDS, grid_named

__all__ = [
    "FLOAT32_BITS",
    "GRIDS",
    "Grid",
    "Offset",
    "ScaleFormat",
    "Scaling",
    "decode",
    "decode_with",
    "encode",
    "encode_with",
    "fit",
    "grid_named",
    "nearest_codes",
    "round_scale",
]
