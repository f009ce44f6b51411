"""What 8-bit activations alone cost: files on their runtimes beside the same codes with activations in float32.

    python benchmarks/activations.py ARTEFACT... [--checkpoint SPEC] [--text prose|chat|code|FILE] [--windows 8]
        [--threads 2]

GGUF and ONNX. ONNX Runtime does what the nodes say: a copy of the file with `accuracy_level` 1 (float32) runs there.
llama.cpp reads activations in 8 bits whenever weights are quantised, so there the reference runs the file's codes.
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import onnx
from divergence import add_options, measure, measuring

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError, SmolshipError
from smolship.progress import Progress
from smolship.reference import Reference
from smolship.runtime_checks.fidelity import Accumulator
from smolship.runtime_checks.measurements import Fidelity
from smolship.runtime_checks.windows import ReferenceWindows

FLOAT32 = 1
"""`accuracy_level` of MatMulNBits with activations in float32 (onnxruntime, ContribOperators.md)"""


def run(options: argparse.Namespace) -> list[tuple[str, Fidelity, Fidelity]]:
    """Each artefact's name, its fidelity as it is and with activations in float32; `InputError` for a `.pte`."""
    for artefact in map(Artefact.open, options.artefacts):
        if artefact.manifest.format not in ("gguf", "onnx"):
            raise InputError(f"{artefact.folder}: give GGUF or ONNX, {artefact.manifest.format} is not compared")
    with measuring(options) as (artefacts, checkpoint, reference, progress):
        found = []
        for artefact in artefacts:
            shipped = measure(artefact, checkpoint, reference, options.threads, progress)
            if artefact.manifest.format == "gguf":
                floating = _by_reference(artefact, reference, options.threads)
            else:
                floating = _by_onnx_runtime(artefact, checkpoint, reference, options.threads, progress)
            found.append((artefact.folder.name, shipped, floating))
        return found


def _by_reference(artefact: Artefact, reference: ReferenceWindows, threads: int) -> Fidelity:
    model, found = Reference.from_checkpoint(open_checkpoint(str(artefact.model_path)), threads), Accumulator()
    for tokens, expected in zip(reference.windows.tokens, reference.log_probabilities, strict=True):
        found.add(list(tokens), expected, model.logits(tokens).numpy())
    return found.result()


def _by_onnx_runtime(
    artefact: Artefact, checkpoint: Checkpoint, reference: ReferenceWindows, threads: int, progress: Progress
) -> Fidelity:
    with tempfile.TemporaryDirectory(prefix="smolship-activations-") as folder:
        copy = replace(artefact, folder=Path(folder) / f"{artefact.folder.name}-float32-activations")
        shutil.copytree(artefact.folder, copy.folder)
        model = onnx.load(copy.model_path)
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "accuracy_level":
                    attribute.i = FLOAT32
        onnx.save(model, copy.model_path)
        return measure(copy, checkpoint, reference, threads, progress)


def markdown(found: list[tuple[str, Fidelity, Fidelity]]) -> str:
    """One line an artefact: KL in nats and top-1, as shipped and with activations in float32."""
    lines = ["| file | KL as shipped | activations in float32 | top-1 as shipped | activations in float32 |"]
    lines.append("| --- |" + " --: |" * 4)
    lines += [
        f"| {name} | {shipped.kl_mean:.5f} | {floating.kl_mean:.5f} "
        f"| {100 * shipped.top1:.1f} % | {100 * floating.top1:.1f} % |"
        for name, shipped, floating in found
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="what 8-bit activations alone cost")
    add_options(parser)
    options = parser.parse_args()
    try:
        print(markdown(run(options)))
    except SmolshipError as error:
        parser.exit(error.exit_code, f"{error}\n")


if __name__ == "__main__":
    main()
