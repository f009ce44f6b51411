"""The YAML at the head of a model card, as Hugging Face's hub reads it, and whose licence the checkpoint has."""

from dataclasses import dataclass

from smolship.artefact import SourceRecord

OWNER = "HuggingFaceTB/SmolLM2-"
"""how the hub ids of SmolLM2's own checkpoints begin; all of them are under the Apache License 2.0"""
EMBEDDED_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
LICENCE = "apache-2.0"
LIBRARIES = {"gguf": "llama-cpp-python", "onnx": "onnxruntime", "executorch": "executorch"}
"""`library_name` on the hub, by format"""


@dataclass(frozen=True)
class Origin:
    """Where a checkpoint comes from, as far as its source says."""

    base_model: str | None
    """its hub id"""
    licensed: bool
    """whether it is one of SmolLM2's own, whose licence is known"""


def origin_of(source: SourceRecord) -> Origin:
    """A folder or a GGUF file does not say what it is a copy of, and nothing is guessed from its name."""
    if source.kind == "embedded":
        return Origin(EMBEDDED_MODEL, licensed=True)
    if source.kind == "hub":
        return Origin(source.location, licensed=source.location.startswith(OWNER))
    return Origin(None, licensed=False)


def front_matter(format_name: str, origin: Origin) -> str:
    """The lines between the card's `---`."""
    from huggingface_hub import ModelCardData  # 0.6 s, and only writing a card needs it

    return str(
        ModelCardData(
            license=LICENCE if origin.licensed else None,
            base_model=origin.base_model,
            library_name=LIBRARIES[format_name],
            pipeline_tag="text-generation",
            tags=["smollm2", "smolship", format_name],
            base_model_relation=None if origin.base_model is None else "quantized",
        ).to_yaml()
    )
