"""Which ONNX Runtimes read our files and what they compute: each version in its own folder, each file in a process.

    .venv/bin/python benchmarks/onnx_runtimes.py embedded FILE... --versions 1.22.1 1.23.0 1.24.3 1.32.0

FILE is a model.onnx or model.ort of the checkpoint with its configuration and tokenizer beside it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint import open_checkpoint
from smolship.reference import Reference
from smolship.runtime_checks.fidelity import log_softmax
from smolship.runtime_checks.windows import windows

ROOT = Path(__file__).resolve().parents[1]
TOKENS = 512
CHILD = """
import sys
from pathlib import Path
import numpy as np
from probe.backend_onnx import Backend
file, tokens, out = Path(sys.argv[1]), np.load(sys.argv[2]).tolist(), sys.argv[3]
np.save(out, np.concatenate(list(Backend(str(file.parent), len(tokens), 2, file.name).window(tokens))))
"""


def installed(version: str) -> Path:
    """The folder that holds this ONNX Runtime alone; put there if it is not."""
    place = ROOT / "build" / "onnxruntime" / version
    if not place.is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
        subprocess.run([*command, str(place), f"onnxruntime=={version}"], check=True)
    return place


def run(version: str, file: Path, tokens: Path, out: Path) -> str:
    """Write the logits that the version computes to `out`; the last line of what went wrong, or nothing."""
    path = os.pathsep.join([str(installed(version)), str(ROOT / "runtime_checks")])
    command = [sys.executable, "-c", CHILD, str(file), str(tokens), str(out)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def compared(want: NDArray[np.float32], logits: NDArray[np.float32]) -> str:
    """Mean KL divergence in nats and agreement of the likeliest token, to `want`, log-probabilities [n, vocab]."""
    got = log_softmax(logits)
    divergence = (np.exp(want) * (want - got)).sum(-1).mean()
    agree = (want.argmax(-1) == got.argmax(-1)).mean()
    return f"KL {divergence:.5f}, top-1 {100 * agree:.1f} %"


def main() -> None:
    """Print a line a version and file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--versions", nargs="+", required=True)
    chosen = parser.parse_args()
    checkpoint = open_checkpoint(chosen.checkpoint)
    tokens = windows(checkpoint.tokenizer, count=1, length=TOKENS).tokens[0]
    want = log_softmax(Reference.from_checkpoint(checkpoint).logits(tokens).numpy())
    with tempfile.TemporaryDirectory() as scratch:
        given, out = Path(scratch) / "tokens.npy", Path(scratch) / "logits.npy"
        np.save(given, np.array(tokens))
        for version in chosen.versions:
            for file in chosen.files:
                failed = run(version, file.resolve(), given, out)
                said = f"fails: {failed[:160]}" if failed else compared(want, np.load(out))
                print(f"{version}  {file.parent.name}/{file.name}  {said}", flush=True)


if __name__ == "__main__":
    main()
