"""A checkpoint with a head of its own, through every format: the head that ships is the one that was trained."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from tiny import write_tiny_checkpoint

from smolship.artefact import Artefact
from smolship.checkpoint import EMBEDDING, HEAD, Checkpoint, open_checkpoint, open_outline
from smolship.errors import InputError
from smolship.export import FORMATS
from smolship.export import onnx as onnx_format
from smolship.export.sizes import frame_of, sizes_under
from smolship.foreign.foreign_file import ForeignFile
from smolship.foreign.opening import open_artefact
from smolship.quantize import RECIPES, Blocks, QuantizedModel, Recipe, quantize
from smolship.quiet import quiet
from smolship.reference import Reference
from smolship.runtime_checks.footprint import full, memory_on
from smolship.targets import load_target
from smolship.workflows.build import Order, build
from smolship.workflows.fit import fit, goal_by
from smolship.workflows.identity import prove_identical
from smolship.workflows.mobile import mobile
from smolship.workflows.planned import PlannedFile

CONTEXT = 160
TOKENS = [int(token) for token in np.random.default_rng(5).integers(0, 320, 48)]
NEAREST = ("q8", "q4-e8", "q4")
ZERO_POINTS = Recipe("uint4", "uint4", "uint4", "nearest", "zero points, in embedding and head too")
APART = {"gguf": 0, "onnx": 2000, "executorch": 1100}
"""bytes that a tiny file may be off from what was predicted"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("untied") / "TinyLM2-Untied", tie_word_embeddings=False)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return open_checkpoint(str(folder))


@pytest.fixture(scope="module")
def built(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Artefact]:
    """By recipe and format."""
    order = Order(NEAREST, tuple(FORMATS), CONTEXT)
    made = build(checkpoint, tmp_path_factory.mktemp("built"), order)
    return {(one.artefact.manifest.recipe, one.artefact.format): one.artefact for one in made}


def decoded(checkpoint: Checkpoint, found: Mapping[str, Blocks]) -> Reference:
    """The torch forward over the weights that were read back from a file."""
    weights = {name: torch.from_numpy(checkpoint.tensors.read(name)) for name in checkpoint.architecture.shapes()}
    return Reference(
        checkpoint.architecture, weights | {name: torch.from_numpy(b.dequantize()) for name, b in found.items()}
    )


def backend_of(artefact: Artefact) -> Any:
    module = import_module(f"smolship.runtime_checks.probe.backend_{artefact.format}")
    return module.Backend(str(artefact.folder), CONTEXT, 1)


def assert_says(backend: Any, reference: Reference) -> None:
    """Logits near the reference's but for what 8-bit activations lose, and its answer where that leaves no doubt."""
    wanted = reference.logits(TOKENS).numpy()
    found = np.concatenate(list(backend.window(TOKENS)))
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.998
    apart = np.abs(found - wanted).max(axis=1)
    best = np.sort(wanted, axis=1)
    sure = best[:, -1] - best[:, -2] > 2 * apart
    assert sure.sum() > len(TOKENS) // 3
    assert np.array_equal(found.argmax(axis=1)[sure], wanted.argmax(axis=1)[sure])


@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("recipe", NEAREST)
def test_each_runtime_says_what_the_weights_in_its_file_say(
    built: dict[tuple[str, str], Artefact], checkpoint: Checkpoint, recipe: str, fmt: str
) -> None:
    artefact = built[recipe, fmt]
    found = FORMATS[fmt].load().unpack(artefact.folder)
    model = QuantizedModel(checkpoint, RECIPES[recipe])
    assert found.keys() == set(model.matrices()) >= {EMBEDDING, HEAD}
    for name, blocks in found.items():
        assert blocks.same_as(model.blocks(name, fmt)), name
    assert_says(backend_of(artefact), decoded(checkpoint, found))
    with pytest.raises(AssertionError):  # what dropping the head would have computed is far away
        assert_says(backend_of(artefact), decoded(checkpoint, found | {HEAD: found[EMBEDDING]}))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", NEAREST)
def test_all_formats_hold_the_same_integers(built: dict[tuple[str, str], Artefact], recipe: str) -> None:
    proved = prove_identical([built[recipe, fmt] for fmt in FORMATS])
    tensors = {(one.grid, one.formats): one.tensors for one in proved}
    every, two = ("executorch", "gguf", "onnx"), ("gguf", "onnx")
    wanted = {"q8": {("int8-b32", two): 16}, "q4-e8": {("int4-b32", every): 14, ("int8-b32", two): 2}}
    assert tensors == wanted.get(recipe, {("int4-b32", every): 16})


