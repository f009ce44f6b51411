"""SmolLM2 checkpoints at rest, opened from a hub id, a folder, a GGUF file or the embedded default."""

from smolship.checkpoint.architecture import EMBEDDING, FINAL_NORM, HEAD, Architecture
from smolship.checkpoint.checkpoint import AdapterSource, Checkpoint, Outline, Source, TensorSource
from smolship.checkpoint.opening import open_checkpoint, open_outline
from smolship.checkpoint.tokenizer import AddedToken, Tokenizer

__all__ = [
    "EMBEDDING",
    "FINAL_NORM",
    "HEAD",
    "AdapterSource",
    "AddedToken",
    "Architecture",
    "Checkpoint",
    "Outline",
    "Source",
    "TensorSource",
    "Tokenizer",
    "open_checkpoint",
    "open_outline",
]
