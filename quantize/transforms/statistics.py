"""`Statistics`: what calibration saw at the inputs of the matrices, and how it follows a rescaling."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import Architecture
from smolship.errors import InputError
from smolship.quantize.transforms.seams import Scales, seams


@dataclass(frozen=True, eq=False)
class Statistics:
    """Activations by the tensor that reads them; of the very weights that a pass is given."""

    second_moments: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """the mean of x², float32 [in], or of x xᵀ, float32 [in, in]"""
    peaks: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """the largest |x|, float32 [in]"""

    def second_moment(self, tensor: str) -> NDArray[np.float32]:
        """[in] or [in, in]; `InputError` names a tensor that was not watched."""
        return _entry(self.second_moments, tensor, "second moments")

    def mean_square(self, tensor: str) -> NDArray[np.float32]:
        """The mean of x², float32 [in]."""
        moment = self.second_moment(tensor)
        return moment if moment.ndim == 1 else moment.diagonal()

    def peak(self, tensor: str) -> NDArray[np.float32]:
        """[in]; `InputError` names a tensor that was not watched."""
        return _entry(self.peaks, tensor, "peaks")

    def rescaled(self, architecture: Architecture, scales: Scales) -> "Statistics":
        """What calibration would see after `rescale` by the same scales: inputs grow as the columns shrink."""
        moments, peaks = dict(self.second_moments), dict(self.peaks)
        known = seams(architecture)
        for name, scale in scales.items():
            for side in known[name].divided:
                if side.axis != 1:
                    continue
                factor = scale[side.channel]  # [in]
                if side.tensor in moments:
                    moment = moments[side.tensor]
                    squared = factor**2 if moment.ndim == 1 else np.outer(factor, factor)
                    moments[side.tensor] = (moment * squared).astype(np.float32)
                if side.tensor in peaks:
                    peaks[side.tensor] = (peaks[side.tensor] * np.abs(factor)).astype(np.float32)
        return Statistics(moments, peaks)


def _entry(table: Mapping[str, NDArray[np.float32]], tensor: str, what: str) -> NDArray[np.float32]:
    if tensor not in table:
        raise InputError(f"calibration has no {what} of the inputs of {tensor}: collect them before this pass")
    return table[tensor]