@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("recipe", NEAREST)
def test_sizes_are_predicted_from_the_outline(
    built: dict[tuple[str, str], Artefact], folder: Path, recipe: str, fmt: str
) -> None:
    outline, artefact = open_outline(str(folder)), built[recipe, fmt]
    sizes = sizes_under(outline, RECIPES[recipe], frame_of(outline, FORMATS[fmt], CONTEXT))
    assert abs(sizes.model - artefact.model_bytes) <= APART[fmt]
    planned = PlannedFile(RECIPES[recipe], fmt, outline.architecture, CONTEXT, sizes)
    assert planned.bits_per_weight == pytest.approx(artefact.manifest.bits_per_weight, abs=1e-9)
    assert artefact.parameters == outline.architecture.parameters


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_token_reads_a_row_of_the_embedding_and_all_of_the_head(folder: Path, fmt: str) -> None:
    outline, recipe = open_outline(str(folder)), RECIPES["q4-e8"]
    models = [replace(outline, architecture=replace(outline.architecture, tied=tied)) for tied in (False, True)]
    ours, theirs = (sizes_under(model, recipe, frame_of(model, FORMATS[fmt], CONTEXT)) for model in models)
    assert (ours.weights, ours.matrices, ours.embedding) == (theirs.weights, theirs.matrices, theirs.embedding)
    assert (ours.tensors, theirs.tensors) == (ours.weights + ours.embedding, theirs.weights)
    memory = [
        memory_on(load_target("host"), fmt, PlannedFile(recipe, fmt, a, CONTEXT, sizes).stored, a, full(CONTEXT))
        for a, sizes in zip([model.architecture for model in models], (ours, theirs), strict=True)
    ]
    more = memory[0].anonymous + memory[0].file - memory[1].anonymous - memory[1].file
    # llama.cpp maps it with the file; ONNX Runtime keeps three tenths of what it loads; ExecuTorch maps it either way
    shares = {"gguf": ours.model - theirs.model, "onnx": ours.embedding * 3 // 10, "executorch": 0}
    assert abs(more - shares[fmt]) <= 1


@pytest.mark.slow
def test_onnx_clients_are_told_the_truth_and_compute_it(
    built: dict[tuple[str, str], Artefact], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    artefact = built["q8", "onnx"]
    assert json.loads((artefact.folder / "config.json").read_text())["tie_word_embeddings"] is False
    copy = shutil.copytree(artefact.folder, tmp_path / "float")
    graph = onnx.load(copy / "model.onnx")
    for attribute in (a for node in graph.graph.node for a in node.attribute if a.name == "accuracy_level"):
        attribute.i = 0  # activations in float32: nothing but the weights is rounded
    onnx.save(graph, copy / "model.onnx")
    ids = torch.tensor([TOKENS[:9]])
    arguments: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False, "attention_mask": torch.ones_like(ids)}
    with quiet():
        from optimum.onnxruntime import ORTModelForCausalLM
        from transformers import LlamaConfig, LlamaForCausalLM

        got = ORTModelForCausalLM.from_pretrained(copy).generate(ids, **arguments)
        state = dict(decoded(checkpoint, onnx_format.unpack(copy)).weights)
        eager: Any = LlamaForCausalLM.from_pretrained(None, config=LlamaConfig.from_pretrained(copy), state_dict=state)
        want = eager.generate(ids, **arguments)
    assert got.tolist() == want.tolist()


@pytest.mark.slow
def test_zero_points_of_an_embedding_and_of_a_head(checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = QuantizedModel(checkpoint, ZERO_POINTS)
    onnx_format.pack(model, tmp_path, CONTEXT)
    found = onnx_format.unpack(tmp_path)
    assert all(found[name].same_as(model.blocks(name, "onnx")) for name in model.matrices())
    from smolship.runtime_checks.probe.backend_onnx import Backend

    assert_says(Backend(str(tmp_path), CONTEXT, 1), decoded(checkpoint, found))


@pytest.mark.slow
def test_the_form_for_phones_computes_the_same(built: dict[tuple[str, str], Artefact], tmp_path: Path) -> None:
    made = mobile(built["q4-e8", "onnx"].folder, tmp_path / "mobile", 1)
    assert made.difference < 1e-5


@pytest.mark.slow
def test_our_gguf_is_an_untied_checkpoint_again(built: dict[tuple[str, str], Artefact], checkpoint: Checkpoint) -> None:
    artefact = built["q8", "gguf"]
    again = open_checkpoint(str(artefact.model_path))
    assert not again.architecture.tied
    assert again.notes == ()
    blocks = QuantizedModel(checkpoint, RECIPES["q8"]).blocks(HEAD, "gguf")
    np.testing.assert_array_equal(again.tensors.read(HEAD), blocks.dequantize())


@pytest.mark.slow
def test_a_gguf_made_elsewhere_lists_its_head(
    built: dict[tuple[str, str], Artefact], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = Path(shutil.copyfile(built["q8", "gguf"].model_path, tmp_path / "theirs.gguf"))
    found = open_artefact(path)
    assert isinstance(found, ForeignFile)
    lines = {line.tensor: line.shape for line in found.bound_to(checkpoint).manifest.coverage}
    assert lines == checkpoint.architecture.shapes()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["coreml", "vulkan"])
@pytest.mark.parametrize("recipe", ["q4", "q4-e8"])
def test_backends_that_do_not_run_here_gather_from_one_and_multiply_by_the_other(
    checkpoint: Checkpoint, backend: str, recipe: str, tmp_path: Path
) -> None:
    line, model = FORMATS["executorch"].with_backend(backend), quantize(checkpoint, recipe, ("executorch",))
    line.load().pack(model, tmp_path, 64)
    found = line.load().unpack(tmp_path)
    assert found.keys() == set(model.matrices())
    for name in (EMBEDDING, HEAD):
        assert np.array_equal(found[name].codes, model.blocks(name, "executorch").codes)
    with quiet():
        from smolship.export.executorch.delegates.coreml_decoder import CoreMLDecoder
        from smolship.export.executorch.delegates.vulkan_decoder import VulkanDecoder
        from smolship.export.executorch.traced import trace

        decoder = CoreMLDecoder if backend == "coreml" else VulkanDecoder
        graph = trace(decoder(model, 64), 1 if backend == "coreml" else 32).module()
    with torch.no_grad():
        rows = [graph(torch.tensor([[token]]), torch.tensor([i])) for i, token in enumerate(TOKENS[:24])]
    exact = {name: model.blocks(name, "executorch") for name in model.matrices()}
    wanted = decoded(checkpoint, exact).logits(TOKENS[:24])
    assert (torch.cat(rows) - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.slow
def test_a_calibrated_and_distilled_head_has_codes_of_its_own(checkpoint: Checkpoint, tmp_path: Path) -> None:
    order = Order(("q4-calibrated", "q4-distilled"), ("gguf", "onnx"), CONTEXT, calibration_sequences=8)
    made = [one.artefact for one in build(checkpoint, tmp_path, order)]
    assert {one.tensors for one in prove_identical(made)} == {16}
    for artefact in made:
        found = FORMATS[artefact.format].load().unpack(artefact.folder)
        lines = {line.tensor: line for line in artefact.manifest.coverage}
        assert lines[HEAD].grid == lines[EMBEDDING].grid == "int4-b32"
        nearest = QuantizedModel(checkpoint, RECIPES["q4"]).blocks(HEAD, artefact.format)
        assert not np.array_equal(found[HEAD].codes, nearest.codes)
        assert 0 < (lines[HEAD].output_error or 0) < 0.2
        gains: dict[str, NDArray[np.float32]] = {}
        if artefact.format == "gguf":
            read = open_checkpoint(str(artefact.model_path)).tensors.read
            gains = {name: read(name) for name in lines if len(lines[name].shape) == 1}
            reference = decoded(checkpoint, found)
            weights = {**reference.weights, **{name: torch.from_numpy(gain) for name, gain in gains.items()}}
            assert_says(backend_of(artefact), Reference(checkpoint.architecture, weights))


@pytest.mark.slow
@pytest.mark.parametrize(("fmt", "budget"), [("gguf", "90kB"), ("onnx", "100kB"), ("executorch", "130kB")])
def test_a_file_is_fitted_with_its_head_among_the_tensors(
    checkpoint: Checkpoint, fmt: str, budget: str, tmp_path: Path
) -> None:
    order = Order((), (fmt,), CONTEXT, calibration_sequences=8, goals=goal_by(budget, [load_target("host")]))
    artefact = fit(checkpoint, tmp_path, order)[0].artefact
    limit = int(budget.removesuffix("kB")) * 1000
    assert 0.9 * limit < artefact.model_bytes <= limit
    assert HEAD in {line.tensor for line in artefact.manifest.coverage}


@pytest.mark.slow
def test_an_embedding_that_is_not_the_one_in_the_map_is_named(
    built: dict[tuple[str, str], Artefact], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """The embedding is a constant of its operator, which no key protects."""
    from smolship.export.executorch.unpack import unpack

    folder = built["q4-e8", "executorch"].folder
    data = (folder / "model.pte").read_bytes()
    codes = QuantizedModel(checkpoint, RECIPES["q4-e8"]).blocks(EMBEDDING, "executorch").codes.tobytes()
    assert data.count(codes) == 1
    (tmp_path / "model.pte").write_bytes(data.replace(codes, bytes(64) + codes[64:]))
    with pytest.raises(InputError, match=r"embed_tokens\.weight: the embedding in model\.pte is not the one in"):
        unpack(tmp_path)
