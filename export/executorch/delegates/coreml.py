"""ExecuTorch for Core ML (iOS 18, macOS 15): lowered here, its integers read back here, run only by Apple's systems."""

import hashlib
import json
from pathlib import Path

import numpy as np

from smolship.checkpoint.architecture import EMBEDDING, HEAD
from smolship.errors import InputError
from smolship.export.executorch.delegates.mlprogram import Weight, weights_of, without_chance
from smolship.export.executorch.metadata import metadata
from smolship.export.executorch.names import TENSORS_METHOD, StoredTensor, tensors_json
from smolship.export.executorch.operators import write_program
from smolship.export.executorch.pack import companions
from smolship.export.executorch.program import PteFile
from smolship.progress import Progress, Silent
from smolship.quantize import Blocks, QuantizedModel
from smolship.quiet import quiet

TITLE = "Core ML"
BACKEND = "CoreMLBackend"
CHUNK = 1
"""tokens a call; see `coreml_decoder`"""
SMALLEST, LARGEST = float(np.finfo(np.float16).tiny), float(np.finfo(np.float16).max)
"""the scales that float16 holds with all its bits; of a group of zeros a smaller one will do"""


def pack(model: QuantizedModel, folder: Path, context: int, progress: Progress = Silent()) -> None:
    """Write model.pte (Core ML, its cache of `context` positions a state), its operators and the tokenizer.

    `InputError` names a tensor whose scales float16 does not hold; `RuntimeFailure` names operators that Core ML left
    outside. About a minute and 2.1 GB for the 135M model.
    """
    with progress.task("ExecuTorch for Core ML: trace the graph"), quiet():
        from smolship.export.executorch.delegates import delegated
        from smolship.export.executorch.delegates.coreml_decoder import CoreMLDecoder
        from smolship.export.executorch.traced import trace

        stored = {name: stored_tensor(name, model.blocks(name, "executorch")) for name in model.matrices()}
        program = trace(CoreMLDecoder(model, context), CHUNK)
    with progress.task("ExecuTorch for Core ML: lower it"), quiet():
        import coremltools
        from executorch.backends.apple.coreml.compiler import CoreMLBackend
        from executorch.backends.apple.coreml.partition import CoreMLPartitioner

        # blocks of 4 bits, and states, are there since iOS 18
        specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=coremltools.target.iOS18)
        constants = metadata(model.checkpoint.architecture, context, CHUNK) | {TENSORS_METHOD: tensors_json(stored)}
        edge = delegated.lower(program, CoreMLPartitioner(compile_specs=specs), constants, TITLE)
        del program
    with progress.task("ExecuTorch for Core ML: write"), quiet():
        for part in delegated.delegates(edge):
            part._processed_bytes = without_chance(part.processed_bytes)  # noqa: SLF001  (there is no public way)
        write_program(delegated.serialise(edge), folder)
    with progress.task("ExecuTorch for Core ML: read the integers back"):
        delegated.require_integers(model, unpack(folder), TITLE)
    for name, content in companions(model.checkpoint, context).items():
        (folder / name).write_bytes(content)


def unpack(folder: Path) -> dict[str, Blocks]:
    """Blocks by Hugging Face name from `folder`/model.pte: those that the mlprogram's linear layers really use.

    `InputError` names a tensor that is missing, or says how many have no name.
    """
    with quiet():  # the parsers' imports are the exporter's
        pte = PteFile((folder / "model.pte").read_bytes())
        found: dict[tuple[str, str], Weight] = {}
        for backend, blob in pte.delegate_blobs("forward"):
            if backend != BACKEND:
                raise InputError(f"model.pte has a delegate for {backend}; only Core ML is known in this one")
            found |= {_keys(one.codes, one.scales): one for one in weights_of(blob)}
    stored = {name: StoredTensor(**entry) for name, entry in json.loads(pte.string(TENSORS_METHOD)).items()}
    users = {name: {"linear"} for name in stored} | {EMBEDDING: {"gather"} if HEAD in stored else {"linear", "gather"}}
    blocks = {name: _read(name, tensor, found, users[name]) for name, tensor in stored.items()}
    if unnamed := found.keys() - {(tensor.codes, tensor.scales) for tensor in stored.values()}:
        raise InputError(f"model.pte holds {len(unnamed)} quantised tensors that have no name; rebuild the artefact")
    return blocks


def stored_tensor(name: str, blocks: Blocks) -> StoredTensor:
    """The keys by which `unpack` finds a tensor; `InputError` if float16 overflows or loses bits of a scale in use."""
    used = blocks.scales[np.abs(blocks.codes.reshape(*blocks.scales.shape, -1)).max(-1) > 0]
    low, high = float(used.min(initial=1.0)), float(blocks.scales.max())
    if low < SMALLEST or high > LARGEST:
        raise InputError(
            f"{name}: scales from {low:.3g} to {high:.3g}, and Core ML keeps them in float16, from {SMALLEST:.3g} to "
            f"{LARGEST:g}: choose a recipe with other bits for this tensor, or the backend xnnpack"
        )
    return StoredTensor(blocks.grid, *_keys(blocks.codes, blocks.scales.astype(np.float16)))


def _read(name: str, tensor: StoredTensor, found: dict[tuple[str, str], Weight], users: set[str]) -> Blocks:
    weight = found.get((tensor.codes, tensor.scales))
    if weight is None or weight.users != users:
        raise InputError(f"{name}: nothing in model.pte uses its codes with its scales; rebuild the artefact")
    return Blocks(weight.codes, weight.scales.astype(np.float32), tensor.grid)


def _keys(codes: "np.typing.NDArray[np.int8]", scales: "np.typing.NDArray[np.float16]") -> tuple[str, str]:
    digests = (hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in (codes, scales))
    return next(digests), f"scale_{next(digests)}"
