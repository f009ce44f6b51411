"""The graph that ships: Optimum's, fused by passes, its stand-ins replaced by the blocks of a quantised model."""

from collections.abc import Callable

import onnx_ir as ir

from smolship.checkpoint import Checkpoint
from smolship.checkpoint.architecture import Architecture
from smolship.export.onnx.coverage import check_coverage
from smolship.export.onnx.passes import Pass, run_passes
from smolship.export.onnx.passes.declare_outputs import declare_outputs
from smolship.export.onnx.passes.float_weights import float_weights
from smolship.export.onnx.passes.forget_shapes import forget_shapes
from smolship.export.onnx.passes.fused_norms import fused_norms
from smolship.export.onnx.passes.gated_activation import gated_activation
from smolship.export.onnx.passes.grouped_attention import grouped_attention
from smolship.export.onnx.passes.last_logits import last_logits
from smolship.export.onnx.passes.norm_gains import norm_gains
from smolship.export.onnx.passes.packed_linears import packed_linears
from smolship.export.onnx.passes.padded_rows import padded_rows
from smolship.export.onnx.passes.quantized_embedding import quantized_embedding
from smolship.export.onnx.passes.quantized_linear import ACCURACY_LEVEL, quantized_linear
from smolship.export.onnx.passes.strip_provenance import strip_provenance
from smolship.export.onnx.reference import reference_graph
from smolship.quantize.blocks import Blocks
from smolship.quantize.model import QuantizedModel

FORMAT = "onnx"


def fusing_passes(a: Architecture, grid_of: Callable[[str], object]) -> tuple[Pass, ...]:
    """Optimum's graph to the fused one, whatever its weights are: some 190 nodes a layer to 10."""
    return (
        fused_norms,
        gated_activation,
        grouped_attention(a),
        packed_linears(a, grid_of),
        forget_shapes,
        padded_rows,
        last_logits,
        declare_outputs(a),
    )


def quantized_graph(model: QuantizedModel, accuracy_level: int = ACCURACY_LEVEL) -> ir.Model:
    """The complete graph of `model`; `InputError` names a tensor that ONNX cannot hold, before any is packed."""
    architecture = model.checkpoint.architecture
    grids = {name: model.grid(name, FORMAT) for name in model.matrices()}

    def blocks_of(name: str) -> Blocks:
        return model.blocks(name, FORMAT)

    graph = run_passes(
        reference_graph(architecture),
        (
            norm_gains(model.vectors(), model.floats),
            *fusing_passes(architecture, grids.__getitem__),
            quantized_embedding(blocks_of),
            quantized_linear(blocks_of, accuracy_level),
            strip_provenance,
        ),
    )
    check_coverage(graph, architecture)
    return graph


def float_graph(checkpoint: Checkpoint) -> ir.Model:
    """The same fused graph over the checkpoint's own weights in float32: it computes what Optimum's export does."""
    a, read = checkpoint.architecture, checkpoint.tensors.read
    vectors = tuple(name for name, shape in a.shapes().items() if len(shape) == 1)
    passes = (norm_gains(vectors, read), *fusing_passes(a, lambda _: None), float_weights(read), strip_provenance)
    return run_passes(reference_graph(a), passes)
