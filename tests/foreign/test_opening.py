"""What can be checked is recognised by what is there; what is not, or could be several things, is refused by name."""

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from other_tools import beside, quantised_by_llama_cpp
from tiny import write_tiny_checkpoint
from tiny_genai import write_tiny_genai
from tiny_gguf import write_tiny_gguf

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError
from smolship.foreign import ForeignFile, open_artefact
from smolship.foreign.pte_header import read_constants


def opened(path: Path, context: int | None = None) -> ForeignFile:
    found = open_artefact(path, context)
    assert isinstance(found, ForeignFile)
    return found


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF by llama.cpp's quantiser, alone in its folder."""
    return quantised_by_llama_cpp(tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def genai(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ONNX Runtime GenAI."""
    return write_tiny_genai(tmp_path_factory.mktemp("genai") / "tiny-int4")


@pytest.fixture
def genai_copy(genai: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(genai, tmp_path / "tiny-int4"))


def test_an_artefact_of_ours_is_one(tiny_artefact: Artefact) -> None:
    found = open_artefact(tiny_artefact.folder)
    assert found == tiny_artefact
    assert isinstance(found, Artefact)
    assert found.is_ours
    assert found.made_by == "smolship"
    with pytest.raises(InputError, match=r"lies in an artefact of smolship: give the folder"):
        open_artefact(tiny_artefact.model_path)
    with pytest.raises(InputError, match=r"built for a context of 1024 tokens and --context says 512"):
        open_artefact(tiny_artefact.folder, 512)


def test_a_gguf_is_described_from_its_header(gguf: Path, tiny_checkpoint: Checkpoint) -> None:
    artefact = opened(gguf).bound_to(tiny_checkpoint)
    assert not artefact.is_ours
    assert (artefact.name, artefact.manifest.format) == ("tiny.Q8_0", "gguf")
    assert [file.path for file in artefact.manifest.files] == ["tiny.Q8_0.gguf"]
    assert artefact.model_bytes == gguf.stat().st_size
    assert artefact.parameters == tiny_checkpoint.architecture.parameters
    assert artefact.manifest.source.sha256 == tiny_checkpoint.source.sha256
    lines = {line.tensor: line for line in artefact.manifest.coverage}
    assert {name: line.shape for name, line in lines.items()} == tiny_checkpoint.architecture.shapes()
    assert {line.grid for name, line in lines.items() if len(line.shape) == 2} == {"Q8_0"}
    assert lines["model.norm.weight"].grid == "float32"
    assert lines["model.norm.weight"].relative_error is None
    assert 8.5 < artefact.manifest.bits_per_weight < 9
    assert opened(gguf.parent).model_file == gguf.name


def test_the_context_is_what_the_file_takes_at_most_2048(gguf: Path) -> None:
    assert opened(gguf).context == 2048
    assert opened(gguf).notes == ("it was checked with a context of 2048 tokens; the file takes 8192",)
    assert opened(gguf, 8192).notes == ()
    with pytest.raises(InputError, match=r"takes 8192 tokens and --context asks for 8193"):
        open_artefact(gguf, 8193)


def test_a_folder_of_genai_is_described(genai: Path, tiny_checkpoint: Checkpoint) -> None:
    artefact = opened(genai).bound_to(tiny_checkpoint)
    assert (artefact.name, artefact.made_by) == ("tiny-int4", "ONNX Runtime GenAI")
    assert artefact.manifest.versions == {"tests": "1"}
    files = ["model.onnx", "model.onnx.data", "genai_config.json", "tokenizer.json", "tokenizer_config.json"]
    assert [file.path for file in artefact.manifest.files] == files
    assert artefact.model_bytes == sum((genai / name).stat().st_size for name in files[:2])
    assert artefact.manifest.context == 256
    lines = {line.tensor: (line.shape, line.grid) for line in artefact.manifest.coverage}
    assert lines == {  # the tables of angles are no weights
        "embed.weight": ((320, 64), "float32"),
        "qkv.weight": ((64, 128), "float32"),
        "head.weight": ((64, 320), "float32"),
    }
    assert opened(genai / "model.onnx") == opened(genai)


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("model.onnx.data", None, r"model\.onnx needs model\.onnx\.data, which is not in"),
        ("model.onnx.data", b"short", r"model\.onnx\.data is cut short: model\.onnx wants \d+ bytes, it has 5"),
        ("model.onnx", b"\xff\xff\xff", "is no ONNX model, or is cut short"),
        ("model.onnx", None, r"needs model\.onnx, which is not in"),
        ("tokenizer.json", None, r"model\.onnx has no tokenizer\.json beside it"),
        ("genai_config.json", b"{", "malformed JSON"),
        ("genai_config.json", b'{"model": {"decoder": {"pipeline": []}}}', "has filename None, wanted a decoder"),
        ("genai_config.json", None, r"model\.onnx has neither genai_config\.json nor config\.json beside it"),
    ],
)
def test_a_part_that_is_missing_or_damaged_is_named(
    genai_copy: Path, file: str, damage: bytes | None, words: str
) -> None:
    (genai_copy / file).unlink()
    if damage is not None:
        (genai_copy / file).write_bytes(damage)
    with pytest.raises(InputError, match=words):
        open_artefact(genai_copy)


def test_external_data_outside_of_the_folder_is_refused(genai_copy: Path) -> None:
    model = onnx.load(genai_copy / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../secret"
    (genai_copy / "model.onnx").write_bytes(model.SerializeToString())
    (genai_copy.parent / "secret").write_bytes(bytes(1_000_000))
    with pytest.raises(InputError, match=r"needs \.\./secret, which is not in"):
        open_artefact(genai_copy)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("position", "use_cache_branch", "merged decoder, which has two graphs"),
        ("position", "num_logits_to_keep", "takes num_logits_to_keep, which nobody here knows what to give for"),
        ("input_ids", "inputs_embeds", r"takes no input_ids and past_key_values"),
        ("logits", "hidden", "no output called logits"),
    ],
)
def test_a_graph_that_the_probe_could_not_run_is_refused(genai_copy: Path, old: str, new: str, words: str) -> None:
    model = onnx.load(genai_copy / "model.onnx", load_external_data=False)
    graph = model.graph
    graph.input.append(onnx.helper.make_tensor_value_info("position", onnx.TensorProto.INT64, [1]))
    for value in (*graph.input, *graph.output):
        value.name = new if value.name == old else value.name
    del graph.input[-1 if old != "position" else len(graph.input) :]
    (genai_copy / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=words):
        open_artefact(genai_copy)


def test_several_models_are_listed(gguf: Path, genai: Path, tmp_path: Path) -> None:
    two = beside(tmp_path / "two", gguf)
    shutil.copy(gguf, two / "other.gguf")
    with pytest.raises(InputError, match=r"holds 2 models, other\.gguf, tiny\.Q8_0\.gguf: name the file"):
        open_artefact(two)
    assert opened(two / "other.gguf").name == "other"
    web = tmp_path / "web"  # as transformers.js wants it
    beside(web, genai / "tokenizer.json")
    beside(web / "onnx", genai / "model.onnx", genai / "model.onnx.data")
    shutil.copy(web / "onnx" / "model.onnx", web / "onnx" / "model_q4.onnx")
    with pytest.raises(InputError, match=r"holds 2 models, onnx/model\.onnx, onnx/model_q4\.onnx: name the file"):
        open_artefact(web)


def test_a_variant_in_a_folder_called_onnx_finds_the_configuration_above_it(
    genai: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    web = beside(tmp_path / "web", tiny_folder / "config.json", tiny_folder / "tokenizer.json")
    beside(web / "onnx", genai / "model.onnx", genai / "model.onnx.data")
    (web / "onnx" / "model.onnx").rename(web / "onnx" / "model_q4.onnx")
    found = opened(web)
    assert (found.name, found.folder, found.model_file) == ("web-model_q4", web, "onnx/model_q4.onnx")
    assert found.data_files == ("onnx/model.onnx.data",)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.txt", b"hello", r"notes\.txt is nothing that can be checked: wanted a folder that `smolship build`"),
        ("x.gguf", b"hello", "is not a GGUF file"),
        ("x.pte", b"hello", "is no ExecuTorch program"),
        ("x.pte", b"\x08\x00\x00\x00ET12" + bytes(8), "is broken off|has no method forward"),
        ("x.onnx", b"hello", r"neither genai_config\.json nor config\.json"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        open_artefact(tmp_path / name)


def test_nothing_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no .*nowhere: wanted a folder"):
        open_artefact(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds nothing that can be checked: wanted a folder"):
        open_artefact(tmp_path)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [({"split__count": 3}, "is part 1 of 3: join them"), ({"general__architecture": "gpt2"}, "architecture 'gpt2'")],
)
def test_a_gguf_of_another_kind_is_refused(tmp_path: Path, metadata: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_artefact(write_tiny_gguf(tmp_path / "x.gguf", **metadata))


def test_a_gguf_that_is_cut_short_is_refused(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(gguf.read_bytes()[:-40_000])
    with pytest.raises(InputError, match=r"x\.gguf is cut short: .* ends at byte \d+, the file has \d+"):
        open_artefact(tmp_path / "x.gguf")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 3}, "number of layers of 2, and other has 3"),
        ({"intermediate_size": 192}, "intermediate size of 128, and other has 192"),
        ({"num_key_value_heads": 4}, "number of key-value heads of 2, and other has 4"),
    ],
)
def test_a_checkpoint_of_other_shapes_is_named(gguf: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    other = open_checkpoint(str(write_tiny_checkpoint(tmp_path / "other", **changes)))
    with pytest.raises(InputError, match=rf"tiny\.Q8_0 is a model with an? {words}: give the checkpoint"):
        opened(gguf).bound_to(other)


def test_a_genai_config_of_other_shapes_is_named(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    folder = write_tiny_genai(tmp_path / "g", vocab_size=49152)
    with pytest.raises(InputError, match="g is a model with a vocabulary of 49152, and TinyLM2-Instruct has 320"):
        opened(folder).bound_to(tiny_checkpoint)


def test_every_beginning_of_a_program_is_refused_in_a_sentence(program: Path, tmp_path: Path) -> None:
    data = program.read_bytes()
    assert read_constants(program)["get_max_seq_len"] == 640
    for size in (8, 9, 40, 64, 200, 500):
        (tmp_path / "x.pte").write_bytes(data[:size])
        with pytest.raises(InputError, match=r"broken off|has no method forward"):
            read_constants(tmp_path / "x.pte")


def test_a_program_needs_its_tokenizer_beside_it(program: Path, tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    found = opened(program)
    assert (found.name, found.context, dict(found.shapes)) == ("program", 640, {"vocabulary": 320})
    artefact = found.bound_to(tiny_checkpoint)
    assert artefact.manifest.coverage == ()
    assert artefact.manifest.bits_per_weight == program.stat().st_size * 8 / artefact.parameters
    assert artefact.foreign is not None
    assert "the grids of a .pte made elsewhere are not read" in artefact.foreign.notes[0]
    shutil.copy(program, tmp_path)
    with pytest.raises(InputError, match=r"program\.pte has no tokenizer\.json beside it"):
        open_artefact(tmp_path)


def test_a_manifest_that_is_never_written_can_be(gguf: Path, tiny_checkpoint: Checkpoint) -> None:
    """The records of a check are JSON whoever made the file."""
    manifest = opened(gguf).bound_to(tiny_checkpoint).manifest
    assert type(manifest).model_validate_json(json.dumps(manifest.model_dump(mode="json"))) == manifest
