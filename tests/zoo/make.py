"""Make the zoo anew: each member by the tool that people use, in an environment of its own.

    python tests/zoo/make.py [--work build/zoo] [--only MEMBER ...]

Takes ten minutes the first time, for the environments. Members are made below `--work`; when all is well they replace
those in `tests/zoo/members`, a file that several members share byte for byte being kept once.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
MEMBERS = HERE / "members"
ENVIRONMENTS = {
    "transformers4": ("transformers==4.57.6", "torch==2.13.0", "trl==0.23.1", "safetensors==0.8.0", "numpy==2.4.6"),
    "transformers5": (
        "transformers==5.24.0",
        "torch==2.13.0",
        "trl==1.16.0",
        "bitsandbytes==0.50.2",
        "gguf==0.19.0",
        "safetensors==0.8.0",
        "numpy==2.4.6",
    ),
    "mlx": ("mlx[cpu]==0.32.4", "mlx-lm==0.32.2", "transformers==5.24.0"),
}
LLAMA_CPP = "llama-cpp-python==0.3.36"
"""its source distribution holds llama.cpp's conversion script"""
SHARED_FROM = 2000
"""bytes from which a file is kept once for all members that have it"""


def main() -> None:
    """Make environments, members and answers, then gather them."""
    parser = argparse.ArgumentParser(description="make the zoo of checkpoints anew")
    parser.add_argument("--work", type=Path, default=Path("build/zoo"))
    parser.add_argument("--only", nargs="*", default=[], help="these members alone; nothing is gathered then")
    options = parser.parse_args()
    work = options.work.resolve()
    for name, pinned in ENVIRONMENTS.items():
        make_environment(work / "environments" / name, pinned)
    unpack_llama_cpp(work)
    for name in ("transformers4", "transformers5"):
        python = work / "environments" / name / "bin" / "python"
        command = [python, "-m", "zoo.part", name, work, *options.only]
        alone = {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        subprocess.run(command, check=True, env={**os.environ, **alone}, cwd=work)
    if not options.only:
        gather(work / "members", MEMBERS)


def make_environment(folder: Path, pinned: tuple[str, ...]) -> None:
    """An environment with these packages, unless it is there as it is pinned."""
    marker, text = folder / "pinned.txt", "\n".join(pinned)
    if marker.is_file() and marker.read_text() == text:
        return
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", *pinned], check=True)
    marker.write_text(text)


def unpack_llama_cpp(work: Path) -> None:
    """llama.cpp's conversion script and what it imports, below `work`."""
    place, inside = work / "llama.cpp", "/vendor/llama.cpp/"
    if place.is_dir():
        return
    pip, sources = str(work / "environments" / "transformers5" / "bin" / "pip"), str(work / "sources")
    fetch = ["download", "--no-deps", "--no-binary", "llama-cpp-python", "--dest", sources, LLAMA_CPP]
    subprocess.run([pip, *fetch], check=True)
    (archive,) = (work / "sources").glob("llama_cpp_python-*.tar.gz")
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            path = member.name.partition(inside)[2]
            if path.startswith(("conversion/", "convert_hf_to_gguf.py", "gguf-py/")) and member.isfile():
                member.name = path
                tar.extract(member, place, filter="data")


def gather(made: Path, kept: Path) -> None:
    """Replace `kept` by the members in `made`; `shared.json` says which files stand with another member."""
    shutil.rmtree(kept, ignore_errors=True)
    seen: dict[str, str] = {}
    shared: dict[str, str] = {}
    for path in sorted(made.rglob("*")):
        name = path.relative_to(made).as_posix()
        if not path.is_file():
            continue
        data = path.read_bytes()
        first = seen.setdefault(hashlib.sha256(data).hexdigest(), name)
        if first != name and len(data) >= SHARED_FROM:
            shared[name] = first
            continue
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).write_bytes(data)
    (kept / "shared.json").write_text(json.dumps(shared, indent=1) + "\n")


if __name__ == "__main__":
    main()
