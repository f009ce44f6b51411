"""A tokenizer with spare rows, GPT-2's splitting and several ends, in every format as its runtime reads it."""

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny import write_tiny_checkpoint

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.checkpoint.gguf.header import read_header
from smolship.errors import InputError
from smolship.export import FORMATS
from smolship.runtime_checks.runtimes import RUNTIMES
from smolship.workflows.build import Order, build
from smolship.workflows.chat import Chat, Sampling

if TYPE_CHECKING:
    from smolship.runtime_checks.probe.backend import Backend

ROWS, ENDS = 352, (2, 0, 5)
TEXT = "In 2024, 3.14159 of it's 1000 ½ cafés don't end.<|im_end|>\n"


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Rows padded to a multiple of 32, digits kept together, three ends of an answer."""
    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("brought") / "brought", vocab_size=ROWS)
    definition = json.loads((folder / "tokenizer.json").read_text())
    definition["pre_tokenizer"] = definition["pre_tokenizer"]["pretokenizers"][1]
    text = [{"Sequence": {"id": "A", "type_id": 0}}]
    definition["post_processor"] = {"type": "TemplateProcessing", "single": text, "pair": text, "special_tokens": {}}
    definition["model"]["merges"].append(["2", "0"])  # what digit-by-digit splitting would never use
    definition["model"]["vocab"]["20"] = 320
    (folder / "tokenizer.json").write_text(json.dumps(definition))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": list(ENDS)}))
    return open_checkpoint(str(folder))


SLOW = {"executorch": pytest.mark.slow}


@pytest.fixture(scope="module", params=[pytest.param(name, marks=SLOW.get(name, ())) for name in FORMATS])
def artefact(brought: Checkpoint, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    return build(brought, tmp_path_factory.mktemp("out"), Order(("q8",), (request.param,), context=256))[0].artefact


@pytest.fixture
def backend(artefact: Artefact) -> "Backend":
    module = import_module(f"smolship.runtime_checks.probe.{RUNTIMES[artefact.format].backend}")
    made: Backend = module.Backend(str(artefact.folder), 256, 1)
    return made


def test_what_was_forgiven_is_told(brought: Checkpoint, artefact: Artefact) -> None:
    split, spare = brought.notes
    assert "tokenizer.json splits text as GPT-2's does" in split
    assert "31 of the embedding's 352 rows stand for no text" in spare
    assert artefact.manifest.source.notes == brought.notes


def test_the_runtime_reads_text_as_the_checkpoints_own_tokenizer(
    brought: Checkpoint, artefact: Artefact, backend: "Backend"
) -> None:
    from transformers import AutoTokenizer

    ids = brought.tokenizer.encode(TEXT)
    assert 320 in ids
    assert backend.tokenize(TEXT) == ids
    if artefact.format != "gguf":
        assert AutoTokenizer.from_pretrained(artefact.folder)(TEXT)["input_ids"] == ids


def test_the_runtime_computes_every_row(brought: Checkpoint, backend: "Backend") -> None:
    from smolship.reference import Reference

    ids = brought.tokenizer.encode(TEXT)
    logits = backend.prefill(ids)
    expected = Reference.from_checkpoint(brought).logits(ids)[-1].numpy()
    assert logits.shape == (ROWS,)
    assert np.corrcoef(logits, expected)[0, 1] > 0.99


@pytest.mark.filterwarnings("ignore:This API is experimental")
def test_every_list_of_ends_holds_all(artefact: Artefact) -> None:
    if artefact.format == "gguf":
        metadata = read_header(artefact.model_path).metadata
        found = [metadata[f"tokenizer.ggml.{end}_token_id"] for end in ("eos", "eot", "eom")]
        assert tuple(found) == ENDS
        stops = [line for line in (artefact.folder / "Modelfile").read_text().splitlines() if "stop" in line]
        assert stops == [f'PARAMETER stop "{token}"' for token in ("<|im_end|>", "<|endoftext|>", "<file_sep>")]
    elif artefact.format == "onnx":
        for name in ("config.json", "generation_config.json"):
            assert json.loads((artefact.folder / name).read_text())["eos_token_id"] == list(ENDS)
        assert json.loads((artefact.folder / "genai_config.json").read_text())["model"]["eos_token_id"] == list(ENDS)
    else:
        from executorch.extension.pybindings.portable_lib import _load_for_executorch

        assert tuple(_load_for_executorch(str(artefact.model_path)).run_method("get_eos_ids", ())) == ENDS
    assert artefact.manifest.source.end_tokens == ("<|im_end|>", "<|endoftext|>", "<file_sep>")


@pytest.mark.parametrize("end", ENDS)
def test_chat_stops_at_each_of_them(artefact: Artefact, end: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([40, 41, end, 42])
    monkeypatch.setattr("smolship.workflows.chat.draw", lambda *_: next(drawn))
    pieces = list(Chat(artefact, 1, Sampling()).answer([{"role": "user", "content": "Hi"}], 10))
    assert len(pieces) == 2


def test_more_ends_than_a_gguf_names_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0, 5, 6]}))
    with pytest.raises(InputError, match="ends an answer at 4 tokens and GGUF files have room for 3"):
        build(open_checkpoint(str(folder)), tmp_path / "out", Order(("q8",), ("gguf",)))
    assert not (tmp_path / "out").exists()
