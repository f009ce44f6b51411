"""What was understood of a checkpoint."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from smolship.terminal import table
from smolship.views.view import View

if TYPE_CHECKING:
    from smolship.checkpoint import Checkpoint, Source
    from smolship.workflows.inspect import Understood


def understood(found: "Understood") -> View:
    """One screen: sizes, weights, tokenizer, what ends an answer and who says so, the template on an example."""
    checkpoint = found.checkpoint
    a, tokenizer, source = checkpoint.architecture, checkpoint.tokenizer, checkpoint.source
    revision = f" at {source.revision}" if source.revision else ""
    quantised = " (already quantised: low-bit figures flatter)" if source.already_quantised else ""
    spare = f", {len(tokenizer.spare)} of them without a text" if tokenizer.spare else ""
    ends = [f"{token}: {', '.join(by)}" for token, by in found.ends().items()]
    facts = [
        ("source", f"{source.kind} {source.location}{revision}"),
        *_base(source),
        ("model", f"Llama architecture, {a.parameters / 1e6:,.1f} M weights"),
        ("layers", f"{a.layers} of width {a.hidden}, {a.intermediate} inside, {_heads(checkpoint)}"),
        ("positions", f"{a.max_positions}, rotary base {a.rope_theta:,.0f}"),
        ("weights", f"{source.stored_as}{quantised}, sha256 {source.sha256[:16]}…"),
        ("tokenizer", f"byte-level BPE ({tokenizer.pre}), {len(tokenizer.added)} added tokens"),
        ("embedding", f"{a.vocabulary} rows{spare}"),
        ("head", "the embedding" if a.tied else "a matrix of its own"),
        *(("" if index else "an answer ends at", end) for index, end in enumerate(ends)),
        ("a text begins with", f"{tokenizer.roles.get('bos_token', 'nothing')}, which only a chat template writes"),
        ("chat template", "none: it completes text" if found.rendered is None else repr(found.rendered)),
        *(("note", note) for note in checkpoint.notes),
        *(("refused", why) for why in found.refusals),
    ]
    return View((table(checkpoint.name, ("", ""), facts),), _data(found))


def _base(source: "Source") -> list[tuple[str, str]]:
    if source.adapter is None:
        return []
    base = source.adapter.base
    revision = f" at {base.revision}" if base.revision else ""
    return [("", f"a LoRA adapter, merged into {base.kind} {base.location}{revision}")]


def _heads(checkpoint: "Checkpoint") -> str:
    a = checkpoint.architecture
    return f"{a.heads} heads of {a.head_dim} over {a.kv_heads} of keys and values"


def _data(found: "Understood") -> dict[str, object]:
    checkpoint = found.checkpoint
    return {
        "name": checkpoint.name,
        "source": asdict(checkpoint.source),
        "definition": checkpoint.definition,
        "architecture": asdict(checkpoint.architecture) | {"parameters": checkpoint.architecture.parameters},
        "tokenizer": {
            "pre_tokenizer": checkpoint.tokenizer.pre,
            "roles": dict(checkpoint.tokenizer.roles),
            "added": [asdict(token) for token in checkpoint.tokenizer.added],
            "spare_rows": sorted(checkpoint.tokenizer.spare),
        },
        "ends": found.ends(),
        "chat_template": checkpoint.tokenizer.chat_template,
        "rendered": found.rendered,
        "notes": checkpoint.notes,
        "refused": found.refusals,
    }
