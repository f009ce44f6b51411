"""What a manifest says of the checkpoint that an artefact was made from."""

from dataclasses import asdict

from smolship.artefact.manifest import SourceRecord
from smolship.checkpoint import Checkpoint


def source_of(checkpoint: Checkpoint) -> SourceRecord:
    """The record of a checkpoint: the same for the same weights, numbers, token ids, tokenizer and chat template."""
    tokens = checkpoint.tokenizer.tokens
    return SourceRecord(
        name=checkpoint.name,
        instruct=checkpoint.is_instruct,
        licence=checkpoint.licence,
        definition=checkpoint.definition,
        end_tokens=tuple(tokens[index] for index in checkpoint.architecture.end_ids),
        notes=checkpoint.notes,
        **asdict(checkpoint.source),
    )
