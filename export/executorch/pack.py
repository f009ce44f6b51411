"""Writing an ExecuTorch artefact: model.pte, the list of its operators, and the tokenizer's files."""

from pathlib import Path

from smolship.checkpoint.architecture import EMBEDDING
from smolship.checkpoint.checkpoint import Outline
from smolship.export.executorch.joined import stored_tensors
from smolship.export.executorch.metadata import metadata
from smolship.export.executorch.names import TENSORS_METHOD, tensors_json
from smolship.progress import Progress, Silent
from smolship.quantize import QuantizedModel
from smolship.quiet import quiet

PROMPT_CHUNK = 128
"""Tokens that one call takes at most; runners cut longer prompts. Short chunks waste little time and memory."""


def pack(
    model: QuantizedModel, folder: Path, context: int, progress: Progress = Silent(), *, custom_sdpa: bool = False
) -> None:
    """Write model.pte (XNNPACK, a cache of `context` positions inside), its operators and the tokenizer into `folder`.

    `custom_sdpa` takes ExecuTorch's `llama::` attention and cache operators, for runtimes that link them. `InputError`
    names a tensor whose grid XNNPACK has no kernel for. Takes about 2 minutes and 1.6 GB for the 135M model.
    """
    architecture = model.checkpoint.architecture
    chunk = min(PROMPT_CHUNK, context)
    with progress.task("ExecuTorch: round the weights"), quiet():
        from smolship.export.executorch import lower
        from smolship.export.executorch.decoder import Decoder
        from smolship.export.executorch.operators import write_program
        from smolship.export.executorch.repeat import Repeated, one_of_each
        from smolship.export.executorch.share import share_embedding
        from smolship.export.executorch.traced import trace

        stored = stored_tensors(model)
        decoder = Decoder(model, context, custom_sdpa=custom_sdpa)
        layers = decoder.layers
        decoder.layers, pattern = one_of_each(layers)
    with progress.task("ExecuTorch: trace the graph"), quiet():
        program = trace(decoder, chunk)
        del decoder
    with progress.task("ExecuTorch: lower it to XNNPACK"), quiet():
        constants = metadata(architecture, context, chunk, custom_sdpa=custom_sdpa) | {
            TENSORS_METHOD: tensors_json(stored)
        }
        edge = lower.lower(program, constants, Repeated(layers, pattern))
        del program, layers
    with progress.task("ExecuTorch: plan the memory, write"), quiet():
        data = lower.serialise(edge)
        write_program(share_embedding(data, stored[EMBEDDING]) if architecture.tied else data, folder)
    for name, content in companions(model.checkpoint, context).items():
        (folder / name).write_bytes(content)


def companions(model: Outline, context: int) -> dict[str, bytes]:  # noqa: ARG001  (as every format's)
    """The files beside the model file, by name: the tokenizer's."""
    return model.tokenizer.files()
