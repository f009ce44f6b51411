"""GGUF files: llama.cpp reads the logits, metadata and tokens that were meant; building again gives the same bytes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader, LlamaFileType
from numpy.typing import NDArray
from tiny import write_tiny_checkpoint

from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError
from smolship.export import gguf
from smolship.export.ollama import modelfile
from smolship.quantize import QuantizedModel, Recipe, quantize
from smolship.quantize.formats import FORMAT_GRIDS
from smolship.reference import Reference
from smolship.runtime_checks.probe.backend_gguf import Backend

CONTEXT = 256
TEXT = "The harbour light turned 1234 times, and nobody counted: <|im_start|> naïve — 漢字 🚢\n\n\tend"


def dequantised(model: QuantizedModel) -> Reference:
    """The torch forward over the very weights that the file should hold."""
    weights = {name: torch.from_numpy(model.blocks(name, "gguf").dequantize()) for name in model.matrices()}
    weights |= {name: torch.from_numpy(model.floats(name)) for name in model.vectors()}
    return Reference(model.checkpoint.architecture, weights)


@pytest.fixture(scope="module", params=["q8", "q4", "q4-e8", "q4_0"])
def packed(request: pytest.FixtureRequest, tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]  # noqa: ANN201
    model = quantize(tiny_checkpoint, request.param, ("gguf",))
    folder = tmp_path_factory.mktemp(request.param)
    gguf.pack(model, folder, CONTEXT)
    return model, folder


def assert_same_logits(model: QuantizedModel, folder: Path) -> None:
    """llama.cpp gives the logits of the dequantised weights."""
    tokens = model.checkpoint.tokenizer.encode(TEXT)
    backend = Backend(str(folder), CONTEXT, 1)
    got: NDArray[np.float32] = np.concatenate(list(backend.window(tokens)))
    wanted = dequantised(model).logits(tokens).numpy()
    # llama.cpp rounds activations to 8 bits in blocks of 32; a wrong row order or scale would be off by whole logits.
    assert np.abs(got - wanted).mean() < 0.05 * wanted.std()
    assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.998


def test_llama_cpp_gives_the_logits_of_the_dequantised_weights(packed: tuple[QuantizedModel, Path]) -> None:
    assert_same_logits(*packed)


def test_the_integers_come_back_from_the_file(packed: tuple[QuantizedModel, Path]) -> None:
    model, folder = packed
    back = gguf.unpack(folder)
    assert set(back) == set(model.matrices())
    for name, blocks in back.items():
        assert blocks.same_as(model.blocks(name, "gguf"))


@pytest.fixture(scope="module")
def wide_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A tiny model whose every row is 256 weights, as super-blocks need."""
    folder = tmp_path_factory.mktemp("wide") / "wide"
    write_tiny_checkpoint(folder, hidden_size=256, intermediate_size=256, num_hidden_layers=1)
    return open_checkpoint(str(folder))


@pytest.mark.parametrize("width", FORMAT_GRIDS["gguf"])
def test_every_width_loads_and_answers_in_llama_cpp(wide_checkpoint: Checkpoint, width: str, tmp_path: Path) -> None:
    model = QuantizedModel(wide_checkpoint, Recipe(width, width, width, "nearest", ""))
    gguf.pack(model, tmp_path, CONTEXT)
    assert_same_logits(model, tmp_path)
    again = open_checkpoint(str(tmp_path / "model.gguf"))
    sizes = 0
    for name, blocks in gguf.unpack(tmp_path).items():
        meant = model.blocks(name, "gguf")
        assert blocks.same_as(meant)
        np.testing.assert_array_equal(again.tensors.read(name), meant.dequantize())
        sizes += blocks.codes.size
    bits = model.grid(model.matrices()[0], "gguf").bits_per_weight(256)
    floats = sum(4 * model.floats(name).size for name in model.vectors())
    stored = sum(int(t.n_bytes) for t in GGUFReader(tmp_path / "model.gguf").tensors)
    assert stored == sizes * bits / 8 + floats


