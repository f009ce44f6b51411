"""Which floating-point type this processor or GPU multiplies fastest in: calibration and distillation compute in it.

A processor without bfloat16 instructions widens every operand first: one with AVX2 alone takes nine times as long as in
float32, one with AMX a quarter. float16 is no candidate: the largest activations of these models and the squares of
their gradients both leave its range.
"""

import time
from functools import cache
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

_ROWS, _IN, _OUT = 256, 576, 1536
"""of the product that is timed: `up` of the 135M model"""
_ROUNDS = 9
_WORTH = 1.25
"""how many times as fast bfloat16 has to be: below that its coarser sums buy nothing"""


def calibration_device() -> torch.device:
    """Where calibration and distillation compute: a GPU if torch finds one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def best_precision() -> torch.dtype:
    """float32, or bfloat16 where its products are clearly faster on that device; a few milliseconds, once a process.

    `ATEN_CPU_CAPABILITY` and `ONEDNN_MAX_CPU_ISA`, with which a processor can be made to look older, are obeyed.
    """
    speeds = _speeds()
    return torch.bfloat16 if speeds[torch.bfloat16] >= _WORTH * speeds[torch.float32] else torch.float32


def speed() -> float:
    """Floating-point operations a second of products in the best precision."""
    return _speeds()[best_precision()]


def float_speed() -> float:
    """The same of products in float32, which is what a processor does besides its fastest products too."""
    return _speeds()[torch.float32]


def name_of(precision: torch.dtype) -> str:
    """`float32` or `bfloat16`, as files and people write it."""
    return str(precision).removeprefix("torch.")


@cache
def _speeds() -> dict[torch.dtype, float]:
    """Operations a second by precision, the median of rounds in turns."""
    device = calibration_device()
    seconds: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(_ROUNDS):
        for precision, laps in seconds.items():
            x, weight = (torch.ones(n, _IN, dtype=precision, device=device) for n in (_ROWS, _OUT))
            laps.append(_seconds(x, weight))
    return {precision: 2 * _ROWS * _IN * _OUT / median(laps) for precision, laps in seconds.items()}


def _seconds(x: Tensor, weight: Tensor) -> float:
    start = time.perf_counter()
    product = functional.linear(x, weight)
    float(product[0, 0])  # a GPU's answer is waited for
    return time.perf_counter() - start
