"""Self-distillation: scales and gains of the rounded model trained to say what the checkpoint says."""

from smolship.quantize.distillation.distilled import distil

__all__ = ["distil"]
