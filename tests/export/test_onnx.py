"""ONNX files: ONNX Runtime and Optimum read the logits and tokens that were meant; the same model, the same bytes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from card_examples import examples, run_python
from tiny import write_tiny_checkpoint
from tokenizers import Tokenizer

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError
from smolship.export import onnx as onnx_format
from smolship.quantize import RECIPES, QuantizedModel, Recipe
from smolship.quantize.grids import grid_named
from smolship.quiet import quiet
from smolship.reference import Reference
from smolship.runtime_checks.card import render_card
from smolship.runtime_checks.card.card import ANSWER_TOKENS
from smolship.runtime_checks.probe.backend_onnx import Backend
from smolship.runtime_checks.prompts import questions

CONTEXT = 256
TEXT = "The harbour light turned 1234 times, and nobody counted: <|im_start|> naïve — 漢字 🚢\n\n\tend"
Packed = tuple[QuantizedModel, Path]
ALL_RECIPES = RECIPES | {"uint4": Recipe("uint4", "uint4", "uint4", "nearest", "zero points, in the tied head too")}


def dequantised(model: QuantizedModel) -> Reference:
    """The torch forward over the very weights that the file should hold."""
    weights = {name: torch.from_numpy(model.blocks(name, "onnx").dequantize()) for name in model.matrices()}
    weights |= {name: torch.from_numpy(model.floats(name)) for name in model.vectors()}
    return Reference(model.checkpoint.architecture, weights)


def pack(checkpoint: Checkpoint, recipe: str, folder: Path) -> Packed:
    model = QuantizedModel(checkpoint, ALL_RECIPES[recipe])
    folder.mkdir()
    onnx_format.pack(model, folder, CONTEXT)
    return model, folder


@pytest.fixture(scope="module")
def packed(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Packed]:
    """The tiny model under every recipe, and on ONNX's own grid."""
    root = tmp_path_factory.mktemp("onnx")
    return {recipe: pack(tiny_checkpoint, recipe, root / recipe) for recipe in ALL_RECIPES}


@pytest.fixture(scope="module")
def in_float(packed: dict[str, Packed], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Packed]:
    """The same files with activations left in float32 (accuracy level 0): what they compute is then exact."""
    root = tmp_path_factory.mktemp("in_float")
    copies = {}
    for recipe, (model, folder) in packed.items():
        copies[recipe] = (model, Path(shutil.copytree(folder, root / recipe)))
        graph = onnx.load(root / recipe / "model.onnx")
        for attribute in (a for node in graph.graph.node for a in node.attribute if a.name == "accuracy_level"):
            attribute.i = 0
        onnx.save(graph, root / recipe / "model.onnx")
    return copies


@pytest.mark.parametrize("recipe", ALL_RECIPES)
def test_onnxruntime_gives_the_logits_of_the_dequantised_weights(in_float: dict[str, Packed], recipe: str) -> None:
    model, folder = in_float[recipe]
    tokens = model.checkpoint.tokenizer.encode(TEXT)
    got = np.concatenate(list(Backend(str(folder), CONTEXT, 1).window(tokens)))
    want = dequantised(model).logits(tokens).numpy()
    np.testing.assert_allclose(got, want, atol=2e-5 * np.abs(want).max())


@pytest.mark.parametrize("recipe", ALL_RECIPES)
def test_int8_activations_of_the_shipped_file_cost_little(packed: dict[str, Packed], recipe: str) -> None:
    model, folder = packed[recipe]
    tokens = model.checkpoint.tokenizer.encode(TEXT)
    got = torch.from_numpy(np.concatenate(list(Backend(str(folder), CONTEXT, 1).window(tokens)))).log_softmax(-1)
    want = dequantised(model).logits(tokens).log_softmax(-1)
    divergence = (want.exp() * (want - got)).sum(-1)
    assert 0 <= divergence.mean() < 0.01


