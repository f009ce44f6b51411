"""A checkpoint that is a GGUF file."""
