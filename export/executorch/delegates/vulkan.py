"""ExecuTorch for Vulkan, the GPUs of Android phones: lowered and its integers read back here, run only on a device."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import EMBEDDING, HEAD
from smolship.errors import InputError, RuntimeFailure
from smolship.export.executorch.codes import INT4_GROUP, pack_even_low, unpack_nibbles
from smolship.export.executorch.metadata import metadata
from smolship.export.executorch.names import TENSORS_METHOD, StoredTensor, tensors_json
from smolship.export.executorch.operators import write_program
from smolship.export.executorch.pack import PROMPT_CHUNK, companions
from smolship.export.executorch.program import PteFile
from smolship.export.executorch.unpack import read_embedding
from smolship.progress import Progress, Silent
from smolship.quantize import Blocks, QuantizedModel
from smolship.quiet import quiet

TITLE = "Vulkan"
BACKEND = "VulkanBackend"
ON_THE_PROCESSOR = ("quantized_decomposed.embedding_byte",)
"""what Vulkan has no operator for: gathering a row of the embedding in 8 bits"""
LINEARS = ("et_vk.linear_q4gsw.default", "aten._weight_int8pack_mm.default")
"""the operators that read a quantised matrix: their second operand is the codes, their third the scales"""
EMBEDDING_4BIT = "et_vk.embedding_q4gsw.default"
"""its first operand is the codes, its second the scales"""

Operands = dict[tuple[str, str], tuple[int, ...]]
"""the keys of codes and scales that an operator reads, and the shape of the scales"""


def pack(model: QuantizedModel, folder: Path, context: int, progress: Progress = Silent()) -> None:
    """Write model.pte (Vulkan, with a cache of `context` positions), its operators and the tokenizer into `folder`.

    `RuntimeFailure` names operators that Vulkan left outside. About 2 minutes and 1.6 GB for the 135M model.
    """
    chunk = min(PROMPT_CHUNK, context)
    with progress.task("ExecuTorch for Vulkan: trace the graph"), quiet():
        from smolship.export.executorch.delegates import delegated
        from smolship.export.executorch.delegates.vulkan_decoder import VulkanDecoder
        from smolship.export.executorch.traced import trace

        stored = {name: stored_tensor(model.blocks(name, "executorch")) for name in model.matrices()}
        program = trace(VulkanDecoder(model, context), chunk)
    with progress.task("ExecuTorch for Vulkan: lower it"), quiet():
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        constants = metadata(model.checkpoint.architecture, context, chunk, custom_sdpa=True)
        constants[TENSORS_METHOD] = tensors_json(stored)
        partitioner = VulkanPartitioner({"require_dynamic_shapes": True})
        edge = delegated.lower(program, partitioner, constants, TITLE, ON_THE_PROCESSOR)
        del program
        for part in delegated.delegates(edge):
            _require_whole(part.processed_bytes)
    with progress.task("ExecuTorch for Vulkan: write"), quiet():
        write_program(delegated.serialise(edge), folder)
    with progress.task("ExecuTorch for Vulkan: read the integers back"):
        delegated.require_integers(model, unpack(folder), TITLE)
    for name, content in companions(model.checkpoint, context).items():
        (folder / name).write_bytes(content)


def unpack(folder: Path) -> dict[str, Blocks]:
    """Blocks by Hugging Face name from `folder`/model.pte: those that Vulkan's linear layers and embedding really use.

    `InputError` names a tensor that is missing, is wired to other scales, or whose copies differ.
    """
    with quiet():  # the parsers' imports are the exporter's
        pte = PteFile((folder / "model.pte").read_bytes())
        linears: Operands = {}
        rows: Operands = {}
        for backend, blob in pte.delegate_blobs("forward"):
            if backend != BACKEND:
                raise InputError(f"model.pte has a delegate for {backend}; only Vulkan is known in this one")
            graph = _graph(blob)
            for operator in LINEARS:
                linears |= _operands(graph, operator, (1, 2))
            rows |= _operands(graph, EMBEDDING_4BIT, (0, 1))
    stored = {name: StoredTensor(**entry) for name, entry in json.loads(pte.string(TENSORS_METHOD)).items()}
    tied, embedding = HEAD not in stored, _read_embedding(pte, stored[EMBEDDING], rows)
    found = {
        name: _read(pte, name, tensor, linears) if tied or name != EMBEDDING else embedding
        for name, tensor in stored.items()
    }
    if unnamed := linears.keys() - {(tensor.codes, tensor.scales) for tensor in stored.values()}:
        raise InputError(f"model.pte holds {len(unnamed)} quantised tensors that have no name; rebuild the artefact")
    if stored_tensor(embedding) != stored[EMBEDDING]:
        raise InputError(f"{EMBEDDING}: the embedding in model.pte is not the one in its map; rebuild the artefact")
    return found


def stored_tensor(blocks: Blocks) -> StoredTensor:
    """The keys under which ExecuTorch's Vulkan exporter files these codes and scales: digests of their bytes."""
    codes = pack_even_low(blocks.codes) if blocks.grid == INT4_GROUP else blocks.codes
    return StoredTensor(blocks.grid, _digest(codes), _digest(blocks.scales.T.astype("<f4")))


