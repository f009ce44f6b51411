"""ExecuTorch files for Core ML and Vulkan: lowered, read back, and their graph run eagerly; never run themselves."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from tiny import write_tiny_checkpoint

from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.checkpoint.architecture import EMBEDDING
from smolship.errors import InputError, RuntimeFailure
from smolship.export.executorch.backends import BACKENDS
from smolship.export.executorch.delegates.coreml import stored_tensor
from smolship.export.executorch.program import PteFile
from smolship.quantize import Blocks, QuantizedModel, quantize
from smolship.quiet import quiet
from smolship.reference import Reference

pytestmark = pytest.mark.slow

CONTEXT = 64
TOKENS = [int(token) for token in np.random.default_rng(5).integers(0, 320, 24)]
NAMES = [name for name, backend in BACKENDS.items() if not backend.runs_here]
OUTSIDE = {
    ("coreml", "q4"): set[str](),
    ("coreml", "q4-e8"): set[str](),
    ("vulkan", "q4"): set[str](),
    ("vulkan", "q4-e8"): {"quantized_decomposed::embedding_byte.out"},
}
"""the operators that each file leaves on the processor"""

Built = tuple[str, QuantizedModel, Path]


def module_of(backend: str) -> ModuleType:
    return import_module(BACKENDS[backend].module)


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(write_tiny_checkpoint(tmp_path_factory.mktemp("shallow") / "one", num_hidden_layers=1)))


@pytest.fixture(scope="module")
def build(shallow: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Built]:
    @cache
    def make(backend: str, recipe: str, time: int) -> Built:
        model, folder = quantize(shallow, recipe, ("executorch",)), tmp_path_factory.mktemp(f"{backend}-{time}")
        module_of(backend).pack(model, folder, CONTEXT)
        return backend, model, folder

    return make


@pytest.fixture(scope="module", params=[(name, recipe) for name in NAMES for recipe in ("q4", "q4-e8")])
def built(request: pytest.FixtureRequest, build: Callable[..., Built]) -> Built:
    """Everything in 4 bits; and the layers in 4 bits, embedding and head in 8."""
    return build(*request.param, 0)


def test_integers_come_back_from_the_file(built: Built) -> None:
    backend, model, folder = built
    found = module_of(backend).unpack(folder)
    assert set(found) == set(model.matrices())
    for name, blocks in found.items():
        wanted = model.blocks(name, "executorch")
        scales = wanted.scales.astype(np.float16).astype(np.float32) if backend == "coreml" else wanted.scales
        assert blocks.grid == wanted.grid
        assert np.array_equal(blocks.codes, wanted.codes), name
        assert np.array_equal(blocks.scales, scales), name


def test_one_delegate_has_all_but_what_is_known_to_stay_outside(built: Built) -> None:
    backend, model, folder = built
    pte = PteFile((folder / "model.pte").read_bytes())
    assert pte.counts("forward")["delegates"] == 1
    assert pte.operators("forward") == OUTSIDE[backend, model.recipe.name]


def test_the_tied_embedding_in_4_bits_is_stored_once(build: Callable[..., Built]) -> None:
    from smolship.export.executorch.codes import pack_even_low

    _, model, folder = build("vulkan", "q4", 0)
    codes = pack_even_low(model.blocks(EMBEDDING, "executorch").codes).tobytes()
    assert (folder / "model.pte").read_bytes().count(codes) == 1


def test_core_ml_computes_by_the_operators_that_were_meant(build: Callable[..., Built]) -> None:
    """None that hides an ε of its own, a cache that is a state, and weights that stay in blocks."""
    from smolship.export.executorch.delegates.mlprogram import operators_of

    [(backend, blob)] = PteFile((build("coreml", "q4", 0)[2] / "model.pte").read_bytes()).delegate_blobs("forward")
    found = operators_of(blob)
    assert backend == "CoreMLBackend"
    assert {"constexpr_blockwise_shift_scale", "read_state", "write_state", "slice_update"} <= found
    assert not found & {"inverse", "log", "l2_norm", "layer_norm", "constexpr_affine_dequantize"}


def test_core_ml_files_have_no_date_and_no_random_names(build: Callable[..., Built]) -> None:
    first, again = (build("coreml", "q4", time)[2] for time in range(2))
    assert (first / "model.pte").read_bytes() == (again / "model.pte").read_bytes()


def test_a_file_of_another_backend_is_refused(build: Callable[..., Built]) -> None:
    folder = build("coreml", "q4", 0)[2]
    with pytest.raises(InputError, match="delegate for CoreMLBackend; only Vulkan"):
        module_of("vulkan").unpack(folder)


@pytest.fixture(scope="module", params=["q4", "q8"])
def deep(request: pytest.FixtureRequest, tiny_checkpoint: Checkpoint) -> QuantizedModel:
    return quantize(tiny_checkpoint, request.param, ("executorch",))


def wanted_logits(model: QuantizedModel) -> torch.Tensor:
    """The float reference with the same weights, float32 [tokens, vocabulary]."""
    weights = {name: torch.from_numpy(model.blocks(name, "executorch").dequantize()) for name in model.matrices()}
    weights |= {name: torch.from_numpy(model.floats(name)) for name in model.vectors()}
    return Reference(model.checkpoint.architecture, weights).logits(torch.tensor(TOKENS))


@pytest.mark.parametrize("backend", NAMES)
def test_the_graph_that_is_lowered_computes_what_the_reference_does(backend: str, deep: QuantizedModel) -> None:
    """Run eagerly by torch, token by token through its cache: activations are in float, so nothing is lost."""
    wanted = wanted_logits(deep)
    with quiet():
        graph = traced(backend, deep)
    with torch.no_grad():
        found = torch.cat([graph(torch.tensor([[token]]), torch.tensor([i])) for i, token in enumerate(TOKENS)])
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_vulkan_s_graph_takes_prompts_of_any_length(deep: QuantizedModel) -> None:
    wanted = wanted_logits(deep)
    with quiet():
        graph = traced("vulkan", deep)
    with torch.no_grad():
        first = graph(torch.tensor([TOKENS[:17]]), torch.tensor([0]))
        rest = graph(torch.tensor([TOKENS[17:]]), torch.tensor([17]))
    assert (first[0] - wanted[16]).abs().max() < 1e-4 * wanted.abs().max()
    assert (rest[0] - wanted[-1]).abs().max() < 1e-4 * wanted.abs().max()


def test_core_ml_s_graph_holds_in_float16(deep: QuantizedModel) -> None:
    """As Core ML computes it: every weight, activation and cache in float16, here by torch."""
    wanted = wanted_logits(deep)
    with quiet():
        from smolship.export.executorch.delegates.coreml_decoder import CoreMLDecoder

        module = CoreMLDecoder(deep, CONTEXT).eval().half()
    with torch.no_grad():
        found = torch.cat([module(torch.tensor([[token]]), torch.tensor([i])) for i, token in enumerate(TOKENS)])
    assert (found.float() - wanted).abs().max() < 0.02 * wanted.abs().max()


def test_core_ml_s_norm_does_not_overflow_float16() -> None:
    with quiet():
        from smolship.export.executorch.delegates.coreml_decoder import CoreMLNorm
    x = torch.randn(1, 8, 64, generator=torch.Generator().manual_seed(3)) * torch.logspace(-4, 4, 8).view(1, 8, 1)
    weight = torch.ones(64)
    wanted = torch.nn.functional.rms_norm(x, (64,), weight, 1e-5)
    found = CoreMLNorm(weight, 1e-5).half()(x.half()).float()
    assert (x.abs().max() ** 2 > torch.finfo(torch.float16).max).item()
    torch.testing.assert_close(found, wanted, rtol=0.01, atol=0.01)


def traced(backend: str, model: QuantizedModel) -> torch.nn.Module:
    """The traced graph as a module, which is what the backend is given."""
    from smolship.export.executorch.delegates.coreml_decoder import CoreMLDecoder
    from smolship.export.executorch.delegates.vulkan_decoder import VulkanDecoder
    from smolship.export.executorch.traced import trace

    decoder, chunk = (CoreMLDecoder, 1) if backend == "coreml" else (VulkanDecoder, 32)
    return trace(decoder(model, CONTEXT), chunk).module()


@pytest.mark.parametrize("scale", [1e-6, 1e5])
def test_scales_that_float16_does_not_hold_are_refused(scale: float) -> None:
    scales = np.array([[0.01], [scale]], np.float32)
    used = Blocks(np.array([[1, 2], [3, 4]], np.int8), scales, "int8-row")
    with pytest.raises(InputError, match=r"mlp.up: scales from .* float16"):
        stored_tensor("mlp.up", used)


def test_a_row_of_zeros_may_have_any_small_scale() -> None:
    blocks = Blocks(np.array([[1, 2], [0, 0]], np.int8), np.array([[0.01], [1e-30]], np.float32), "int8-row")
    assert stored_tensor("mlp.up", blocks).grid == "int8-row"


def test_an_operator_that_is_left_outside_is_named() -> None:
    with quiet():
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        from smolship.export.executorch.delegates import delegated
        from smolship.export.executorch.traced import trace

        class Running(torch.nn.Module):
            def forward(self, tokens: torch.Tensor, start_pos: torch.Tensor) -> torch.Tensor:
                return torch.cumsum(torch.sigmoid(tokens.float()), 1) + start_pos

        program = trace(Running(), 1)
        with pytest.raises(RuntimeFailure, match=r"Vulkan did not take .*aten\.cumsum"):
            delegated.lower(program, VulkanPartitioner(), {}, "Vulkan")


def test_a_tensor_that_the_exporter_changed_is_named(shallow: Checkpoint) -> None:
    with quiet():
        from smolship.export.executorch.delegates import delegated
    model = quantize(shallow, "q4", ("executorch",))
    found = {name: model.blocks(name, "executorch") for name in model.matrices()}
    delegated.require_integers(model, found, "Core ML")
    name = "model.layers.0.mlp.up_proj.weight"
    found[name] = Blocks(found[name].codes[::-1], found[name].scales, found[name].grid)
    with pytest.raises(RuntimeFailure, match=f"Core ML's exporter changed {name}"):
        delegated.require_integers(model, found, "Core ML")