@pytest.mark.parametrize("recipe", ["q8", "q4"])
def test_prefill_decode_and_window_agree(in_float: dict[str, Packed], recipe: str) -> None:
    model, folder = in_float[recipe]
    tokens = model.checkpoint.tokenizer.encode(TEXT)
    backend = Backend(str(folder), CONTEXT, 2)
    windows = np.concatenate(list(backend.window(tokens)))
    steps = [backend.prefill(tokens[:1]), *(backend.decode(token) for token in tokens[1:])]
    np.testing.assert_allclose(np.array(steps), windows, atol=1e-4)
    np.testing.assert_allclose(backend.prefill(tokens), windows[-1], atol=1e-4)


def test_the_context_is_a_limit(packed: dict[str, Packed]) -> None:
    _, folder = packed["q4"]
    assert json.loads((folder / "config.json").read_text())["max_position_embeddings"] == CONTEXT
    with pytest.raises(RuntimeError, match="context of 8"):
        Backend(str(folder), 8, 1).prefill(list(range(40, 49)))


@pytest.mark.parametrize("recipe", ALL_RECIPES)
def test_optimum_generates_what_transformers_generates_from_the_dequantised_weights(
    in_float: dict[str, Packed], recipe: str
) -> None:
    model, folder = in_float[recipe]
    ids = torch.tensor([model.checkpoint.tokenizer.encode("The light turned 12 times")])
    arguments: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False, "attention_mask": torch.ones_like(ids)}
    with quiet():
        from optimum.onnxruntime import ORTModelForCausalLM
        from transformers import LlamaForCausalLM

        got = ORTModelForCausalLM.from_pretrained(folder).generate(ids, **arguments)
        eager: Any = LlamaForCausalLM.from_pretrained(
            None, config=_config(folder), state_dict=_state(dequantised(model))
        )
        want = eager.generate(ids, **arguments)
    assert got.tolist() == want.tolist()


def _config(folder: Path) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig.from_pretrained(folder)


def _state(reference: Reference) -> dict[str, torch.Tensor]:
    return dict(reference.weights) | {"lm_head.weight": reference.weights["model.embed_tokens.weight"]}


@pytest.mark.parametrize("recipe", ALL_RECIPES)
def test_the_integers_come_back_from_the_file(packed: dict[str, Packed], recipe: str) -> None:
    model, folder = packed[recipe]
    found = onnx_format.unpack(folder)
    assert sorted(found) == sorted(model.matrices())
    for name, blocks in found.items():
        assert blocks.same_as(model.blocks(name, "onnx"))


@pytest.mark.parametrize("recipe", ["q4", "uint4"])
def test_embedding_and_head_share_one_tensor_that_takes_its_grid_s_bits(packed: dict[str, Packed], recipe: str) -> None:
    model, folder = packed[recipe]
    bits = sum(
        blocks.codes.size * grid_named(blocks.grid).bits_per_weight(blocks.codes.shape[1])
        for blocks in (model.blocks(name, "onnx") for name in model.matrices())
    )
    graph = onnx.load(folder / "model.onnx").graph
    parts = (".codes", ".scales", ".zero_points")
    assert sum(len(t.raw_data) for t in graph.initializer if t.name.endswith(parts)) == bits / 8


def assert_same_files(folder: Path, again: Path) -> None:
    assert sorted(p.name for p in again.iterdir()) == sorted(p.name for p in folder.iterdir())
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_four_bits_say_their_zero_points_which_keeps_arm_from_quantising_rows(packed: dict[str, Packed]) -> None:
    graph = onnx.load(packed["q4"][1] / "model.onnx").graph
    made_by = {node.output[0]: node for node in graph.node}
    matmuls = [node for node in graph.node if node.op_type == "MatMulNBits"]
    zero_points = [made_by[node.input[3]] for node in matmuls]
    assert {node.op_type for node in zero_points} == {"ConstantOfShape"}
    values = [onnx.helper.get_attribute_value(node.attribute[0]) for node in zero_points]
    assert {tuple(onnx.numpy_helper.to_array(value).tolist()) for value in values} == {(0x88,)}
    assert len({node.name for node in zero_points}) < len(matmuls)  # one for all of a size
    assert sum(tensor.ByteSize() for tensor in graph.initializer if "zero_points" in tensor.name) < 300


