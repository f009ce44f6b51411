"""A decoder as the graph that every backend of ExecuTorch is handed."""

import torch
from torch.export import Dim, ExportedProgram, export


def trace(decoder: torch.nn.Module, chunk: int) -> ExportedProgram:
    """The module as a graph of one token a call, or of any number of them from 1 to `chunk` if that is more."""
    tokens = torch.zeros(1, min(5, chunk), dtype=torch.long)
    shapes = {"tokens": {1: Dim("count", min=1, max=chunk)}, "start_pos": None} if chunk > 1 else None
    with torch.no_grad():
        return export(
            decoder.eval(),
            (tokens, torch.tensor([1])),
            dynamic_shapes=shapes,
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )
