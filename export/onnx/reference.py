"""The graph that everything starts from: Optimum's own export of a Llama decoder with its KV cache."""

import tempfile
from pathlib import Path

import onnx_ir as ir

from smolship.checkpoint.architecture import Architecture
from smolship.quiet import quiet

OPSET = 18
"""what Optimum exports by default; the newest that every pass here has been tried on"""


def reference_graph(architecture: Architecture) -> ir.Model:
    """Optimum's `text-generation-with-past` graph, its matrices still named nodes of the `smolship` domain.

    Inputs: input_ids, attention_mask, position_ids (int64), past_key_values.N.key/value (float32); outputs: logits
    [batch, sequence, vocabulary], present.N.key/value. Takes 4 s and 0.6 GB for any size of model.
    """
    with quiet():
        from optimum.exporters.onnx import export
        from optimum.exporters.onnx.model_configs import LlamaOnnxConfig

        from smolship.export.onnx.skeleton import skeleton

        model = skeleton(architecture)
        config = LlamaOnnxConfig(model.config, task="text-generation", use_past=True, use_past_in_inputs=True)
        with tempfile.TemporaryDirectory(prefix="smolship-onnx-") as folder:
            path = Path(folder, "skeleton.onnx")
            # The fix of dynamic axes would run the graph, which has no weights yet; `declare_outputs` names the axes.
            export(model, config, path, opset=OPSET, disable_dynamic_axes_fix=True)
            return ir.load(path)
