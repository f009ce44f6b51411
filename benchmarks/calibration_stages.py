"""How long each stage of calibrating a checkpoint takes and how much memory, by what the processor is allowed to use.

    python benchmarks/calibration_stages.py [CHECKPOINT] [--recipe q4-e8-calibrated] [--capability native|avx2]...
        [--threads 2] [--json FILE]

Each capability is a process of its own with an empty cache: `native` is this processor as it is, `avx2` makes torch,
oneDNN and MKL look no further than AVX2, which is what most laptops have. A capability that this processor lacks cannot
be had. The load of the machine stands beside the figures, which are of an idle one only if it says so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from smolship.artefact import write_atomically
from smolship.cache import CACHE_VARIABLE
from smolship.checkpoint import open_checkpoint
from smolship.errors import SmolshipError
from smolship.progress import Silent
from smolship.quantize import quantize
from smolship.runtime_checks.probe.host import processor
from smolship.stopwatch import Stopwatch
from smolship.workflows.blueprint import Order, calibrating_of

CAPABILITIES: dict[str, dict[str, str]] = {
    "native": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
"""the environment of each"""


def main() -> None:
    """Measure every capability that was asked for, print a table, and write the records down if a file is given."""
    options = _options()
    if options.here:
        print(json.dumps(_measure(options.checkpoint, options.recipe, options.threads)))
        return
    records = [_in_a_process(options, capability) for capability in options.capability or CAPABILITIES]
    for record in records:
        print(_shown(record))
    if options.json is not None:
        write_atomically(options.json, (json.dumps(records, indent=2) + "\n").encode())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default="embedded")
    parser.add_argument("--recipe", default="q4-e8-calibrated")
    parser.add_argument("--capability", action="append", choices=tuple(CAPABILITIES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_a_process(options: argparse.Namespace, capability: str) -> dict[str, Any]:
    """The record of one capability; `SystemExit` if its process fails."""
    command = [sys.executable, __file__, options.checkpoint, "--here", f"--recipe={options.recipe}"]
    with tempfile.TemporaryDirectory(prefix="smolship-calibration-") as cache:
        environment = {**os.environ, **CAPABILITIES[capability], CACHE_VARIABLE: cache}
        ended = subprocess.run(
            [*command, f"--threads={options.threads}"], env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
    if ended.returncode:
        sys.exit(f"{capability}: the measuring process ended with {ended.returncode}")
    return {"capability": capability, **json.loads(ended.stdout)}


def _measure(spec: str, recipe: str, threads: int) -> dict[str, Any]:
    """Calibrate in this process, and say what its stages took."""
    import torch

    from smolship.quantize.precision import best_precision, name_of

    torch.set_num_threads(threads)
    watch, load, start = Stopwatch(Silent()), os.getloadavg()[0], time.monotonic()
    checkpoint = open_checkpoint(spec)
    calibrating = calibrating_of(checkpoint, Order((recipe,), ("gguf",)))
    model = quantize(checkpoint, recipe, ("gguf",), watch, calibrating)
    return {
        "checkpoint": checkpoint.name,
        "recipe": recipe,
        "processor": processor()[0],
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "precision": name_of(best_precision()),
        "threads": threads,
        "load_before": round(load, 2),
        "torch": version("torch"),
        "seconds": round(time.monotonic() - start, 1),
        "peak_memory": max(lap.peak_memory for lap in watch.laps),
        "stages": [asdict(lap) | {"seconds": round(lap.seconds, 2)} for lap in watch.laps],
        "divergences": [asdict(found) for found in model.solution.stages[-1].divergences],
    }


def _shown(record: dict[str, Any]) -> str:
    head = (
        f"{record['capability']}: {record['processor']}, torch {record['torch_capability']}, {record['precision']}, "
        f"{record['threads']} threads, load {record['load_before']}: {record['seconds']} s, "
        f"{record['peak_memory'] / 1e6:.0f} MB"
    )
    rows = [
        f"  {lap['name']:<28}{lap['seconds']:>8.1f} s{lap['peak_memory'] / 1e6:>8.0f} MB" for lap in record["stages"]
    ]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    try:
        main()
    except SmolshipError as error:
        sys.exit(str(error))
