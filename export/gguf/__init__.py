"""GGUF for llama.cpp and Ollama: `Blocks` to tensor types of ggml, with all metadata and the tokenizer."""

from smolship.export.gguf.pack import MODEL_FILE, pack
from smolship.export.gguf.unpack import unpack

__all__ = ["MODEL_FILE", "pack", "unpack"]
