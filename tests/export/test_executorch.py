"""ExecuTorch files of tiny random models, built once a grid and run on the real runtime."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import SPECIALS, tiny_config, tiny_weights, write_safetensors, write_tiny_checkpoint

from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.checkpoint.architecture import EMBEDDING
from smolship.errors import InputError
from smolship.export import FORMATS
from smolship.export.executorch import pack, unpack
from smolship.export.executorch.codes import check_grid
from smolship.export.executorch.pack import PROMPT_CHUNK
from smolship.export.sizes import frame_of, sizes_under
from smolship.quantize import Blocks, QuantizedModel, quantize
from smolship.quiet import quiet
from smolship.runtime_checks.probe.backend_executorch import Backend

pytestmark = pytest.mark.slow

CONTEXT = PROMPT_CHUNK + 32
TOKENS = [int(t) for t in np.random.default_rng(5).integers(0, 320, CONTEXT)]
ZERO_ROW = TOKENS[7]

Built = tuple[QuantizedModel, Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Built]:
    def make(checkpoint: Checkpoint, recipe: str, *, custom_sdpa: bool = False) -> Built:
        model, folder = quantize(checkpoint, recipe, ("executorch",)), tmp_path_factory.mktemp(recipe)
        pack(model, folder, CONTEXT, custom_sdpa=custom_sdpa)
        return model, folder

    return make


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(write_tiny_checkpoint(tmp_path_factory.mktemp("shallow") / "one", num_hidden_layers=1)))


@pytest.fixture(scope="module")
def tiny_checkpoint_with_a_zero_row(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("zero") / "row")
    weights = tiny_weights(tiny_config())
    weights[EMBEDDING][ZERO_ROW] = 0
    write_safetensors(folder / "model.safetensors", weights)
    return open_checkpoint(str(folder))


@pytest.fixture(scope="module")
def mixed(build: Callable[..., Built], tiny_checkpoint_with_a_zero_row: Checkpoint) -> Built:
    """Two layers in 4 bits, embedding and head in 8: both kernels of the delegate, the 8-bit embedding.

    One row of the embedding is zero, like that of a token nobody trained: XNNPACK refuses a scale of zero.
    """
    return build(tiny_checkpoint_with_a_zero_row, "q4-e8")


@pytest.fixture(scope="module")
def narrow(build: Callable[..., Built], shallow: Checkpoint) -> Built:
    """One layer, everything in 4 bits: the 4-bit embedding and the head that shares its bytes."""
    return build(shallow, "q4")


@pytest.fixture(params=["mixed", "narrow"])
def built(request: pytest.FixtureRequest) -> Built:
    result: Built = request.getfixturevalue(request.param)
    return result


def test_integers_come_back_from_the_file(built: Built) -> None:
    model, folder = built
    found = unpack(folder)
    assert set(found) == set(model.matrices())
    for name, blocks in found.items():
        wanted = model.blocks(name, "executorch")
        assert blocks.grid == wanted.grid
        assert np.array_equal(blocks.codes, wanted.codes), name
        assert np.array_equal(blocks.scales, wanted.scales), name


def test_the_size_is_as_predicted(built: Built) -> None:
    model, folder = built
    checkpoint = model.checkpoint
    predicted = sizes_under(checkpoint, model.recipe, frame_of(checkpoint, FORMATS["executorch"], CONTEXT))
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert abs(predicted.model - sizes.pop("model.pte")) < 1000
    assert 0 <= predicted.others - sum(sizes.values()) <= 6  # the name of the embedding's kernel


def test_runtime_computes_what_the_exported_module_does(built: Built) -> None:
    import torch

    model, folder = built
    with quiet():
        from smolship.export.executorch.decoder import Decoder

        module = Decoder(model, CONTEXT).eval()
    backend = Backend(str(folder), CONTEXT, 2)
    apart = []
    for count in (1, 2, 17, 64, 100, PROMPT_CHUNK):
        with torch.no_grad():
            wanted = module(torch.tensor([TOKENS[:count]]), torch.tensor([0]))[0].numpy()
        apart.append(float(np.abs(backend.prefill(TOKENS[:count]) - wanted).max() / np.abs(wanted).max()))
    # Sums in another order differ in a last bit, which in a prompt or two flips the rounding of an activation.
    assert np.median(apart) < 1e-5
    assert max(apart) < 0.03


def test_runtime_is_near_the_float_model_with_the_same_weights(built: Built) -> None:
    """Weights dequantised, activations in float32: what remains is the rounding of activations to 8 bits."""
    import torch

    from smolship.reference import Reference

    model, folder = built
    weights = {name: torch.from_numpy(model.blocks(name, "executorch").dequantize()) for name in model.matrices()}
    weights |= {name: torch.from_numpy(model.floats(name)) for name in model.vectors()}
    wanted = Reference(model.checkpoint.architecture, weights).logits(torch.tensor(TOKENS[:64]))[-1].numpy()
    found = Backend(str(folder), CONTEXT, 2).prefill(TOKENS[:64])
    assert np.corrcoef(found, wanted)[0, 1] > 0.99


def test_prefill_window_and_decode_agree_up_to_the_last_position(built: Built) -> None:
    backend = Backend(str(built[1]), CONTEXT, 2)
    whole = backend.prefill(TOKENS)  # in two calls: more than one takes
    rows = np.concatenate(list(backend.window(TOKENS)))
    backend.prefill(TOKENS[:-3])
    decoded = [backend.decode(token) for token in TOKENS[-3:]]
    assert rows.shape == (CONTEXT, len(whole))
    _assert_close(rows[-1], whole)
    _assert_close(np.stack(decoded), rows[-3:])


def test_a_new_prompt_sees_nothing_of_the_last_one(narrow: Built) -> None:
    backend = Backend(str(narrow[1]), CONTEXT, 2)
    first = backend.prefill(TOKENS[:9])
    backend.prefill(TOKENS[50:150])
    assert np.array_equal(backend.prefill(TOKENS[:9]), first)


def test_runner_generates_what_greedy_decoding_does(mixed: Built) -> None:
    """Through a prompt of more tokens than one call takes; the binding's callback can take whole characters only."""
    from executorch.extension.llm.runner import GenerationConfig, TextLLMRunner

    folder = mixed[1]
    backend = Backend(str(folder), CONTEXT, 2)
    prompts = ("the sea and the hills " * 12 + letter for letter in "abcdefghijklmnopqrstuvwxyz")
    prompt, wanted = next((p, ids) for p in prompts if len(ids := _greedy_ascii(backend, p, 4)) == 4)
    assert len(backend.tokenize(prompt)) > PROMPT_CHUNK
    pieces: list[str] = []
    with quiet():
        runner = TextLLMRunner(str(folder / "model.pte"), str(folder / "tokenizer.json"))
        runner.generate(prompt, GenerationConfig(temperature=0.0, max_new_tokens=4, echo=False), pieces.append)
    assert "".join(pieces).encode() == backend.detokenize(wanted)


