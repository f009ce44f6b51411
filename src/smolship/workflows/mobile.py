"""Mobile: an ONNX artefact as an app on a phone takes it, proved to compute what the artefact computes."""

import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from smolship.artefact import Artefact, staged
from smolship.checkpoint import EMBEDDING
from smolship.errors import InputError, RuntimeFailure
from smolship.export import format_named
from smolship.progress import Progress, Silent
from smolship.quiet import quiet
from smolship.runtime_checks.runtimes import runtime_for

PROVED = 64
"""tokens whose logits are compared"""
APART = 1e-3
"""the most that any logit may differ; on one machine they are equal, and scales that are lost move them by tens"""
UNNEEDED = ("genai_config.json",)
"""files beside the model that are of no use with another model file"""


@dataclass(frozen=True)
class Mobile:
    """What was written."""

    folder: Path
    files: dict[str, int]
    """each file's bytes, by name"""
    onnx_bytes: int
    """of the artefact's model file"""
    lowest: str
    """the lowest ONNX Runtime that reads it"""
    difference: float
    """the largest of any logit on `PROVED` tokens, to the artefact's"""


def mobile(folder: Path, out: Path, threads: int, *, progress: Progress = Silent()) -> Mobile:
    """Write the ONNX artefact in `folder` into the new folder `out`: model.ort, its operators, the tokenizer.

    `InputError` if it is no whole ONNX artefact of ours or `out` is taken; `RuntimeFailure` if model.ort computes
    something else, and nothing is left then.
    """
    artefact = Artefact.open(folder)
    if artefact.format != "onnx":
        raise InputError(f"{folder} is in {artefact.format}; only onnx has this form for phones: build with -f onnx")
    artefact.verify()
    if out.exists():
        raise InputError(f"{out} is there already: choose another --out")
    format_named("onnx").require()
    runtime_for("onnx").require()
    with quiet():
        from smolship.export.onnx.mobile import CONFIG_FILE, ORT_FILE, required_operators, write_ort
    with staged(out) as place, progress.task("mobile: fold, write, prove", 3) as advance:
        for record in artefact.manifest.files:
            if not record.path.startswith(artefact.manifest.model_file) and record.path not in UNNEEDED:
                shutil.copyfile(folder / record.path, place / record.path)
        with quiet():
            lowest = write_ort(artefact.model_path, place / ORT_FILE)
            advance(1)
            (place / CONFIG_FILE).write_bytes(required_operators(place / ORT_FILE))
            advance(1)
            difference = _difference(artefact, place, ORT_FILE, threads)
            advance(1)
        if not difference <= APART:
            raise RuntimeFailure(
                f"{ORT_FILE} computes logits that differ by {difference:g} from those of {artefact.model_path} on "
                f"ONNX Runtime {version('onnxruntime')}, and nothing was written: please report this"
            )
        files = {path.name: path.stat().st_size for path in sorted(place.iterdir())}
    return Mobile(out, files, artefact.model_bytes, lowest, difference)


def _difference(artefact: Artefact, place: Path, name: str, threads: int) -> float:
    """The largest difference of any logit between the artefact and the file `name` in `place`."""
    from smolship.runtime_checks.probe.backend_onnx import Backend

    count = min(PROVED, artefact.manifest.context)
    tokens = [7919 * step % _vocabulary(artefact) for step in range(count)]  # anywhere in it: 7919 is a prime
    found = [
        np.concatenate(list(Backend(str(folder), count, threads, model).window(tokens)))
        for folder, model in ((artefact.folder, artefact.manifest.model_file), (place, name))
    ]
    return float(np.abs(found[0] - found[1]).max())


def _vocabulary(artefact: Artefact) -> int:
    return next(line.shape[0] for line in artefact.manifest.coverage if line.tensor == EMBEDDING)
