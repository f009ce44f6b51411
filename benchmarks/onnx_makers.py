"""The ONNX folders that `onnx_peers` measures: this project's, other tools', and each as a fair runner takes it.

| folder | made by | environment |
| --- | --- | --- |
| `q4`, `q4-e8`, `q8` | smolship, tied embedding of 4, 8 and 8 bits | this one |
| `q4 beside`, `q8 beside` | the same, weights in a second file (`--weights-beside`), as the builder does | this one |
| `genai-int4`, `genai-int8` | ONNX Runtime GenAI's model builder, its default | `genai` |
| `genai-int4-fused`, `genai-int8-fused` | the same, gate and up in one, the head on the last position alone | `genai` |
| `optimum-4bit` | Optimum's fp32 graph, its MatMuls in blocks of 32 by ONNX Runtime's quantiser | this one |

Peers are kept below the workshop and used again; this project's folders are made anew, they are what changes.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from foreign_makers import Maker, Workshop, genai, optimum
from peers_rounds import Candidate

from smolship.checkpoint import Checkpoint
from smolship.errors import SmolshipError
from smolship.export.onnx.genai_config import CHUNK

MODEL_FILE = "model.onnx"
CONTEXT = 2048
OURS: dict[str, tuple[str, bool]] = {
    "q4": ("q4", False),
    "q4 beside": ("q4", True),
    "q4-e8": ("q4-e8", False),
    "q8": ("q8", False),
    "q8 beside": ("q8", True),
}
"""a file's name: its recipe, and whether its weights lie in a second file"""
FUSED = ("fuse_mlp_gate_up=true", "prune_lm_head=true")
QUANTISE = """
import sys, onnx
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
tool = MatMulNBitsQuantizer(onnx.load(sys.argv[1]), bits=4, block_size=32, is_symmetric=True, accuracy_level=4)
tool.process()
tool.model.save_model_to_file(sys.argv[2])
"""


def optimum_4bit(shop: Workshop, folder: Path) -> Path:
    """Optimum's float32 export of the same weights, its MatMuls quantised by ONNX Runtime's own tool."""
    whole = shop.made("optimum", optimum)
    shop.run([sys.executable, "-c", QUANTISE, whole / MODEL_FILE, folder / MODEL_FILE], "optimum-4bit")
    shutil.copy(whole / "config.json", folder)
    return folder


PEERS: dict[str, Maker] = {
    "genai-int4": genai("int4"),
    "genai-int4-fused": genai("int4", *FUSED),
    "genai-int8": genai("int8"),
    "genai-int8-fused": genai("int8", *FUSED),
    "optimum-4bit": optimum_4bit,
}


def candidates(shop: Workshop, place: Path) -> list[Candidate]:
    """Every folder that is measured, below `place`, each of ours beside its rivals.

    Peers are there twice: as they ship, and with their prompts forced into the chunks that ours are taken in, which is
    the best a client can do for them. `SmolshipError` names the peer that could not be made.
    """
    ours = [_packed(shop.checkpoint, name, place) for name in OURS]
    found = [each for each in ours if each.file.startswith("q4")]
    for name in PEERS:
        if name == "genai-int8":
            found += [each for each in ours if each.file.startswith("q8")]
        found += as_run(shop, name, place)
    return found


def as_run(shop: Workshop, name: str, place: Path) -> list[Candidate]:
    """A peer as it ships and in chunks; `SmolshipError` names it if it cannot be made."""
    try:
        made = shop.made(name, PEERS[name])
    except SmolshipError as error:
        raise SmolshipError(f"the peer {name} could not be made: {error}") from error
    chunked = f"{name} in {CHUNK}s"
    return [
        Candidate(name, name, staged(made, place / name, shop.checkpoint, None), MODEL_FILE),
        Candidate(chunked, name, staged(made, place / f"{name}-chunked", shop.checkpoint, CHUNK), MODEL_FILE),
    ]


def staged(made: Path, folder: Path, checkpoint: Checkpoint, chunk: int | None) -> Path:
    """The folder `made` again, in `folder`: its model files linked, the checkpoint's tokenizer beside every model.

    What a tool writes of a tokenizer (1.4 MB more, of the same entries) is no part of what a graph takes of memory.
    """
    folder.mkdir(parents=True)
    for path in made.glob(f"{MODEL_FILE}*"):  # the model and what it keeps outside of itself
        os.link(path, folder / path.name)
    for name, content in checkpoint.tokenizer.files().items():
        (folder / name).write_bytes(content)
    for name in ("config.json", "genai_config.json"):
        if (made / name).is_file():
            shutil.copy(made / name, folder)
    if chunk:
        config = _genai_config(folder, checkpoint)
        config["search"]["chunk_size"] = chunk
        (folder / "genai_config.json").write_text(json.dumps(config))
    return folder


def _packed(checkpoint: Checkpoint, name: str, place: Path) -> Candidate:
    from smolship.export.onnx import pack
    from smolship.quantize import quantize

    recipe, beside = OURS[name]
    folder = place / name
    folder.mkdir(parents=True)
    pack(quantize(checkpoint, recipe, ("onnx",)), folder, CONTEXT, external=beside)
    return Candidate(f"smolship {name}", name, folder, MODEL_FILE)


def _genai_config(folder: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """The folder's own, or, where there is none, one that says what runs without one are like."""
    path = folder / "genai_config.json"
    if path.is_file():
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return config
    return {"model": {"decoder": {"head_size": checkpoint.architecture.head_dim}}, "search": {}}
