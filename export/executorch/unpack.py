"""The integers and scales of every quantised tensor, read back from model.pte alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import EMBEDDING
from smolship.errors import InputError
from smolship.export.executorch.codes import INT4_GROUP, unpack_nibbles
from smolship.export.executorch.names import EMBEDDING_OPERATORS, TENSORS_METHOD, StoredTensor
from smolship.export.executorch.program import PteFile
from smolship.quantize import Blocks
from smolship.quiet import quiet


def unpack(folder: Path) -> dict[str, Blocks]:
    """Blocks by Hugging Face name from `folder`/model.pte: those that XNNPACK's fully connected operators really use.

    Each tensor is looked up in the graphs by the keys of its codes and scales, and the embedding also in the constants
    of its own operator. `InputError` names a tensor that is missing, is wired to other scales, or whose copies differ.
    """
    with quiet():  # the parser's imports are the exporter's
        pte = PteFile((folder / "model.pte").read_bytes())
        filters = _filters(pte)
    stored = {name: StoredTensor(**entry) for name, entry in json.loads(pte.string(TENSORS_METHOD)).items()}
    found = {name: _read(pte, name, tensor, filters) for name, tensor in stored.items()}
    unnamed = set(filters) - {(t.codes, t.scales) for t in stored.values()}
    if unnamed:
        raise InputError(f"model.pte holds {len(unnamed)} quantised tensors that have no name; rebuild the artefact")
    _check_embedding(pte, found[EMBEDDING])
    return found


def _filters(pte: PteFile) -> dict[tuple[str, str], tuple[int, ...]]:
    """The shape [out, in] of each quantised filter in XNNPACK's graphs, by the keys of its codes and its scales."""
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for graph in pte.xnnpack_graphs("forward"):
        keys = [entry.get("named_key", "") for entry in graph["constant_data"]]
        values = {_tensor(v)["id_out"]: v for v in graph["xvalues"]}
        for node in graph["xnodes"]:
            if node["xnode_union_type"] != "XNNFullyConnected":
                continue
            value = values[node["xnode_union"]["filter_id"]]
            if value["xvalue_union_type"] == "XNNQuantizedTensorValue":
                tensor, quant = _tensor(value), value["xvalue_union"]["quant_params"]
                pair = keys[tensor["constant_buffer_idx"]], keys[quant["scale_buffer_idx"]]
                found[pair] = tuple(tensor["dims"])
    return found


def _tensor(value: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = value["xvalue_union"]
    if value["xvalue_union_type"] == "XNNQuantizedTensorValue":
        inner = inner["tensor_value"]
    return {"id_out": 0, "constant_buffer_idx": 0, **inner}


def _read(pte: PteFile, name: str, tensor: StoredTensor, filters: dict[tuple[str, str], tuple[int, ...]]) -> Blocks:
    pair = (tensor.codes, tensor.scales)
    if pair not in filters:
        raise InputError(f"{name}: nothing in model.pte uses its codes with its scales; rebuild the artefact")
    out, inner = filters[pair]
    codes, scales = pte.named_bytes(tensor.codes), pte.named_bytes(tensor.scales)
    if tensor.four_bit:
        nibbles = np.frombuffer(codes, np.uint8).reshape(out, inner // 2)
        unpacked = unpack_nibbles(nibbles, even_high=tensor.pairs_swapped)
        whole = Blocks(unpacked, _from_bfloat16(scales).reshape(out, -1), tensor.grid)
    else:
        unpacked = np.frombuffer(codes, np.int8).reshape(out, inner)
        whole = Blocks(unpacked, np.frombuffer(scales, "<f4").reshape(out, -1), tensor.grid)
    rows = slice(*(tensor.rows or (0, out)))
    return whole.with_rows(lambda array: array[rows])


def _from_bfloat16(data: bytes) -> NDArray[np.float32]:
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)


def _check_embedding(pte: PteFile, head: Blocks) -> None:
    """The embedding operator outside of XNNPACK has constants of its own: they must say the same as the tied head."""
    four_bit = head.grid == INT4_GROUP
    codes, scales = pte.constant_operands("forward", EMBEDDING_OPERATORS[head.grid])
    rows, columns = codes.shape
    raw = pte.bytes_at(codes.offset, rows * columns)
    if four_bit:
        packed = np.frombuffer(raw, np.uint8).reshape(rows, columns)
        same = np.array_equal(unpack_nibbles(packed, even_high=True), head.codes)
        stored = np.frombuffer(pte.bytes_at(scales.offset, 2 * head.scales.size), "<f2").astype(np.float32)
    else:
        same = np.array_equal(np.frombuffer(raw, np.int8).reshape(rows, columns), head.codes)
        stored = np.frombuffer(pte.bytes_at(scales.offset, 4 * head.scales.size), "<f4")
    if not same or not np.array_equal(stored, head.scales.reshape(-1)):
        raise InputError(f"{EMBEDDING}: the embedding and the tied head in model.pte differ; rebuild the artefact")
