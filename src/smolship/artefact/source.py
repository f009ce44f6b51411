"""What a manifest says of the checkpoint that an artefact was made from."""

from dataclasses import asdict, replace

from smolship.artefact.manifest import AdapterRecord, BaseRecord, SourceRecord
from smolship.checkpoint import AdapterSource, Checkpoint


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
        **asdict(replace(checkpoint.source, adapter=None)) | {"adapter": _adapter(checkpoint.source.adapter)},
    )


def _adapter(source: AdapterSource | None) -> AdapterRecord | None:
    if source is None:
        return None
    base = source.base
    named = BaseRecord(kind=base.kind, location=base.location, revision=base.revision, sha256=base.sha256)
    return AdapterRecord(sha256=source.sha256, base=named)