def test_the_file_type_is_what_most_weights_of_the_layers_are(wide_checkpoint: Checkpoint, tmp_path: Path) -> None:
    gguf.pack(QuantizedModel(wide_checkpoint, Recipe("mixed", "q5_k", "int8", "nearest", "")), tmp_path, CONTEXT)
    reader = GGUFReader(tmp_path / "model.gguf")
    assert {tensor.tensor_type.name for tensor in reader.tensors} == {"F32", "Q5_K", "Q8_0"}
    field = reader.get_field("general.file_type")
    assert field is not None
    assert LlamaFileType(field.contents()) is LlamaFileType.MOSTLY_Q5_K_S


def test_super_blocks_on_narrow_rows_are_refused_by_tensor(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = QuantizedModel(tiny_checkpoint, Recipe("q6_k", "q6_k", "int8", "nearest", ""))
    with pytest.raises(InputError, match=r"q_proj\.weight: rows of 64 .* super-blocks of 256 that grid q6_k needs"):
        gguf.pack(model, tmp_path, CONTEXT)
    assert list(tmp_path.iterdir()) == []


def test_the_same_model_gives_the_same_bytes(packed: tuple[QuantizedModel, Path], tmp_path: Path) -> None:
    model, folder = packed
    gguf.pack(quantize(model.checkpoint, model.recipe.name, ("gguf",)), tmp_path, CONTEXT)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_the_file_is_a_checkpoint_with_the_same_config_and_tokens(packed: tuple[QuantizedModel, Path]) -> None:
    model, folder = packed
    again = open_checkpoint(str(folder / "model.gguf"))
    assert again.name == model.checkpoint.name
    assert again.architecture.shapes() == model.checkpoint.architecture.shapes()
    assert again.architecture.rope_theta == model.checkpoint.architecture.rope_theta
    assert again.architecture.eos_id == model.checkpoint.architecture.eos_id
    assert again.architecture.max_positions == CONTEXT
    assert again.tokenizer.encode(TEXT) == model.checkpoint.tokenizer.encode(TEXT)
    assert again.tokenizer.chat_template == model.checkpoint.tokenizer.chat_template


def test_llama_cpp_tokenises_as_the_checkpoint_does(packed: tuple[QuantizedModel, Path]) -> None:
    model, folder = packed
    backend = Backend(str(folder), CONTEXT, 1)
    assert backend.tokenize(TEXT) == model.checkpoint.tokenizer.encode(TEXT)


def test_llama_cpp_finds_added_tokens_that_are_not_special(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tool", vocab_size=321)
    definition = json.loads((folder / "tokenizer.json").read_text())
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    definition["added_tokens"].append({"id": 320, "content": "<tool é>", **flags})
    (folder / "tokenizer.json").write_text(json.dumps(definition))
    checkpoint = open_checkpoint(str(folder))
    gguf.pack(quantize(checkpoint, "q8", ("gguf",)), tmp_path, CONTEXT)
    backend = Backend(str(tmp_path), CONTEXT, 1)
    text = "<|im_start|>the <tool é>1<tool é> sea<|im_end|>"
    ids = checkpoint.tokenizer.encode(text)
    assert ids.count(320) == 2
    assert backend.tokenize(text) == ids
    assert backend.detokenize(ids) == text.encode()
    again = open_checkpoint(str(tmp_path / "model.gguf")).tokenizer
    assert again.added == checkpoint.tokenizer.added
    assert again.roles == checkpoint.tokenizer.roles


CHATS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "Hello"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
    [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "3"}],
    [{"role": "system", "content": ""}, {"role": "user", "content": "empty system"}],
    [{"role": "user", "content": ""}],
    [{"role": "user", "content": "two\nlines\n"}],
    [{"role": "user", "content": " spaces around "}],
    [{"role": "user", "content": "{{ .Role }} and {% raw %}"}],
    [
        {"role": "user", "content": "naïve 漢字 🚢"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "<b>&"},
    ],
    [
        {"role": "system", "content": "s"},
        *[{"role": r, "content": r} for r in ("user", "assistant", "user", "assistant", "user")],
    ],
]