def test_other_zero_points_than_a_symmetric_grid_has_do_not_come_back_as_it(
    packed: dict[str, Packed], tmp_path: Path
) -> None:
    model = onnx.load(packed["q4"][1] / "model.onnx")
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape" and "zero_points" in node.name:
            node.attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(np.array([0x77], np.uint8)))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="zero points"):
        onnx_format.unpack(tmp_path)


def test_packing_again_gives_the_same_bytes_and_nothing_of_the_machine(
    packed: dict[str, Packed], tiny_checkpoint: Checkpoint, tiny_folder: Path, tmp_path: Path
) -> None:
    _, folder = packed["q4-e8"]
    assert_same_files(folder, pack(tiny_checkpoint, "q4-e8", tmp_path / "again")[1])
    data = (folder / "model.onnx").read_bytes()
    for trace in (b"site-packages", b".py", str(Path.home()).encode() + b"/", str(tiny_folder).encode(), b"/tmp"):
        assert trace not in data


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(packed: dict[str, Packed], tiny_folder: Path, tmp_path: Path) -> None:
    """Marked as slow for what the other process imports alone."""
    _, folder = packed["q4-e8"]
    code = (
        "import sys; from pathlib import Path; from smolship.checkpoint import open_checkpoint;"
        "from smolship.quantize import quantize; from smolship.export import onnx;"
        f"onnx.pack(quantize(open_checkpoint(sys.argv[1]), 'q4-e8', ('onnx',)), Path(sys.argv[2]), {CONTEXT})"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", code, str(tiny_folder), str(tmp_path)]
    done = subprocess.run(command, cwd="/", env=environment, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert_same_files(folder, tmp_path)


def test_a_row_that_the_group_does_not_divide_is_refused_by_name(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(write_tiny_checkpoint(tmp_path / "odd", intermediate_size=80)))
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"mlp\.down_proj\.weight.*80"):
        onnx_format.pack(QuantizedModel(checkpoint, RECIPES["q4"]), tmp_path / "out", CONTEXT)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_folder_s_tokenizer_is_the_checkpoint_s(packed: dict[str, Packed]) -> None:
    model, folder = packed["q4"]
    backend = Backend(str(folder), CONTEXT, 1)
    assert backend.tokenize(TEXT) == model.checkpoint.tokenizer.encode(TEXT)
    assert backend.detokenize(backend.tokenize(TEXT)).decode() == TEXT
    assert backend.versions["onnxruntime"] == onnxruntime.__version__


@pytest.mark.slow
def test_the_model_card_s_loop_says_what_the_probe_does(
    packed: dict[str, Packed], tiny_artefact: Artefact, tiny_checkpoint: Checkpoint
) -> None:
    folder = packed["q8"][1]
    manifest = tiny_artefact.manifest.model_copy(update={"format": "onnx", "model_file": "model.onnx"})
    *_, loop = examples(render_card(manifest, tiny_checkpoint), "python")
    backend = Backend(str(folder), CONTEXT, 1)
    logits = backend.prefill(backend.tokenize(questions(tiny_checkpoint.tokenizer)[0].prompt))
    answer = [int(logits.argmax())]
    while len(answer) < ANSWER_TOKENS:
        answer.append(int(backend.decode(answer[-1]).argmax()))
    end = tiny_checkpoint.architecture.eos_id
    spoken = answer[: answer.index(end)] if end in answer else answer
    said = Tokenizer.from_file(str(folder / "tokenizer.json")).decode(spoken)
    assert run_python(loop, folder) == f"{said}\n"


@pytest.mark.real
def test_the_real_model_in_eight_bits_knows_the_capital_of_france(
    embedded_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model, folder = pack(embedded_checkpoint, "q8", tmp_path / "q8")
    tokenizer = model.checkpoint.tokenizer
    asked = [("system", "Answer in one short sentence."), ("user", "What is the capital of France?")]
    prompt = tokenizer.render_chat([{"role": role, "content": content} for role, content in asked])
    backend = Backend(str(folder), CONTEXT, 2)
    logits, answer = backend.prefill(tokenizer.encode(prompt)), list[int]()
    while (token := int(logits.argmax())) != model.checkpoint.architecture.eos_id and len(answer) < 32:
        answer.append(token)
        logits = backend.decode(token)
    assert "Paris" in backend.detokenize(answer).decode()
