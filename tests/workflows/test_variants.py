"""The shapes of all six checkpoints through every format: grouped and full attention, base and Instruct."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import write_tiny_checkpoint

from smolship.checkpoint import open_checkpoint
from smolship.export import FORMATS
from smolship.quantize import quantize
from smolship.reference import Reference
from smolship.runtime_checks.runtimes import RUNTIMES
from smolship.workflows.build import Order, build

pytestmark = pytest.mark.slow  # nine exports

VARIANTS = {
    # heads and KV heads in the proportions of each size, a rope base that is not the default, base and Instruct
    "135M": {"num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576, "rope_theta": 10000.0},
    "360M base": {"num_attention_heads": 15, "num_key_value_heads": 5, "hidden_size": 960, "instruct": False},
    "1.7B": {"num_attention_heads": 4, "num_key_value_heads": 4, "hidden_size": 256, "rope_theta": 130000.0},
}
CONTEXT = 256


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fmt", FORMATS)
def test_the_runtime_gives_the_logits_of_the_dequantised_weights(variant: str, fmt: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(write_tiny_checkpoint(tmp_path / "tiny", **VARIANTS[variant])))  # type: ignore[arg-type]
    artefact = build(checkpoint, tmp_path / "out", Order(("q8",), (fmt,), CONTEXT))[0].artefact
    model = quantize(checkpoint, "q8", (fmt,))
    weights = {name: torch.from_numpy(model.blocks(name, fmt).dequantize()) for name in model.matrices()}
    weights |= {name: torch.from_numpy(model.floats(name)) for name in model.vectors()}
    tokens = checkpoint.tokenizer.encode("Twelve ships, 34 sailors and a very long way home; the sea was calm.")
    wanted = Reference(checkpoint.architecture, weights).logits(tokens).numpy()
    backend = import_module(f"smolship.runtime_checks.probe.{RUNTIMES[fmt].backend}").Backend
    got = np.concatenate(list(backend(str(artefact.folder), CONTEXT, 1).window(tokens)))
    # int8 activations move logits a little; a wrong head count, rope base or row order moves them by their own size
    assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.995
    assert np.abs(got - wanted).mean() < 0.08 * wanted.std()
