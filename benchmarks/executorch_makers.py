"""The .pte files that `executorch_peers` measures: this project's, and those of ExecuTorch's own exporters.

| file | made by | environment |
| --- | --- | --- |
| `q4`, `q4-e8`, `q8` | smolship, tied embedding of 4, 8 and 8 bits; portable and quantised operators | this one |
| `q4-e8 sdpa` | the same with ExecuTorch's own attention and cache in float32 | this one |
| `export_llm 8da4w` | export_llm, groups of 32, embedding in 8 bits: its SmolLM2 recipe | `executorch` |
| `export_llm 8da8w` | 8-bit weights by row, embedding in 8 bits | `executorch` |

All have a context of 1,024 tokens. Peers are kept below the workshop; this project's files are made anew.
"""

from pathlib import Path

from foreign_makers import Maker, Workshop, export_llm
from peers_rounds import Candidate

from smolship.checkpoint import Checkpoint
from smolship.errors import SmolshipError
from smolship.runtime_checks.probe.backend_executorch import MODEL_FILE

CONTEXT = 1024
OURS: dict[str, tuple[str, bool]] = {
    "q4": ("q4", False),
    "q4-e8": ("q4-e8", False),
    "q4-e8 sdpa": ("q4-e8", True),
    "q8": ("q8", False),
}
"""a file's name: its recipe, and whether it has ExecuTorch's own attention"""
PEERS: dict[str, Maker] = {
    "export_llm 8da4w": export_llm(context=CONTEXT),
    "export_llm 8da8w": export_llm("8da8w", group=0, context=CONTEXT),
}


def candidates(shop: Workshop, place: Path) -> list[Candidate]:
    """Every file that is measured, ours below `place`. `SmolshipError` names the peer that could not be made."""
    return [_packed(shop.checkpoint, name, place) for name in OURS] + [_peer(shop, name) for name in PEERS]


def _packed(checkpoint: Checkpoint, name: str, place: Path) -> Candidate:
    from smolship.export.executorch import pack
    from smolship.quantize import quantize

    recipe, fused = OURS[name]
    folder = place / name
    folder.mkdir(parents=True)
    pack(quantize(checkpoint, recipe, ("executorch",)), folder, CONTEXT, custom_sdpa=fused)
    return Candidate(f"smolship {name}", name, folder, MODEL_FILE)


def _peer(shop: Workshop, name: str) -> Candidate:
    try:
        made = shop.made(f"{name} {CONTEXT}".replace(" ", "-"), PEERS[name])
    except SmolshipError as error:
        raise SmolshipError(f"the peer {name} could not be made: {error}") from error
    return Candidate(name, name, made.parent, made.name)
