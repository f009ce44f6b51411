"""What no pass may do: a tied embedding is the head, so neither it nor the gain before it can change for either use."""

import numpy as np

from smolship.checkpoint.architecture import EMBEDDING, FINAL_NORM, Architecture
from smolship.errors import InputError
from smolship.quantize.transforms.seams import Weights


def require_tied(name: str, before: Weights, after: Weights, architecture: Architecture) -> None:
    """`InputError` unless the pass `name` left a tied embedding, its gain and the set of tensors as they were."""
    shapes = architecture.shapes()
    extra = sorted(after.keys() - shapes.keys())
    if extra:
        raise InputError(
            f"the pass {name} made {', '.join(extra)}, wanted the {len(shapes)} tensors of the model: a tied head, "
            "say, would be stored a second time; leave the pass out"
        )
    for tensor in (EMBEDDING, FINAL_NORM) if architecture.tied else ():
        if after[tensor] is not before[tensor] and not np.array_equal(after[tensor], before[tensor]):
            raise InputError(
                f"the pass {name} changed {tensor}: the tied embedding is read twice, by the first layer and after the "
                "final norm, so the change cannot be undone for both without untying them; leave the pass out"
            )
    for tensor, shape in shapes.items():
        if tensor not in after or after[tensor].shape != shape:
            found = list(after[tensor].shape) if tensor in after else "nothing"
            raise InputError(f"the pass {name} made {found} of {tensor}, wanted the shape {list(shape)}")
