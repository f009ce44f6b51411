"""Which ONNX Runtime a file needs: what the lowest one that reads our graphs knows, and whether a graph keeps to it."""

import onnx_ir as ir

from smolship.errors import SmolshipError

LOWEST = "1.23.0"
"""The lowest ONNX Runtime that reads our files, model.onnx and model.ort: 1.22 refuses `GatherBlockQuantized` over
uint8 codes. What it computes is as near to the checkpoint as what 1.32 does; docs/how-to/mobile.md has the figures."""

LOWEST_FOR_ZERO_POINTS = "1.27.0"
"""If the embedding has zero points: 1.26 reads such a file, and says nothing, but takes other zero points for them."""

IR_VERSION = 11
ZERO_POINTS = 3  # which input of GatherBlockQuantized they are
OPSET = 23
"""the newest of ai.onnx that `LOWEST` knows"""
CONTRIB: dict[str, tuple[frozenset[str], int]] = {
    "GatherBlockQuantized": (frozenset({"bits", "block_size", "gather_axis", "quantize_axis"}), 4),
    "GroupQueryAttention": (
        frozenset(
            {"do_rotary", "kv_num_heads", "local_window_size", "num_heads", "qk_output", "rotary_interleaved", "scale"}
            | {"smooth_softmax", "softcap"}
        ),
        12,
    ),
    "MatMulNBits": (frozenset({"K", "N", "accuracy_level", "bits", "block_size"}), 6),
    "QuickGelu": (frozenset({"alpha"}), 1),
    "SkipSimplifiedLayerNormalization": (frozenset({"epsilon"}), 4),
}
"""The com.microsoft operators that `LOWEST` knows and our graphs may use: the attributes and the number of inputs
that its own schemas list (`onnxruntime.capi.onnxruntime_pybind11_state.get_all_operator_schema()` there)."""


def lowest_runtime(model: ir.Model) -> str:
    """The lowest ONNX Runtime that computes what the graph says.

    `SmolshipError` naming what `LOWEST` does not know: a version, an operator, an attribute, an input.
    """
    opset = model.opset_imports.get("", 0)
    if opset > OPSET or model.ir_version > IR_VERSION:
        raise SmolshipError(
            f"ONNX Runtime {LOWEST} reads opset {OPSET} and IR version {IR_VERSION}; the graph has opset {opset} "
            f"and IR version {model.ir_version}"
        )
    for node in model.graph.all_nodes():
        if node.domain == "":
            continue
        if node.domain != "com.microsoft" or node.op_type not in CONTRIB:
            raise SmolshipError(f"{node.name}: ONNX Runtime {LOWEST} knows no {node.domain}.{node.op_type}")
        attributes, inputs = CONTRIB[node.op_type]
        odd = sorted(set(node.attributes) - attributes)
        odd += [f"input {number}" for number in range(inputs, len(node.inputs))]
        if odd:
            raise SmolshipError(f"{node.name}: {node.op_type} of ONNX Runtime {LOWEST} does not take {', '.join(odd)}")
    gathers = [node for node in model.graph.all_nodes() if node.op_type == "GatherBlockQuantized"]
    zero_points = any(len(node.inputs) > ZERO_POINTS and node.inputs[ZERO_POINTS] is not None for node in gathers)
    return LOWEST_FOR_ZERO_POINTS if zero_points else LOWEST
