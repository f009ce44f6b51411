"""The skeleton's stand-in norm gains become the checkpoint's."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from smolship.export.onnx.passes import Pass


def norm_gains(names: tuple[str, ...], read: Callable[[str], NDArray[np.float32]]) -> Pass:
    """The pass that sets the float32 initialiser of each name; `KeyError` for one that the graph lacks."""

    def run(model: ir.Model) -> tuple[ir.Model, bool]:
        changed = False
        for name in names:
            value, gain = model.graph.initializers[name], read(name)
            if value.const_value is None or not np.array_equal(value.const_value.numpy(), gain):
                value.const_value = ir.tensor(gain, name=name)
                changed = True
        return model, changed

    return run
