"""q, k and v of a layer as one product of a .pte, where their grids allow it."""

from pathlib import Path

import numpy as np
import pytest
from tiny import write_tiny_checkpoint

from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.export.executorch import pack, unpack
from smolship.export.executorch.joined import attention_inputs, joined, stored_tensors, takes_two_parts
from smolship.quantize import RECIPES, quantize
from smolship.quantize.fit import FittedModel
from smolship.quiet import quiet
from smolship.runtime_checks.probe.backend_executorch import Backend

pytestmark = pytest.mark.slow

CONTEXT = 96
TOKENS = list(range(7, 60))


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(write_tiny_checkpoint(tmp_path_factory.mktemp("shallow") / "one", num_hidden_layers=1)))


def with_grids(checkpoint: Checkpoint, **eight_bits: bool) -> FittedModel:
    """All in 4 bits but for the projections that are named."""
    names = quantize(checkpoint, "q4", ("executorch",)).matrices()
    grids = {n: "int8-row" if eight_bits.get(n.split(".")[-2].removesuffix("_proj")) else "int4-b32" for n in names}
    return FittedModel(checkpoint, RECIPES["q4"], grids=grids)


@pytest.mark.parametrize(
    ("eight_bits", "groups"),
    [
        ("", ["qkv"]),
        ("qkv", ["qkv"]),
        ("v", ["qk", "v"]),
        ("k", ["q", "k", "v"]),
    ],
)
def test_neighbours_on_one_grid_are_one_product(shallow: Checkpoint, eight_bits: str, groups: list[str]) -> None:
    model = with_grids(shallow, **dict.fromkeys(eight_bits, True))
    (names,) = attention_inputs(model)
    found = joined(model, names)
    assert ["".join(name.split(".")[-2][0] for name in group) for group, _ in found] == groups
    assert sum(len(blocks.codes) for _, blocks in found) == sum(len(model.blocks(n, "executorch").codes) for n in names)


def test_only_8_bit_matrices_take_their_rows_in_two_parts() -> None:
    assert takes_two_parts("model.layers.0.self_attn.v_proj.weight", "int8-row")
    assert not takes_two_parts("model.layers.0.self_attn.v_proj.weight", "int4-b32")
    assert not takes_two_parts("model.layers.0.mlp.gate_proj.weight", "int8-row")


def test_a_joined_tensor_is_found_by_its_rows(shallow: Checkpoint) -> None:
    stored = stored_tensors(with_grids(shallow, v=True))
    q, k, v, o = (stored[f"model.layers.0.self_attn.{which}_proj.weight"] for which in "qkvo")
    assert q.codes == k.codes != v.codes
    assert q.rows is not None
    assert k.rows is not None
    assert q.rows[0] == 0 < q.rows[1] == k.rows[0] < k.rows[1]
    assert v.rows is None
    assert o.rows is None


@pytest.mark.parametrize("eight_bits", ["v", "qkv"])
def test_the_file_holds_and_computes_with_every_integer(shallow: Checkpoint, eight_bits: str, tmp_path: Path) -> None:
    import torch

    model = with_grids(shallow, **dict.fromkeys(eight_bits, True))
    pack(model, tmp_path, CONTEXT)
    for name, blocks in unpack(tmp_path).items():
        assert blocks.same_as(model.blocks(name, "executorch")), name
    with quiet():
        from smolship.export.executorch.decoder import Decoder

        module = Decoder(model, CONTEXT).eval()
    with torch.no_grad():
        wanted = module(torch.tensor([TOKENS]), torch.tensor([0]))[0].numpy()
    found = Backend(str(tmp_path), CONTEXT, 2).prefill(TOKENS)
    assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()
