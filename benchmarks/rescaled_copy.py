"""The honest yardstick: a copy of a checkpoint that computes the same and lies on no low-bit grid.

    python benchmarks/rescaled_copy.py embedded build/SmolLM2-135M-Instruct-rescaled [--seed 0] [--sigma 0.1]

The embedded checkpoint's weights lie on GGUF's Q4_1 grid, so figures of 4-bit files made from it flatter such grids.
Here a random scale s = exp(sigma · N(0, 1)) per channel moves from the columns that read a norm into its gain (the
final norm excepted), from the columns of `o` into the rows of `v` (the query heads of a KV head share it) and from the
columns of `down` into the rows of `up`. Weights are stored in float32, so nothing else is rounded.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors import TensorSpec, serialize_file

from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError, SmolshipError
from smolship.export.onnx.pack import config, generation_config
from smolship.quantize.transforms import Weights, random_scales, rescale

LIMIT = 1e-3
TEXT = (
    "The lighthouse keeper wrote down the weather every evening: wind from the west, 12 knots, clouds low over the "
    "bay. In 1874 the tower was raised by nine feet, and def light(n): return [2 ** i for i in range(n)] was not yet "
    "thought of. What is the capital of France? Paris, of course, said the old man, and shut the door."
)


def write_checkpoint(checkpoint: Checkpoint, weights: Weights, folder: Path) -> None:
    """A folder that `open_checkpoint` reads: float32 safetensors, the configs and the tokenizer of `checkpoint`."""
    folder.mkdir(parents=True)
    arrays = {name: np.ascontiguousarray(weights[name], np.float32) for name in checkpoint.architecture.shapes()}
    serialize_file(
        {
            name: TensorSpec(dtype="float32", shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes)
            for name, array in arrays.items()
        },
        folder / "model.safetensors",
        {"format": "pt"},
    )
    a = checkpoint.architecture
    files = {
        "config.json": json.dumps(config(a, a.max_positions), indent=2).encode(),
        "generation_config.json": json.dumps(generation_config(a), indent=2).encode(),
        **checkpoint.tokenizer.files(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)


def largest_difference(one: Checkpoint, other: Checkpoint) -> float:
    """The largest absolute difference of any logit of `TEXT` between two checkpoints."""
    from smolship.reference import Reference

    tokens = one.tokenizer.encode(TEXT)
    if other.tokenizer.encode(TEXT) != tokens:
        raise SmolshipError("the copy's tokenizer splits text differently")
    before = Reference.from_checkpoint(one).logits(tokens)
    after = Reference.from_checkpoint(other).logits(tokens)
    return float((before - after).abs().max())


def main() -> None:
    """Read, rescale, write, compare, print."""
    parser = argparse.ArgumentParser(description="a function-preserving rescaled copy of a checkpoint")
    parser.add_argument("checkpoint", help="a hub id, a folder, a GGUF file or 'embedded'")
    parser.add_argument("out", type=Path, help="the folder to write, which must not exist; it names the checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sigma", type=float, default=0.1, help="standard deviation of ln s")
    options = parser.parse_args()
    if options.out.exists():
        raise InputError(f"{options.out} exists: name a folder that does not")
    checkpoint = open_checkpoint(options.checkpoint)
    a = checkpoint.architecture
    weights = {name: checkpoint.tensors.read(name) for name in a.shapes()}
    rescaled, _ = rescale(weights, a, random_scales(a, options.seed, options.sigma))
    write_checkpoint(checkpoint, rescaled, options.out)
    del weights, rescaled
    copy = open_checkpoint(str(options.out))
    if copy.is_instruct != checkpoint.is_instruct:
        raise SmolshipError("the copy lost its chat template")
    difference = largest_difference(checkpoint, copy)
    print(f"{options.out}: {copy.name}, sha256 {copy.source.sha256}; logits differ by at most {difference:.2e}")
    if not difference < LIMIT:
        raise SmolshipError(f"the copy's logits differ by {difference:.2e}, wanted less than {LIMIT}")


if __name__ == "__main__":
    main()
