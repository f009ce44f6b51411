"""What scores choices: an artefact on its own runtime, in this process, or the fp32 reference."""

from collections.abc import Iterator
from importlib import import_module

import numpy as np
import torch

from smolship.artefact import Artefact
from smolship.quiet import quiet
from smolship.reference import Reference
from smolship.runtime_checks.probe.backend import Backend
from smolship.runtime_checks.runtimes import runtime_of
from smolship.runtime_checks.tasks.likelihoods import Logits, Runner

REWINDING: dict[str, str] = {"gguf": "smolship.runtime_checks.tasks.rewinding_gguf"}
"""by format: a module with a `Rewinding` backend, whose cache can be cut back; other formats repeat what is shared"""


class WholeSequences:
    """A backend that starts every sequence anew."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def after(self, shared: list[int], rests: list[list[int]]) -> Iterator[Logits]:
        """See `Runner.after`."""
        for rest in rests:
            yield np.concatenate(list(self._backend.window(shared + rest)))[len(shared) :]


class FullPrecision:
    """The reference, all sequences of a row at once."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference

    def after(self, shared: list[int], rests: list[list[int]]) -> Iterator[Logits]:
        """See `Runner.after`; shorter sequences are filled up behind, which no position before can see."""
        longest = max(len(rest) for rest in rests)
        batch = [[*shared, *rest, *[0] * (longest - len(rest))] for rest in rests]
        hidden = self._reference.hidden(torch.tensor(batch))  # [rests, n, hidden]
        for states, rest in zip(hidden, rests, strict=True):
            with torch.no_grad():
                rows = states[len(shared) : len(shared) + len(rest)]
                yield self._reference.head(rows).numpy()


def open_runner(artefact: Artefact, threads: int) -> Runner:
    """An artefact loaded on its own runtime in this process; `InputError` if that is not installed."""
    runtime = runtime_of(artefact.manifest)
    runtime.require()
    folder, context = str(artefact.folder.resolve()), artefact.manifest.context
    with quiet():
        if artefact.manifest.format in REWINDING:
            rewinding: Runner = import_module(REWINDING[artefact.manifest.format]).Rewinding(folder, context, threads)
            return rewinding
        module = import_module(f"smolship.runtime_checks.probe.{runtime.backend}")
        return WholeSequences(module.Backend(folder, context, threads))
