"""What `executorch_peers` says of a .pte apart from its speed: size, planned memory, calls, and fidelity in two modes.

Rounding activations by rows makes a prompt taken at once and the same tokens one by one differ: sums in another order
differ in the last bit, which flips roundings. So both are held against the reference: every position token by token,
and, at `PREFIXES` places of each window, the last logits of a prompt that ends there.
"""

from pathlib import Path
from typing import Any

import numpy as np
from executorch_makers import CONTEXT, OURS
from peers_rounds import Candidate, model_files

from smolship.quiet import quiet
from smolship.runtime_checks.fidelity import Accumulator, kl_divergence, log_softmax
from smolship.runtime_checks.windows import ReferenceWindows

SIZES: dict[str, float] = {"q4": 80e6, "q8": 138e6}
"""bytes that ours may take with one copy of the tied matrix, by the recipe"""
PREFIXES = 8


def file_record(candidate: Candidate, reference: ReferenceWindows, threads: int) -> dict[str, Any]:
    """Size, planned memory, calls, fidelity of one file; its bar if it is ours."""
    from smolship.runtime_checks.probe.backend_executorch import Backend

    size = sum(path.stat().st_size for path in model_files(candidate))
    record: dict[str, Any] = {"file": candidate.file, "bytes": size} | counts(candidate.folder / candidate.model)
    recipe = OURS.get(candidate.file, ("", False))[0]
    if recipe in SIZES:
        record |= {"bar": SIZES[recipe], "holds": size <= SIZES[recipe]}
    backend = Backend(str(candidate.folder), CONTEXT, threads, model=candidate.model)
    accumulator, whole, single = Accumulator(), list[float](), list[float]()
    for tokens, expected in zip(reference.windows.tokens, reference.log_probabilities, strict=True):
        decoded = np.concatenate(list(backend.window(list(tokens))))
        accumulator.add(list(tokens), expected, decoded)
        for end in np.linspace(len(tokens) / PREFIXES, len(tokens), PREFIXES).astype(int):
            at = np.asarray(expected[end - 1 : end])
            whole += list(kl_divergence(at, log_softmax(backend.prefill(list(tokens[:end]))[None])))
            single += list(kl_divergence(at, log_softmax(decoded[end - 1 : end])))
    found = accumulator.result()
    modes = {"KL_prefill": float(np.mean(whole)), "KL_decode_there": float(np.mean(single)), "prompts": len(whole)}
    return record | modes | {"KL": found.kl_mean, "top1": found.top1, "perplexity_ratio": found.perplexity_ratio}


def counts(path: Path) -> dict[str, int]:
    """The planned arena in bytes, and how many delegates and instructions one call goes through."""
    with quiet():
        from smolship.export.executorch.program import PteFile

        return PteFile(path.read_bytes()).counts("forward")
