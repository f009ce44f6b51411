"""One folder, unmodified, in plain ONNX Runtime, in ONNX Runtime GenAI and in Optimum: each says the same."""

import json
from pathlib import Path

import numpy as np
import pytest
from onnx_clients import CLIENTS, batch_by_genai, batch_by_optimum, by_genai, by_optimum, by_probe
from tiny import tiny_config

from smolship.checkpoint import Checkpoint
from smolship.export import onnx as onnx_format
from smolship.export.onnx.genai_config import CHUNK
from smolship.quantize import RECIPES, QuantizedModel
from smolship.runtime_checks.probe.backend_onnx import Backend

CONTEXT = 256
TOKENS = 24
TEXT = "The harbour light turned 1234 times, and nobody counted: <|im_start|> naïve — 漢字 🚢\n\n\tend"
LENGTHS = (10, 4, 17, 7)


def prompt(length: int, seed: int) -> list[int]:
    """Random tokens that are no special ones."""
    found: list[int] = np.random.default_rng(seed).integers(17, tiny_config()["vocab_size"], length).tolist()
    return found


PROMPTS = [prompt(length, seed) for seed, length in enumerate(LENGTHS)]


@pytest.fixture(scope="module", params=["q4", "q8"])
def folder(
    request: pytest.FixtureRequest, tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny model as it ships, activations in int8."""
    found: Path = tmp_path_factory.mktemp(request.param)
    onnx_format.pack(QuantizedModel(tiny_checkpoint, RECIPES[request.param]), found, CONTEXT)
    return found


@pytest.mark.parametrize("seed", [0, 2])  # no near ties: the two likeliest tokens are 0.02 apart at every step
def test_all_three_generate_the_same_tokens(folder: Path, tiny_checkpoint: Checkpoint, seed: int) -> None:
    found = {
        name: client(folder, prompt(10, seed), TOKENS, tiny_checkpoint.architecture) for name, client in CLIENTS.items()
    }
    assert len(found["onnxruntime"]) == TOKENS
    assert found == dict.fromkeys(CLIENTS, found["onnxruntime"])


@pytest.mark.parametrize("length", [CHUNK, CHUNK + 1, 200])
def test_a_prompt_of_more_than_a_chunk_gives_the_same_tokens(
    folder: Path, tiny_checkpoint: Checkpoint, length: int
) -> None:
    assert json.loads((folder / "genai_config.json").read_text())["search"]["chunk_size"] == CHUNK
    long = prompt(length, 9)
    found = {name: client(folder, long, TOKENS, tiny_checkpoint.architecture) for name, client in CLIENTS.items()}
    assert len(found["onnxruntime"]) > 1
    assert found == dict.fromkeys(CLIENTS, found["onnxruntime"])


def test_optimum_s_batch_gives_each_row_what_it_gives_alone(folder: Path, tiny_checkpoint: Checkpoint) -> None:
    a = tiny_checkpoint.architecture
    alone = [by_optimum(folder, row, TOKENS, a) for row in PROMPTS]
    assert batch_by_optimum(folder, PROMPTS, TOKENS, a) == alone
    assert alone == [by_probe(folder, row, TOKENS, a) for row in PROMPTS]


@pytest.mark.parametrize("shared", [True, False], ids=["shared cache", "growing cache"])
def test_genai_s_batch_gives_each_row_what_it_gives_alone(
    folder: Path, tiny_checkpoint: Checkpoint, shared: bool
) -> None:
    a = tiny_checkpoint.architecture
    alone = [by_genai(folder, row, TOKENS, a) for row in PROMPTS]
    assert batch_by_genai(folder, PROMPTS, TOKENS, a, past_present_share_buffer=shared) == alone


def test_genai_takes_a_batch_of_long_prompts_whole_or_says_that_it_must(
    folder: Path, tiny_checkpoint: Checkpoint
) -> None:
    a, prompts = tiny_checkpoint.architecture, [prompt(150, 3), prompt(40, 4)]
    alone = [by_genai(folder, row, 8, a) for row in prompts]
    assert batch_by_genai(folder, prompts, 8, a, chunk_size=0) == alone
    with pytest.raises(RuntimeError, match="batch_size must be 1 for continuous decoding"):
        batch_by_genai(folder, prompts, 8, a)


def test_genai_s_tokenizer_of_the_folder_is_the_checkpoint_s(folder: Path, tiny_checkpoint: Checkpoint) -> None:
    import onnxruntime_genai as og

    tokenizer = og.Tokenizer(og.Model(str(folder)))
    assert tokenizer.encode(TEXT).tolist() == tiny_checkpoint.tokenizer.encode(TEXT)


@pytest.mark.real
def test_the_real_model_names_the_capital_of_france_in_all_three(
    embedded_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    import onnxruntime_genai as og

    onnx_format.pack(QuantizedModel(embedded_checkpoint, RECIPES["q4-e8"]), tmp_path, CONTEXT)
    tokenizer = embedded_checkpoint.tokenizer
    question = tokenizer.render_chat([{"role": "user", "content": "What is the capital of France?"}])
    ids = tokenizer.encode(question)
    assert og.Tokenizer(og.Model(str(tmp_path))).encode(question).tolist() == ids
    found = {name: client(tmp_path, ids, 32, embedded_checkpoint.architecture) for name, client in CLIENTS.items()}
    assert found == dict.fromkeys(CLIENTS, found["onnxruntime"])
    assert "Paris" in Backend(str(tmp_path), CONTEXT, 1).detokenize(found["onnxruntime"]).decode()
