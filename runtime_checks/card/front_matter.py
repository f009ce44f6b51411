"""The YAML at the head of a model card, as Hugging Face's hub reads it, and where the checkpoint comes from."""

import re
from dataclasses import dataclass

from smolship.artefact import SourceRecord
from smolship.runtime_checks.card.quoting import slug

OWNER = "HuggingFaceTB/SmolLM2-"
"""how the hub ids of SmolLM2's own checkpoints begin"""
EMBEDDED_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
LIBRARIES = {"gguf": "llama-cpp-python", "onnx": "onnxruntime", "executorch": "executorch"}
"""`library_name` on the hub, by format"""

_OF_HUB = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True)
class Origin:
    """Where a checkpoint comes from, as far as its source says."""

    base_model: str | None
    """its hub id"""
    of_family: bool
    """whether it is one of SmolLM2's own"""


def origin_of(source: SourceRecord) -> Origin:
    """A folder or a GGUF file does not say what it is a copy of, and nothing is guessed from its name."""
    if source.kind == "embedded":
        return Origin(EMBEDDED_MODEL, of_family=True)
    if source.kind == "hub":
        return Origin(source.location, of_family=source.location.startswith(OWNER))
    return Origin(None, of_family=False)


def front_matter(format_name: str, origin: Origin, licence: str | None) -> str:
    """The lines between the card's `---`; `licence` is what the checkpoint names, if it does.

    The hub takes names such as `apache-2.0`, and any other text as the name of another licence.
    """
    from huggingface_hub import ModelCardData  # 0.6 s, and only writing a card needs it

    other = licence is not None and not _OF_HUB.fullmatch(licence)
    return str(
        ModelCardData(
            license="other" if other else licence,
            license_name=slug(licence) if licence and other else None,
            base_model=origin.base_model,
            library_name=LIBRARIES[format_name],
            pipeline_tag="text-generation",
            tags=["smollm2", "smolship", format_name],
            base_model_relation=None if origin.base_model is None else "quantized",
        ).to_yaml()
    )
