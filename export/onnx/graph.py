"""The graph that ships: Optimum's, its stand-ins replaced by the blocks of a quantised model."""

import onnx_ir as ir

from smolship.export.onnx.coverage import check_coverage
from smolship.export.onnx.passes import run_passes
from smolship.export.onnx.passes.declare_outputs import declare_outputs
from smolship.export.onnx.passes.last_logits import last_logits
from smolship.export.onnx.passes.norm_gains import norm_gains
from smolship.export.onnx.passes.quantized_embedding import quantized_embedding
from smolship.export.onnx.passes.quantized_linear import ACCURACY_LEVEL, quantized_linear
from smolship.export.onnx.passes.strip_provenance import strip_provenance
from smolship.export.onnx.reference import reference_graph
from smolship.quantize.blocks import Blocks
from smolship.quantize.model import QuantizedModel

FORMAT = "onnx"


def quantized_graph(model: QuantizedModel, accuracy_level: int = ACCURACY_LEVEL) -> ir.Model:
    """The complete graph of `model`; `InputError` names a tensor that ONNX cannot hold, before any is packed."""
    architecture = model.checkpoint.architecture
    for name in model.matrices():
        model.grid(name, FORMAT)

    def blocks_of(name: str) -> Blocks:
        return model.blocks(name, FORMAT)

    graph = run_passes(
        reference_graph(architecture),
        (
            norm_gains(model.vectors(), model.floats),
            last_logits,
            quantized_embedding(blocks_of),
            quantized_linear(blocks_of, accuracy_level),
            declare_outputs(architecture),
            strip_provenance,
        ),
    )
    check_coverage(graph, architecture)
    return graph
