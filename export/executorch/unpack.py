"""The integers and scales of every quantised tensor, read back from model.pte alone."""

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import EMBEDDING, HEAD
from smolship.errors import InputError
from smolship.export.executorch.codes import INT4_GROUP, unpack_nibbles
from smolship.export.executorch.names import EMBEDDING_OPERATORS, TENSORS_METHOD, StoredTensor, stored_tensor
from smolship.export.executorch.program import PteFile
from smolship.quantize import Blocks
from smolship.quiet import quiet


def unpack(folder: Path) -> dict[str, Blocks]:
    """Blocks by Hugging Face name from `folder`/model.pte: those that XNNPACK's fully connected operators really use.

    Each tensor is looked up in the graphs by the keys of its codes and scales, and the embedding in the constants of
    its own operator: there alone if it is not tied. `InputError` names a tensor that is missing, is wired to other
    scales, or whose copies differ.
    """
    with quiet():  # the parser's imports are the exporter's
        pte = PteFile((folder / "model.pte").read_bytes())
        filters = _filters(pte)
    stored = {name: StoredTensor(**entry) for name, entry in json.loads(pte.string(TENSORS_METHOD)).items()}
    tied, embedding = HEAD not in stored, read_embedding(pte, stored[EMBEDDING].grid)
    found = {
        name: _read(pte, name, tensor, filters) if tied or name != EMBEDDING else embedding
        for name, tensor in stored.items()
    }
    unnamed = set(filters) - {(t.codes, t.scales) for t in stored.values()}
    if unnamed:
        raise InputError(f"model.pte holds {len(unnamed)} quantised tensors that have no name; rebuild the artefact")
    if stored_tensor(EMBEDDING, embedding) != stored[EMBEDDING]:
        raise InputError(f"{EMBEDDING}: the embedding in model.pte is not the one in its map; rebuild the artefact")
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


def read_embedding(pte: PteFile, grid: str) -> Blocks:
    """What the embedding's operator outside of the delegates, which has constants of its own, reads."""
    codes, scales = pte.constant_operands("forward", EMBEDDING_OPERATORS[grid])
    rows, columns = codes.shape
    raw = pte.bytes_at(codes.offset, rows * columns)
    if grid == INT4_GROUP:
        unpacked = unpack_nibbles(np.frombuffer(raw, np.uint8).reshape(rows, columns), even_high=True)
        stored = np.frombuffer(pte.bytes_at(scales.offset, 2 * prod(scales.shape)), "<f2").astype(np.float32)
    else:
        unpacked = np.frombuffer(raw, np.int8).reshape(rows, columns)
        stored = np.frombuffer(pte.bytes_at(scales.offset, 4 * prod(scales.shape)), "<f4")
    return Blocks(unpacked, stored.reshape(rows, -1), grid)
