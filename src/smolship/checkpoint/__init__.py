"""SmolLM2 checkpoints at rest, opened from a hub id, a folder, a GGUF file or the embedded default."""

from smolship.checkpoint.architecture import EMBEDDING, FINAL_NORM, Architecture
from smolship.checkpoint.checkpoint import Checkpoint, Source, TensorSource
from smolship.checkpoint.opening import open_checkpoint
from smolship.checkpoint.tokenizer import AddedToken, Tokenizer

__all__ = [
    "EMBEDDING",
    "FINAL_NORM",
    "AddedToken",
    "Architecture",
    "Checkpoint",
    "Source",
    "TensorSource",
    "Tokenizer",
    "open_checkpoint",
]