def _greedy_ascii(backend: Backend, prompt: str, count: int) -> list[int]:
    """The most likely `count` tokens after the prompt, or fewer if one of them is special or no ASCII text."""
    logits, found = backend.prefill(backend.tokenize(prompt)), list[int]()
    while len(found) < count:
        token = int(logits.argmax())
        if token < len(SPECIALS) or not backend.detokenize([token]).isascii():
            break
        found.append(token)
        logits = backend.decode(token)
    return found


def test_the_tied_embedding_is_stored_once(narrow: Built) -> None:
    from smolship.export.executorch.names import EMBEDDING_OPERATORS, stored_tensor
    from smolship.export.executorch.program import PteFile

    model, folder = narrow
    blocks = model.blocks(EMBEDDING, "executorch")
    pte = PteFile((folder / "model.pte").read_bytes())
    head = pte.segments[pte.named[stored_tensor(EMBEDDING, blocks).codes]]
    assert head.offset == pte.constant_operands("forward", EMBEDDING_OPERATORS[blocks.grid])[0].offset
    assert pte.data.count(pte.bytes_at(head.offset, head.size)) == 1


def test_the_cache_is_planned_once_in_half_precision_and_read_where_it_lies(mixed: Built) -> None:
    """One buffer a layer, at one place however often the program names it; what is read of it are its own rows."""
    from executorch.exir.schema import ScalarType

    from smolship.export.executorch.program import PteFile

    model, folder = mixed
    a = model.checkpoint.architecture
    plan = PteFile((folder / "model.pte").read_bytes())._plan("forward")
    tensors = [value.val for value in plan.values if type(value.val).__name__ == "Tensor"]
    halves = [tensor for tensor in tensors if tuple(tensor.sizes[1:]) == (a.kv_heads, a.head_dim)]
    assert {tensor.scalar_type for tensor in halves} == {ScalarType.HALF}

    def places(rows: int) -> list[int]:
        return sorted({t.allocation_info.memory_offset_low for t in halves if t.sizes[0] == rows})

    row, caches = 2 * a.kv_heads * a.head_dim, places(2 * CONTEXT)
    assert len(caches) == a.layers
    assert all(first + 2 * CONTEXT * row <= second for first, second in pairwise(caches))
    others = {t.sizes[0] for t in halves} - {2 * CONTEXT, 2 * PROMPT_CHUNK}  # the bound of the keys' length is loose
    read = {offset for rows in others for offset in places(rows)}
    assert read == {cache + part for cache in caches for part in (0, CONTEXT * row)}


