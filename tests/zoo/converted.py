"""GGUF files by llama.cpp's own `convert_hf_to_gguf.py`, out of the sources that llama-cpp-python is published with.

The script tells pre-tokenizers apart by a hash of what a whole vocabulary makes of a text, and knows no tiny
vocabulary: which one it is, is said to it, as its own `convert_hf_to_gguf_update.py` would. The rest is the script's.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from zoo.bench import Bench

_RUN = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/gguf-py"]
script, pre = sys.argv[1] + "/convert_hf_to_gguf.py", sys.argv[2]
sys.argv[:3] = [script]
import conversion.base
conversion.base.TextModel.get_vocab_base_pre = lambda model, tokenizer: pre
import convert_hf_to_gguf
convert_hf_to_gguf.main()
"""


def converted(member: str, pre: str, kind: str) -> Callable[[Bench, Path], None]:
    """A maker of the GGUF of another member, made before; `kind` is the script's `--outtype`."""

    def make(bench: Bench, folder: Path) -> None:
        source, made = bench.work / "members" / member, folder / "model.gguf"
        scripts = str(bench.work / "llama.cpp")
        order = [str(source), "--outfile", str(made), "--outtype", kind, "--model-name", "zoo"]
        subprocess.run([sys.executable, "-c", _RUN, scripts, pre, *order], check=True)

    return make