def run_go_template(template: str, messages: list[dict[str, str]]) -> str:
    """The part of Go's text/template that `go_template` writes: one range over the messages, one if inside it.

    Checked against Go's own text/template (1.19) on these chats.
    """
    head, body_and_tail = template.split("{{ range $i, $_ := .Messages }}")
    body, _, tail = body_and_tail.rpartition("{{ end }}")
    condition = '{{ if and (eq $i 0) (ne .Role "system") }}'
    before, _, rest = body.partition(condition)
    default, _, turn = rest.partition("{{ end }}")
    parts = [head]
    for index, message in enumerate(messages):
        parts.append(before + (default if index == 0 and message["role"] != "system" else ""))
        role, _, after = turn.partition("{{ .Role }}")
        middle, _, end = after.partition("{{ .Content }}")
        parts += [role, message["role"], middle, message["content"], end]
    return "".join(parts) + tail


@pytest.mark.parametrize("messages", CHATS, ids=range(len(CHATS)))
def test_the_modelfile_template_renders_as_the_jinja_one(
    tiny_checkpoint: Checkpoint, messages: list[dict[str, str]]
) -> None:
    text = modelfile(tiny_checkpoint, "model.gguf", CONTEXT)
    template = text.split('TEMPLATE """')[1].split('"""')[0]
    assert run_go_template(template, messages) == tiny_checkpoint.tokenizer.render_chat(messages)


def test_the_modelfile_names_the_file_the_context_and_the_stop(tiny_checkpoint: Checkpoint) -> None:
    lines = modelfile(tiny_checkpoint, "model.gguf", CONTEXT).splitlines()
    assert lines[:2] == ["FROM ./model.gguf", "PARAMETER num_ctx 256"]
    assert lines[-1] == 'PARAMETER stop "<|im_end|>"'


TURNS = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
PROMPT = "{{ '<|im_start|>assistant\n' }}"


def chatml_after(beginning: str) -> str:
    """ChatML in Jinja, with something before a conversation that has no system message."""
    return "{% if messages[0].role != 'system' %}" + beginning + "{% endif %}" + TURNS + PROMPT


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (chatml_after("It is {{ strftime_now('%d %B %Y') }}."), "tells the time"),
        (chatml_after("{{ 'Merry Christmas!' if strftime_now('%m') == '12' }}"), "tells the time"),
        ("{% if messages[0].role == 'system' %}{{ raise_exception('none') }}{% endif %}" + TURNS + PROMPT, "(none)"),
        (TURNS.replace("im_start", "turn") + PROMPT, "is not ChatML"),
        (TURNS + "Now:", "is not ChatML"),
        (chatml_after("{{ '{{ .System }}' }}"), "has {{ in its system message"),
        (chatml_after("Say " + '"' * 3), "in its system message"),
    ],
)
def test_what_go_cannot_say_is_left_out_of_the_modelfile_and_said(
    tiny_checkpoint: Checkpoint, template: str, reason: str
) -> None:
    tokenizer = replace(tiny_checkpoint.tokenizer, chat_template=template)
    text = modelfile(replace(tiny_checkpoint, tokenizer=tokenizer), "model.gguf", CONTEXT)
    assert '\nTEMPLATE "' not in text
    (line,) = [line for line in text.splitlines() if line.startswith("# No TEMPLATE: ")]
    assert reason in line


def test_a_template_that_renders_nothing_is_a_base_models_in_the_modelfile(tiny_checkpoint: Checkpoint) -> None:
    broken = replace(tiny_checkpoint, tokenizer=replace(tiny_checkpoint.tokenizer, chat_template="{% if %}"))
    assert 'TEMPLATE """{{ .Prompt }}"""' in modelfile(broken, "model.gguf", CONTEXT)


def test_a_base_model_gets_the_bare_prompt(tmp_path: Path) -> None:
    base = open_checkpoint(str(write_tiny_checkpoint(tmp_path / "base", instruct=False)))
    assert 'TEMPLATE """{{ .Prompt }}"""' in modelfile(base, "model.gguf", CONTEXT)
