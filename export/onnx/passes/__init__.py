"""Graph passes, one a file; each is `(model) -> (model, changed)` and changes the model that it is given."""

from collections.abc import Callable, Iterable

import onnx_ir as ir

Pass = Callable[[ir.Model], tuple[ir.Model, bool]]
"""Returns the model and whether anything in it changed; a pass on a graph without its pattern changes nothing."""


def run_passes(model: ir.Model, passes: Iterable[Pass]) -> ir.Model:
    """`model` after every pass, in order."""
    for step in passes:
        model, _ = step(model)
    return model
