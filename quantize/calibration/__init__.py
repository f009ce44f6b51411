"""What calibrated rounding looks at: text, how the weights are used on it, and the model in its most roundable form."""

from smolship.quantize.calibration.prepared import Prepared, prepare
from smolship.quantize.calibration.texts import Calibration, from_file, sampled

__all__ = ["Calibration", "Prepared", "from_file", "prepare", "sampled"]
