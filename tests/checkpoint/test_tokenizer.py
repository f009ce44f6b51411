"""The tokenizer, held against llama.cpp's and transformers' own."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import SPECIALS, write_tiny_checkpoint
from varied_strings import varied_strings

from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError

CHATS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "system", "content": "Answer in rhyme."}, {"role": "user", "content": "Hi"}],
    [
        {"role": "user", "content": " spaces kept "},
        {"role": "assistant", "content": "Yes.\n\nTwo lines."},
        {"role": "user", "content": "{{ not a template }} {% raw %} <b>&amp;</b> 'quotes' \"too\""},
    ],
    [{"role": "user", "content": ""}],
]


def loaded_by_transformers(checkpoint: Checkpoint, folder: Path) -> Any:
    """AutoTokenizer on the files as they ship."""
    from transformers import AutoTokenizer

    for name, data in checkpoint.tokenizer.files().items():
        (folder / name).write_bytes(data)
    return AutoTokenizer.from_pretrained(folder)


def assert_same_as_transformers(checkpoint: Checkpoint, folder: Path) -> None:
    tokenizer, theirs = checkpoint.tokenizer, loaded_by_transformers(checkpoint, folder)
    assert set(theirs("what generate() takes")) == {"input_ids", "attention_mask"}
    for text in varied_strings():
        ids = tokenizer.encode(text)
        assert theirs(text)["input_ids"] == ids, repr(text)
        assert theirs.decode(ids) == tokenizer.decode(ids)
    for chat in CHATS:
        for prompt in (True, False):
            expected = theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=prompt)
            assert tokenizer.render_chat(chat, add_generation_prompt=prompt) == expected
    assert theirs.eos_token_id == checkpoint.architecture.eos_id
    assert theirs.bos_token_id == checkpoint.architecture.bos_id
    assert theirs.pad_token_id == checkpoint.architecture.pad_id
    assert set(theirs.all_special_ids) == tokenizer.special_ids()
    assert len(theirs) == checkpoint.architecture.vocabulary


def test_strings_are_many_and_varied() -> None:
    assert len(varied_strings()) >= 500


def test_decoding_gives_the_text_back(tiny_checkpoint: Checkpoint) -> None:
    tokenizer = tiny_checkpoint.tokenizer
    for text in varied_strings():
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_nothing_is_added_and_digits_stand_alone(tiny_checkpoint: Checkpoint) -> None:
    tokenizer = tiny_checkpoint.tokenizer
    assert tokenizer.encode("") == []
    tokens = tokenizer.vocabulary()
    assert [tokens[i] for i in tokenizer.encode("the 2024<|im_end|>")] == [
        *("t", "he", "Ġ", "2", "0", "2", "4", "<|im_end|>")
    ]
    assert tokenizer.special_ids() == frozenset(range(len(SPECIALS)))
    assert tokenizer.merges()[0] == "Ġ t"


def test_transformers_loads_the_shipped_files(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert_same_as_transformers(tiny_checkpoint, tmp_path)


def test_shipped_files_are_the_same_bytes_and_open_again(tiny_folder: Path, tmp_path: Path) -> None:
    files = open_checkpoint(str(tiny_folder)).tokenizer.files()
    assert files == open_checkpoint(str(tiny_folder)).tokenizer.files()
    assert json.loads(files["tokenizer.json"])["normalizer"] is None
    assert json.loads(files["tokenizer.json"])["post_processor"] is None
    write_tiny_checkpoint(tmp_path)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert open_checkpoint(str(tmp_path)).tokenizer.files() == files


def test_chat_template_in_its_own_file_wins(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[-1].content | tojson }}{{ eos_token }}")
    tokenizer = open_checkpoint(str(tmp_path)).tokenizer
    assert tokenizer.render_chat([{"role": "user", "content": "é"}]) == '<|im_start|>"é"<|im_end|>'


def test_named_templates_give_their_default(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path, instruct=False)
    templates = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    assert open_checkpoint(str(tmp_path)).tokenizer.render_chat([]) == "D"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% if %}", "Expected an expression"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
    ],
)
def test_a_template_that_cannot_render_is_bad_input(tmp_path: Path, template: str, reason: str) -> None:
    write_tiny_checkpoint(tmp_path)
    (tmp_path / "chat_template.jinja").write_text(template)
    tokenizer = open_checkpoint(str(tmp_path)).tokenizer
    with pytest.raises(InputError, match=reason):
        tokenizer.render_chat([{"role": "user", "content": "Hi"}])


def test_a_base_model_does_not_chat(tmp_path: Path) -> None:
    tokenizer = open_checkpoint(str(write_tiny_checkpoint(tmp_path, instruct=False))).tokenizer
    with pytest.raises(InputError, match="no chat template"):
        tokenizer.render_chat(CHATS[0])


@pytest.mark.real
def test_ids_are_those_of_llama_cpp(embedded_checkpoint: Checkpoint) -> None:
    from llama_cpp import Llama

    from smolship.checkpoint.embedded import embedded_path

    oracle = Llama(str(embedded_path()), vocab_only=True, verbose=False)
    tokenizer = embedded_checkpoint.tokenizer
    for text in varied_strings():
        ids = tokenizer.encode(text)
        assert ids == oracle.tokenize(text.encode(), add_bos=False, special=True), repr(text)
        assert tokenizer.decode(ids) == text
    oracle.close()


@pytest.mark.real
def test_bytes_without_a_token_are_dropped_as_by_llama_cpp(embedded_checkpoint: Checkpoint) -> None:
    from llama_cpp import Llama

    from smolship.checkpoint.embedded import embedded_path

    oracle = Llama(str(embedded_path()), vocab_only=True, verbose=False)
    text = "a\x04b\x06\x13\x14 \x16\x1d1"
    ids = embedded_checkpoint.tokenizer.encode(text)
    assert ids == oracle.tokenize(text.encode(), add_bos=False, special=True)
    assert embedded_checkpoint.tokenizer.decode(ids) == "ab 1"
    oracle.close()


@pytest.mark.real
def test_transformers_loads_the_real_shipped_files(embedded_checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert_same_as_transformers(embedded_checkpoint, tmp_path)
