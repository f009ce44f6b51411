"""The examples of a model card, taken out of it and run as somebody who copies them would."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path


def examples(card: str, language: str) -> list[str]:
    """Every block of code in that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)


def run_python(example: str, folder: Path) -> str:
    """What it prints, run in the artefact's folder by a process of its own."""
    done = subprocess.run([sys.executable, "-c", example], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_cpp(example: str, folder: Path, work: Path) -> bytes:
    """What it prints, compiled against the installed llama.cpp in `work` and run in the artefact's folder."""
    spec = find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    (work / "example.cpp").write_text(example)
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{package.parent / 'include'}"]
    libraries = [f"-Wl,-rpath,{package / 'lib'}", f"-L{package / 'lib'}", "-lllama", "-lggml", "-lggml-base"]
    subprocess.run(["g++", *flags, "example.cpp", "-o", "example", *libraries], cwd=work, check=True)
    return subprocess.run([work / "example"], cwd=folder, capture_output=True, check=True).stdout
