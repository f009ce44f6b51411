"""A decoder of one layer as ONNX Runtime GenAI's model builder writes it, and its folder: `GroupQueryAttention`, no
position_ids, external data. Its weights are random: what it computes is nobody's model.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tiny import tiny_config, write_tiny_tokenizer

HEADS, KV_HEADS, HEAD_DIM, POSITIONS = 4, 2, 16, 256


def write_tiny_genai(folder: Path, *, kind: Any = np.float32, shared: bool = True, **changes: Any) -> Path:
    """Write the folder and return it; `kind` is the dtype of everything, `changes` replace entries of the config."""
    folder.mkdir(parents=True)
    write_tiny_tokenizer(folder)
    config = tiny_config()
    onnx.save(
        _model(config["vocab_size"], config["hidden_size"], kind),
        folder / "model.onnx",
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=64,
    )
    decoder = {
        "filename": "model.onnx",
        "head_size": HEAD_DIM,
        "hidden_size": config["hidden_size"],
        "num_attention_heads": HEADS,
        "num_hidden_layers": config["num_hidden_layers"],
        "num_key_value_heads": KV_HEADS,
    }
    model = {"context_length": POSITIONS, "decoder": decoder, "vocab_size": config["vocab_size"]} | changes
    text = json.dumps({"model": model, "search": {"past_present_share_buffer": shared}})
    (folder / "genai_config.json").write_text(text)
    return folder


def _model(vocabulary: int, hidden: int, kind: Any) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    width = (HEADS + 2 * KV_HEADS) * HEAD_DIM
    angles = np.arange(POSITIONS)[:, None] / 100.0 ** (np.arange(HEAD_DIM // 2) / HEAD_DIM)
    tensors = {
        "embed.weight": random.standard_normal((vocabulary, hidden)),
        "qkv.weight": random.standard_normal((hidden, width)) / hidden**0.5,
        "head.weight": random.standard_normal((HEADS * HEAD_DIM, vocabulary)),
        "cos_cache": np.cos(angles),
        "sin_cache": np.sin(angles),
    }
    constants = {"one": np.array(1, np.int64), "axis": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Gather", ["embed.weight", "input_ids"], ["embedded"]),
        helper.make_node("MatMul", ["embedded", "qkv.weight"], ["qkv"]),
        helper.make_node("ReduceSum", ["attention_mask", "axis"], ["lengths"], keepdims=0),
        helper.make_node("Sub", ["lengths", "one"], ["before"]),
        helper.make_node("Cast", ["before"], ["seqlens_k"], to=TensorProto.INT32),
        helper.make_node("Shape", ["attention_mask"], ["mask_shape"]),
        helper.make_node("Gather", ["mask_shape", "one"], ["total"]),
        helper.make_node("Cast", ["total"], ["total_length"], to=TensorProto.INT32),
        helper.make_node(
            "GroupQueryAttention",
            ["qkv", "", "", _past("key"), _past("value"), "seqlens_k", "total_length", "cos_cache", "sin_cache"],
            ["attended", "present.0.key", "present.0.value"],
            domain="com.microsoft",
            num_heads=HEADS,
            kv_num_heads=KV_HEADS,
            do_rotary=1,
        ),
        helper.make_node("MatMul", ["attended", "head.weight"], ["logits"]),
    ]
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, [1, name]) for name in ("input_ids", "attention_mask")
    ]
    graph = helper.make_graph(
        nodes,
        "decoder",
        [*ids, *(_cache(_past(each), "past", dtype) for each in ("key", "value"))],
        [
            helper.make_tensor_value_info("logits", dtype, [1, "input_ids", vocabulary]),
            *(_cache(f"present.0.{each}", "total", dtype) for each in ("key", "value")),
        ],
        [
            *(_tensor(name, np.asarray(each, kind)) for name, each in tensors.items()),
            *(_tensor(name, each) for name, each in constants.items()),
        ],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, producer_name="tests", producer_version="1", opset_imports=opsets, ir_version=10)


def _past(part: str) -> str:
    return f"past_key_values.0.{part}"


def _cache(name: str, length: str, dtype: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, [1, KV_HEADS, length, "head_dim"])


def _tensor(name: str, array: NDArray[Any]) -> TensorProto:
    return numpy_helper.from_array(array, name)