def _require_whole(blob: bytes) -> None:
    """`RuntimeFailure` names a weight's operator that the runtime has no shader for, though the partitioner took it."""
    left = sorted({call.name for call in _graph(blob).chain if "dequantize" in call.name})
    if left:
        raise RuntimeFailure(f"Vulkan left {', '.join(left)} in its graph; use the ExecuTorch of the lock file")


def _graph(blob: bytes) -> Any:
    from executorch.backends.vulkan.serialization.vulkan_graph_serialize import (
        extract_vk_flatbuffer,
        flatbuffer_to_vk_graph,
    )

    return flatbuffer_to_vk_graph(extract_vk_flatbuffer(blob))


def _operands(graph: Any, operator: str, which: tuple[int, int]) -> Operands:
    """What each call of `operator` reads of constants."""
    found: Operands = {}
    for call in graph.chain:
        if call.name == operator:
            tensors = [graph.values[call.args[i]].value for i in which]
            codes, scales = (graph.constants[tensor.constant_id].named_key for tensor in tensors)
            found[codes, scales] = tuple(tensors[1].dims)
    return found


def _read(pte: PteFile, name: str, tensor: StoredTensor, linears: Operands) -> Blocks:
    shape = linears.get((tensor.codes, tensor.scales))  # [groups, out] of 4 bits, [out] of 8
    if shape is None:
        raise InputError(f"{name}: nothing in model.pte uses its codes with its scales; rebuild the artefact")
    codes = np.frombuffer(pte.named_bytes(tensor.codes), np.uint8).reshape(shape[-1], -1)
    scales = np.frombuffer(pte.named_bytes(tensor.scales), "<f4").reshape(-1, shape[-1])
    unpacked = unpack_nibbles(codes, even_high=False) if tensor.four_bit else codes.view(np.int8)
    return Blocks(unpacked, np.ascontiguousarray(scales.T), tensor.grid)


def _read_embedding(pte: PteFile, tensor: StoredTensor, rows: Operands) -> Blocks:
    """What the embedding is gathered from: on the GPU in 4 bits, on the processor in 8."""
    if not tensor.four_bit:
        return read_embedding(pte, tensor.grid)
    if len(rows) != 1:
        raise InputError(f"{EMBEDDING}: {len(rows)} embeddings in model.pte, wanted one; rebuild the artefact")
    ((codes, scales), shape) = next(iter(rows.items()))  # scales [out, groups]
    packed = np.frombuffer(pte.named_bytes(codes), np.uint8).reshape(shape[0], -1)
    stored = np.frombuffer(pte.named_bytes(scales), "<f4").reshape(shape)
    return Blocks(unpack_nibbles(packed, even_high=False), stored, tensor.grid)


def _digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