def test_only_portable_and_quantised_operators_stay_outside(mixed: Built) -> None:
    from smolship.export.executorch.program import PteFile

    found = PteFile((mixed[1] / "model.pte").read_bytes()).operators("forward")
    namespaces = {name.split("::")[0] for name in found}
    assert namespaces == {"aten", "executorch_prim", "quantized_decomposed"}
    assert not any("linear" in name or "mm" in name for name in found)


@pytest.mark.slow
def test_building_twice_gives_the_same_bytes(build: Callable[..., Built], shallow: Checkpoint, narrow: Built) -> None:
    """Marked as slow for its export alone."""
    again = build(shallow, "q4")[1]
    assert (again / "model.pte").read_bytes() == (narrow[1] / "model.pte").read_bytes()


def test_tokenizer_of_the_runner_gives_the_same_ids(mixed: Built) -> None:
    model, folder = mixed
    backend, tokenizer = Backend(str(folder), CONTEXT, 2), model.checkpoint.tokenizer
    for text in ("<|im_start|>user\nthe 1984 sea<|im_end|>\n", "naïve 日本 🙂\t\r\n x", "  two  ", ""):
        ids = tokenizer.encode(text)
        assert backend.tokenize(text) == ids
        assert backend.detokenize(ids) == text.encode()
    broken = tokenizer.encode("日")[:1]
    assert backend.detokenize(broken) == "日".encode()[:1]


def test_a_context_beyond_the_file_is_refused(narrow: Built) -> None:
    with pytest.raises(ValueError, match=f"context of {CONTEXT} tokens"):
        Backend(str(narrow[1]), CONTEXT + 1, 2)


@pytest.mark.parametrize(
    ("grid", "groups", "complaint"),
    [("int4-b32", 2, "rows of 96 weights"), ("int8-row", 3, "3 scales a row"), ("int8-b32", 3, "int8-b32 cannot go")],
)
def test_a_grid_without_a_kernel_is_refused_by_name(grid: str, groups: int, complaint: str) -> None:
    blocks = Blocks(np.zeros((4, 96), np.int8), np.ones((4, groups), np.float32), grid)
    with pytest.raises(InputError, match=f"^model.layers.0.mlp.up_proj.weight: .*{complaint}"):
        check_grid("model.layers.0.mlp.up_proj.weight", blocks)


@pytest.mark.parametrize("grid", ["int4-b32", "int8-row"])
@pytest.mark.parametrize("scale", [0.0, -1.0, 1e-40, np.inf, np.nan])
def test_a_scale_that_xnnpack_refuses_is_refused_by_name(grid: str, scale: float) -> None:
    scales = np.ones((4, 3 if grid == "int4-b32" else 1), np.float32)
    scales[2] = scale
    with pytest.raises(InputError, match=r"^model\.norm: XNNPACK refuses scales that are not positive and normal"):
        check_grid("model.norm", Blocks(np.zeros((4, 96), np.int8), scales, grid))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pte").write_bytes(b"not a program" * 9)
    with pytest.raises(InputError, match="no ExecuTorch program"):
        unpack(tmp_path)


@pytest.mark.slow
def test_fused_attention_computes_the_same(build: Callable[..., Built], shallow: Checkpoint, narrow: Built) -> None:
    """Marked as slow for its export alone."""
    folder = build(shallow, "q4", custom_sdpa=True)[1]
    with quiet():
        from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401  (the runtime's kernels too)
    fused, plain = (Backend(str(path), CONTEXT, 2).prefill(TOKENS[:140]) for path in (folder, narrow[1]))
    _assert_close(fused, plain)


def _assert_close(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    """Equal up to what another order of float32 sums can turn over in an activation's 8-bit rounding."""
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()
