"""Write the ONNX artefact's files: the model, and what the clients that load the folder read beside it."""

import json
from pathlib import Path

from smolship.checkpoint.architecture import Architecture
from smolship.checkpoint.checkpoint import Outline
from smolship.export.onnx.genai_config import genai_config, one_or_all
from smolship.progress import Progress, Silent
from smolship.quantize.model import QuantizedModel

MODEL_FILE = "model.onnx"


def pack(
    model: QuantizedModel, folder: Path, context: int, progress: Progress = Silent(), *, external: bool = False
) -> None:
    """Write model.onnx, the configurations of its clients and the tokenizer into the empty `folder`.

    `context` is the longest sequence, in tokens, that the configurations declare; the graph itself takes any length up
    to the model's own. With `external` the weights lie in model.onnx.data beside it, which can be mapped and may have
    more than 2 GB. The same model gives the same bytes. `InputError` names a tensor that ONNX cannot hold.
    """
    from smolship.export.onnx.graph import quantized_graph
    from smolship.export.onnx.write import write_model

    with progress.task("onnx: trace the graph, write the weights", 2) as advance:
        graph = quantized_graph(model)
        advance(1)
        write_model(graph, folder / MODEL_FILE, external=external)
        advance(1)
    for name, content in companions(model.checkpoint, context).items():
        (folder / name).write_bytes(content)


def companions(model: Outline, context: int) -> dict[str, bytes]:
    """The files beside the model file, by name: what clients that load the folder read."""
    configs = {
        "config.json": config(model.architecture, context),
        "generation_config.json": generation_config(model.architecture),
        "genai_config.json": genai_config(model.architecture, MODEL_FILE, context),
    }
    return {name: _json_bytes(content) for name, content in configs.items()} | model.tokenizer.files()


def config(a: Architecture, context: int) -> dict[str, object]:
    """`config.json` of the artefact as transformers spells it: what `ORTModelForCausalLM` and the probe read."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": a.bos_id,
        "dtype": "float32",
        "eos_token_id": one_or_all(a.end_ids),
        "head_dim": a.head_dim,
        "hidden_act": "silu",
        "hidden_size": a.hidden,
        "initializer_range": 0.02,
        "intermediate_size": a.intermediate,
        "max_position_embeddings": min(context, a.max_positions),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": a.heads,
        "num_hidden_layers": a.layers,
        "num_key_value_heads": a.kv_heads,
        "pad_token_id": a.pad_id,
        "rms_norm_eps": a.norm_epsilon,
        "rope_scaling": None,
        "rope_theta": a.rope_theta,
        "tie_word_embeddings": a.tied,
        "use_cache": True,
        "vocab_size": a.vocabulary,
    }


def generation_config(a: Architecture) -> dict[str, object]:
    """`generation_config.json` as transformers spells it: where generation stops; greedy unless the caller samples."""
    return {
        "_from_model_config": True,
        "bos_token_id": a.bos_id,
        "eos_token_id": one_or_all(a.end_ids),
        "pad_token_id": a.pad_id,
    }


def _json_bytes(content: dict[str, object]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
