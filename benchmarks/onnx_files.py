"""What `onnx_peers` says of a file apart from its speed: its size, what of it is codes, and its fidelity."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx_makers import CONTEXT, OURS
from peers_rounds import Candidate, model_files

from smolship.runtime_checks.fidelity import Accumulator
from smolship.runtime_checks.windows import ReferenceWindows

SIZES: dict[str, float] = {"q4": 77.5e6, "q4-e8": 93e6, "q8": 145e6}
"""bytes that ours may take, by the recipe"""
GRAPH = 1.5e6
"""bytes of it that everything but codes and scales may take"""


def file_record(candidate: Candidate, reference: ReferenceWindows, threads: int) -> dict[str, Any]:
    """Size and fidelity of one file; its parts and its bars if it is ours."""
    from smolship.runtime_checks.probe.backend_onnx import Backend

    size = sum(path.stat().st_size for path in model_files(candidate))
    record: dict[str, Any] = {"file": candidate.file, "bytes": size}
    if candidate.file in OURS:
        bar = SIZES[OURS[candidate.file][0]]
        codes = code_bytes(candidate.folder / candidate.model)
        record |= {"codes_and_scales": codes, "graph_and_tables": size - codes}
        record |= {"bar": bar, "holds": size <= bar and size - codes < GRAPH}
    accumulator, backend = Accumulator(), Backend(str(candidate.folder), CONTEXT, threads)
    for tokens, expected in zip(reference.windows.tokens, reference.log_probabilities, strict=True):
        accumulator.add(list(tokens), expected, np.concatenate(list(backend.window(list(tokens)))))
    found = accumulator.result()
    return record | {"KL": found.kl_mean, "top1": found.top1, "perplexity_ratio": found.perplexity_ratio}


def code_bytes(path: Path) -> int:
    """Bytes of codes, scales and zero points: the initialisers that quantised operators read, through a cast or not."""
    import onnx

    graph = onnx.load(path).graph
    sources = {n.output[0]: n.input[0] for n in graph.node if n.op_type in ("Cast", "Reshape")}
    read = set()
    for node in graph.node:
        if node.op_type in ("MatMulNBits", "GatherBlockQuantized"):
            for name in node.input:
                read.add(_origin(name, sources))
    return sum(len(tensor.raw_data) for tensor in graph.initializer if tensor.name in read)


def _origin(name: str, sources: dict[str, str]) -> str:
    while name in sources:
        name = sources[name]
    return name
