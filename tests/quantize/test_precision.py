"""The precision of calibration: one that this processor is quick in, also where it is made to look older."""

import os
import subprocess
import sys

import pytest
import torch

from smolship.quantize.precision import best_precision, name_of

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


def test_a_precision_goes_by_the_name_that_files_give_it() -> None:
    assert [name_of(precision) for precision in (torch.float32, torch.bfloat16)] == ["float32", "bfloat16"]


def test_the_choice_stands_for_the_whole_process() -> None:
    assert best_precision() is best_precision()


@pytest.mark.slow
def test_a_processor_with_avx2_alone_computes_in_float32() -> None:
    """bfloat16 is ten times slower there, whatever else this machine can do."""
    code = "from smolship.quantize.precision import best_precision; print(best_precision())"
    environment = {**os.environ, **AVX2}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert ended.stdout.strip() == "torch.float32", ended.stderr
