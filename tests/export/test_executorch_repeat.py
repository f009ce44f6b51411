"""A decoder whose layers were traced once a form, against a trace of all of them."""

from typing import Any

import pytest
from tiny import write_tiny_checkpoint

from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import RuntimeFailure
from smolship.quantize import RECIPES, quantize
from smolship.quantize.fit import FittedModel
from smolship.quiet import quiet

CONTEXT, CHUNK = 32, 8


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(write_tiny_checkpoint(tmp_path_factory.mktemp("deep") / "five", num_hidden_layers=5)))


def with_grids(checkpoint: Checkpoint, eight_bits: dict[int, tuple[str, ...]]) -> FittedModel:
    """In 4 bits but for the matrices of a layer that are named."""
    names = quantize(checkpoint, "q4", ("executorch",)).matrices()
    named = {f"model.layers.{n}.{part}_proj.weight" for n, parts in eight_bits.items() for part in parts}
    grids = {name: "int8-row" if name in named else "int4-b32" for name in names}
    return FittedModel(checkpoint, RECIPES["q4"], grids=grids)


UP, DOWN, V = "mlp.up", "mlp.down", "self_attn.v"


@pytest.mark.parametrize(
    ("eight_bits", "pattern"),
    [
        ({}, [0, 1, 1, 1, 1]),
        ({0: (UP,)}, [0, 1, 1, 1, 1]),
        ({2: (UP,)}, [0, 1, 2, 1, 1]),
        ({2: (UP,), 3: (V,), 4: (UP,)}, [0, 1, 2, 3, 2]),
        ({1: (UP,), 2: (DOWN,), 3: (V,), 4: (UP, V)}, [0, 1, 2, 3, 4]),
    ],
)
def test_one_layer_of_each_form_is_traced(
    deep: Checkpoint, eight_bits: dict[int, tuple[str, ...]], pattern: list[int]
) -> None:
    with quiet():
        from smolship.export.executorch.decoder import Decoder
        from smolship.export.executorch.repeat import one_of_each

        layers = Decoder(with_grids(deep, eight_bits), CONTEXT).layers
    chosen, found = one_of_each(layers)
    assert found == pattern
    assert [chosen[place] for place in sorted(set(found))] == [layers[found.index(p)] for p in sorted(set(found))]


@pytest.mark.slow
def test_the_file_is_that_of_a_trace_of_all_layers(deep: Checkpoint) -> None:
    """To the byte: two forms that follow both themselves and each other, with bounds that are each layer's own."""
    with quiet():
        from torch import nn

        from smolship.export.executorch import lower
        from smolship.export.executorch.decoder import Decoder
        from smolship.export.executorch.repeat import Repeated, one_of_each
        from smolship.export.executorch.traced import trace

        model = with_grids(deep, {1: (UP, DOWN), 2: (UP, DOWN), 3: (V,), 4: (UP, DOWN)})

        def lowered(traced: tuple[nn.ModuleList, list[int]], decoder: Any) -> bytes:
            layers = decoder.layers
            decoder.layers = traced[0]
            return lower.serialise(lower.lower(trace(decoder, CHUNK), {}, Repeated(layers, traced[1])))

        every, some = Decoder(model, CONTEXT), Decoder(model, CONTEXT)
        wanted = lowered((every.layers, list(range(5))), every)
        found = lowered(one_of_each(some.layers), some)
    assert found == wanted


def test_layers_that_hand_on_more_than_one_tensor_are_refused() -> None:
    with quiet():
        import torch
        from torch import Tensor, nn

        from smolship.export.executorch import lower
        from smolship.export.executorch.repeat import Repeated, one_of_each

        class Skipping(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

            def forward(self, x: Tensor) -> Tensor:
                passed = [x]
                for layer in self.layers:
                    passed.append(layer(passed[-1]))
                return passed[-1] + passed[1]

        module = Skipping()
        layers = module.layers
        module.layers, pattern = one_of_each(layers)
        program = torch.export.export(module.eval(), (torch.zeros(1, 4),), strict=False)
        with pytest.raises(RuntimeFailure, match="leaves layer 0 elsewhere; use the ExecuTorch of the lock file"):
            lower.lower(program, {}, Repeated(layers, pattern))
