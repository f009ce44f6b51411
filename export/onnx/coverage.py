"""Nothing is silent: the finished graph is searched for weights that no one quantised and for tensors it lacks."""

import onnx_ir as ir

from smolship.checkpoint.architecture import Architecture
from smolship.errors import SmolshipError
from smolship.export.onnx.passes.walk import STAND_IN
from smolship.export.onnx.weights import CODES, GRID_KEY, SCALES, ZERO_POINTS, parted
from smolship.quantize.grids import grid_named

FREE_BYTES = 4096
"""a constant up to this size is the graph's own (shapes, axes, rotary frequencies); a larger one must be a tensor"""


def check_coverage(model: ir.Model, a: Architecture) -> None:
    """`SmolshipError` naming the node, constant or tensor if the graph is not exactly the architecture's tensors."""
    stand_ins = [node.name for node in model.graph.all_nodes() if node.domain == STAND_IN]
    if stand_ins:
        raise SmolshipError(
            f"no runtime knows these stand-in nodes of the ONNX graph: {', '.join(map(str, stand_ins))}"
        )
    wanted = _wanted(model, a)
    there = {part for name in model.graph.initializers for part in _parts(name)}
    missing = wanted - there
    if missing:
        raise SmolshipError(f"the ONNX graph lacks tensors of the checkpoint: {', '.join(sorted(missing))}")
    for name, size in _constants(model):
        if size > FREE_BYTES and not wanted.issuperset(_parts(name)):
            raise SmolshipError(
                f"{name}: a constant of {size} bytes in the ONNX graph is no tensor of the checkpoint; "
                "every weight must be quantised or be a norm's gain"
            )


def _wanted(model: ir.Model, a: Architecture) -> set[str]:
    """What the graph has to hold of every tensor."""
    wanted: set[str] = set()
    for name, shape in a.shapes().items():
        wanted |= {name} if len(shape) == 1 else {name + CODES, name + SCALES}
        if GRID_KEY + name in model.metadata_props and grid_named(model.metadata_props[GRID_KEY + name]).affine:
            wanted.add(name + ZERO_POINTS)
    return wanted


def _parts(initializer: str) -> set[str]:
    """The tensors' parts that an initialiser holds, one below the other."""
    for suffix in (CODES, SCALES, ZERO_POINTS):
        if initializer.endswith(suffix):
            return {tensor + suffix for tensor in parted(initializer.removesuffix(suffix))}
    return {initializer}


def _constants(model: ir.Model) -> list[tuple[str, int]]:
    """Every constant's name and bytes: initialisers, and tensors inside `Constant` and other nodes."""
    found = [(name, v.const_value.nbytes) for name, v in model.graph.initializers.items() if v.const_value is not None]
    for node in model.graph.all_nodes():
        found += [
            (f"{node.name}.{attribute.name}", attribute.as_tensor().nbytes)
            for attribute in node.attributes.values()
            if attribute.type == ir.AttributeType.TENSOR
        ]
    return found
