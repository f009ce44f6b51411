"""Writing an ExecuTorch artefact: model.pte and the tokenizer's files."""

from pathlib import Path
from typing import Any

from smolship.checkpoint.architecture import EMBEDDING, Architecture
from smolship.checkpoint.checkpoint import Outline
from smolship.export.executorch.names import TENSORS_METHOD, stored_tensor, tensors_json
from smolship.progress import Progress, Silent
from smolship.quantize import QuantizedModel
from smolship.quiet import quiet

PROMPT_CHUNK = 128
"""Tokens that one call takes at most; runners cut longer prompts. Short chunks waste little time and memory."""


def pack(
    model: QuantizedModel, folder: Path, context: int, progress: Progress = Silent(), *, custom_sdpa: bool = False
) -> None:
    """Write model.pte (XNNPACK, a cache of `context` positions inside) and the tokenizer into the empty `folder`.

    `custom_sdpa` takes ExecuTorch's `llama::` attention and cache operators, for runtimes that link them. `InputError`
    names a tensor whose grid XNNPACK has no kernel for. Takes about 2 minutes and 1.6 GB for the 135M model.
    """
    with progress.task("ExecuTorch: model.pte", 100.0) as advance, quiet():
        from smolship.export.executorch import lower
        from smolship.export.executorch.decoder import Decoder
        from smolship.export.executorch.share import share_embedding

        architecture = model.checkpoint.architecture
        chunk = min(PROMPT_CHUNK, context)
        stored = {n: stored_tensor(n, model.blocks(n, "executorch")) for n in model.matrices()}
        decoder = Decoder(model, context, custom_sdpa=custom_sdpa)
        advance(8.0)
        program = lower.trace(decoder, chunk)
        advance(8.0)
        del decoder
        constants = _metadata(architecture, context, chunk, custom_sdpa) | {TENSORS_METHOD: tensors_json(stored)}
        edge = lower.lower(program, constants)
        del program
        advance(76.0)
        data = share_embedding(lower.serialise(edge), stored[EMBEDDING])
        (folder / "model.pte").write_bytes(data)
        advance(8.0)
    for name, content in companions(model.checkpoint, context).items():
        (folder / name).write_bytes(content)


def companions(model: Outline, context: int) -> dict[str, bytes]:  # noqa: ARG001  (as every format's)
    """The files beside the model file, by name: the tokenizer's."""
    return model.tokenizer.files()


def _metadata(architecture: Architecture, context: int, chunk: int, custom_sdpa: bool) -> dict[str, Any]:
    """The constant methods that ExecuTorch's LLM runner asks for."""
    return {
        "get_max_seq_len": chunk,
        "get_max_context_len": context,
        "get_vocab_size": architecture.vocabulary,
        "get_n_layers": architecture.layers,
        "get_bos_id": architecture.bos_id,
        "get_eos_ids": [architecture.eos_id],
        "use_kv_cache": True,
        "enable_dynamic_shape": True,
        "use_sdpa_with_kv_cache": custom_sdpa,
    }
