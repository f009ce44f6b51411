"""The members of the zoo and what is to become of each: one literal table, which the tests' parameters come from."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEMBERS = Path(__file__).parent / "members"
Change = Callable[[Path], None]


@dataclass(frozen=True)
class Member:
    """A checkpoint that is to be built, and the facts that differ from one member to the next."""

    name: str
    ends: tuple[int, ...] = (2,)
    """ids that end generation, the first of them first"""
    made_from: str | None = None
    """the member whose files, or whose answers, it has"""
    change: Change | None = None
    """what is done to those files"""
    noted: tuple[str, ...] = ()
    """words that one note has to hold, for what two places say differently"""
    quiet: bool = False
    """nothing in it differs from place to place, so that there is nothing to note"""
    runs_on: bool = False
    """transformers' `generate` knows the configs' ends alone, and passes the one that the tokenizer's config states"""


def reordered(folder: Path) -> None:
    """The tensors the other way round, in the header and in the bytes: other writers' orders."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    old, new, body = json.loads(data[8:start]), {}, b""
    metadata = old.pop("__metadata__")
    for name in sorted(old, reverse=True):
        begin, end = (start + offset for offset in old[name]["data_offsets"])
        new[name] = {**old[name], "data_offsets": [len(body), len(body) + end - begin]}
        body += data[begin:end]
    text = json.dumps({**new, "__metadata__": metadata}).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def linked(folder: Path) -> None:
    """Every file a link to a blob elsewhere, as in the hub's cache."""
    blobs = folder.parent / f"{folder.name}-blobs"
    blobs.mkdir()
    for number, path in enumerate(sorted(folder.iterdir())):
        blob = blobs / f"{number:040x}"
        path.rename(blob)
        path.symlink_to(Path("..") / blobs.name / blob.name)


BUILT = (
    Member("base", ends=(0,), quiet=True),
    Member("instruct", quiet=True),
    Member("template-in-config", quiet=True),
    Member("several-ends", ends=(2, 0)),
    Member("eos-in-tokenizer", ends=(2, 0), noted=("tokenizer_config.json", "<|im_end|>"), runs_on=True),
    Member("trainer"),
    Member("pad-64", noted=("384 rows",)),
    Member("pad-added"),
    Member("untied"),
    Member("untied-equal"),
    Member("mixed", quiet=True),
    Member("sharded", quiet=True),
    Member("smollm-first", quiet=True),
    Member("rope-scaling-default", quiet=True),
    Member("unsloth"),
    Member("trl-chat-format", ends=(311,)),
    Member("v5-base", ends=(0,)),
    Member("v5-instruct"),
    Member("v5-gpt2-tokenizer"),
    Member("v5-named-token"),
    Member("v5-byte-level", ends=(0,)),
    Member("v5-several-ends", ends=(2, 0)),
    Member("v5-eos-in-tokenizer", ends=(2, 0), noted=("tokenizer_config.json", "<|im_end|>"), runs_on=True),
    Member("v5-pad-64", noted=("384 rows",)),
    Member("v5-untied"),
    Member("v5-head-differs", noted=("lm_head.weight", "tie_word_embeddings")),
    Member("v5-head-equal"),
    Member("v5-rope-theta"),
    Member("trl-clone-template", ends=(311,)),
    Member("v5-trainer"),
    Member("mlx"),
    Member("gguf-instruct", made_from="instruct"),
    Member("gguf-byte-level", made_from="v5-byte-level", ends=(0,)),
    Member("gguf-pad-64", made_from="pad-64"),
    Member("gguf-untied", made_from="untied"),
    Member("links", made_from="instruct", change=linked, quiet=True),
    Member("reordered", made_from="instruct", change=reordered, quiet=True),
)

REFUSED = {
    "head-missing": r"tie_word_embeddings.*lm_head\.weight|lm_head\.weight.*tie_word_embeddings",
    "rope-scaling-llama3": r"rope_scaling .*llama3",
    "sliding-window": r"sliding_window",  # transformers' cache obeys it, though Llama's own attention does not
    "gptq": r"(?i)quantised .*gptq|gptq.*quantised",
    "awq": r"(?i)quantised .*awq|awq.*quantised",
    "float8": r"(?i)quantised .*compressed-tensors|compressed-tensors.*quantised",
    "bitsandbytes": r"(?i)quantised .*bitsandbytes|bitsandbytes.*quantised",
    "mlx-4bit": r"(?i)quantised .*mlx|mlx.*quantised",
}
"""Members that are to be refused, and what the sentence has to name."""


def unpack(name: str, folder: Path) -> Path:
    """Write a member's files into `folder`, those that it shares with other members too."""
    shared: dict[str, str] = json.loads((MEMBERS / "shared.json").read_text())
    folder.mkdir(parents=True)
    own = MEMBERS / name
    for path in own.iterdir() if own.is_dir() else ():
        shutil.copy(path, folder)
    for file, place in shared.items():
        if file.startswith(f"{name}/"):
            shutil.copy(MEMBERS / place, folder / file.removeprefix(f"{name}/"))
    return folder


def answers(member: Member) -> dict[str, Any]:
    """What transformers makes of a member, but for its logits; `answers.py` wrote it."""
    found: dict[str, Any] = json.loads(_answers(member, "json").read_text(encoding="utf-8"))
    return found


def logits(member: Member) -> NDArray[np.float32]:
    """Logits [positions, vocabulary] of the kept positions."""
    with np.load(_answers(member, "npz")) as kept:
        found: NDArray[np.float32] = kept["logits"]
    return found


def _answers(member: Member, suffix: str) -> Path:
    return member_file(f"{member.made_from or member.name}.{suffix}")


def member_file(name: str) -> Path:
    """Where a file below `members` is kept: there, or with the member that it is shared with."""
    shared: dict[str, str] = json.loads((MEMBERS / "shared.json").read_text())
    return MEMBERS / shared.get(name, name)
