"""Facts that two places can state: which token ends an answer, begins a text, pads it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import SPECIALS, write_tiny_checkpoint
from tiny_gguf import write_tiny_gguf

from smolship.checkpoint import Checkpoint, open_checkpoint

CONFIG, GENERATION, SETTINGS = "config.json", "generation_config.json", "tokenizer_config.json"
END, TURN = 0, 2
NO_TURN_END = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def opened(folder: Path, *, instruct: bool = True, **changes: Any) -> Checkpoint:
    """A tiny checkpoint with entries of its JSON files replaced; `...` removes one."""
    write_tiny_checkpoint(folder, instruct=instruct)
    if "special_tokens_map" not in changes:  # transformers 4's own copy of the same roles
        (folder / "special_tokens_map.json").unlink()
    for name, entries in changes.items():
        path = folder / f"{name}.json"
        kept = json.loads(path.read_text()) | entries
        path.write_text(json.dumps({key: value for key, value in kept.items() if value is not ...}))
    return open_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("config", "generation", "token", "template", "ends", "told"),
    [
        # agreed
        (TURN, TURN, "<|im_end|>", None, (TURN,), ()),
        (TURN, [TURN], {"content": "<|im_end|>"}, None, (TURN,), ()),
        (TURN, ..., "<|im_end|>", None, (TURN,), ()),
        (..., TURN, ..., None, (TURN,), ()),
        # several, all of them kept, the turn's end first
        (TURN, [END, TURN], "<|im_end|>", None, (TURN, END), ()),
        (TURN, [END, 1], "<|im_end|>", None, (TURN, END, 1), ("tokenizer_config.json at <|im_end|>",)),
        # only the tokenizer knows
        (END, END, "<|im_end|>", None, (TURN, END), ("tokenizer_config.json at <|im_end|>",)),
        (END, END, "<|im_end|>", NO_TURN_END, (END, TURN), ("tokenizer_config.json at <|im_end|>",)),
        (..., ..., "<|im_end|>", None, (TURN,), ()),
        # only the template knows
        (END, END, "<|endoftext|>", None, (TURN, END), ("the chat template at <|im_end|>",)),
        # the two configs differ: transformers' generate takes the generation config
        (5, TURN, "<|im_end|>", None, (TURN,), ("config.json ends an answer at <file_sep>, generation_config.json",)),
        (TURN, END, "<|im_end|>", None, (TURN, END), ("tokenizer_config.json at <|im_end|>",)),
        # a name that is no token
        (TURN, TURN, "<|eot|>", None, (TURN,), ("eos_token '<|eot|>', which is no token",)),
    ],
)
def test_an_answer_ends_wherever_a_place_says_so_and_differences_are_told(
    tmp_path: Path,
    config: Any,
    generation: Any,
    token: Any,
    template: str | None,
    ends: tuple[int, ...],
    told: tuple[str, ...],
) -> None:
    settings = {"eos_token": token} | ({} if template is None else {"chat_template": template})
    checkpoint = opened(
        tmp_path / "tiny",
        config={"eos_token_id": config},
        generation_config={"eos_token_id": generation},
        tokenizer_config=settings,
    )
    assert checkpoint.architecture.end_ids == ends
    notes = [note for note in checkpoint.notes if "Modelfile" not in note]
    assert len(notes) == len(told)
    for note, part in zip(notes, told, strict=True):
        assert part in note


def test_a_base_model_ends_where_its_config_says(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path / "tiny", instruct=False, generation_config={"eos_token_id": [END, TURN]})
    assert checkpoint.architecture.end_ids == (END, TURN)
    assert checkpoint.tokenizer.roles["eos_token"] == "<|endoftext|>"


TOLD: dict[str, dict[str, dict[str, Any]]] = {
    "named": {"tokenizer_config": {"bos_token": "<repo_name>", "eos_token": "<file_sep>"}},
    "denied": {"tokenizer_config": {"bos_token": None}},
    "an older file wins": {"special_tokens_map": {"eos_token": "<filename>"}},
    "an older file loses": {
        "special_tokens_map": {"eos_token": "<filename>"},
        "tokenizer_config": {"added_tokens_decoder": {"2": {"content": "<|im_end|>", "special": True}}},
    },
}


@pytest.mark.parametrize("case", TOLD)
def test_chat_templates_are_given_the_tokenizers_own_roles(tmp_path: Path, case: str) -> None:
    """As by transformers, whatever the configs number."""
    from transformers import AutoTokenizer

    template = "{{ bos_token }}{{ messages[0]['content'] }}{{ eos_token }}"
    changes: dict[str, Any] = {name: dict(entries) for name, entries in TOLD[case].items()}
    changes["tokenizer_config"] = changes.get("tokenizer_config", {}) | {"chat_template": template}
    checkpoint = opened(tmp_path / "tiny", **changes)
    chat = [{"role": "user", "content": "Hi"}]
    theirs = AutoTokenizer.from_pretrained(tmp_path / "tiny").apply_chat_template(chat, tokenize=False)
    assert checkpoint.tokenizer.render_chat(chat) == theirs
    if "older" in case:
        assert "special_tokens_map.json has eos_token '<filename>'" in checkpoint.notes[0]


@pytest.mark.parametrize("value", [None, ...])
def test_no_beginning_is_needed(tmp_path: Path, value: Any) -> None:
    ids = {"bos_token_id": value}
    checkpoint = opened(tmp_path / "tiny", config=ids, generation_config=ids, tokenizer_config={"bos_token": None})
    assert checkpoint.architecture.bos_id == TURN
    assert "bos_token" not in checkpoint.tokenizer.roles
    assert checkpoint.notes == (
        "no place names a token that begins a text: <|im_end|> stands for it, and nothing writes it",
    )


def test_a_beginning_that_is_numbered_and_named_differently_is_told(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path / "tiny", config={"bos_token_id": 0}, generation_config={"bos_token_id": 0})
    assert SPECIALS[checkpoint.architecture.bos_id] == "<|im_start|>"
    assert (
        "config.json begins a text with <|endoftext|>, tokenizer_config.json with <|im_start|>" in checkpoint.notes[0]
    )


def test_a_padding_id_of_minus_one_is_none(tmp_path: Path) -> None:
    checkpoint = opened(
        tmp_path / "tiny",
        config={"pad_token_id": -1},
        generation_config={"pad_token_id": None},
        tokenizer_config={"pad_token": None},
    )
    assert checkpoint.architecture.pad_id == TURN


def test_a_gguf_ends_where_llama_cpp_does_and_where_its_template_does(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", tokenizer__ggml__eos_token_id=0, tokenizer__ggml__eot_token_id=5)
    checkpoint = open_checkpoint(str(path))
    assert checkpoint.architecture.end_ids == (TURN, 0, 5)
    assert "the chat template at <|im_end|>" in checkpoint.notes[0]


def test_a_gguf_needs_no_beginning_either(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", tokenizer__ggml__bos_token_id=None)
    assert open_checkpoint(str(path)).architecture.bos_id == TURN


def test_what_generate_does_of_its_own_is_told(tmp_path: Path) -> None:
    asked = {"repetition_penalty": 1.2, "suppress_tokens": [5], "no_repeat_ngram_size": 0, "temperature": 0.7}
    (note,) = opened(tmp_path / "tiny", generation_config=asked).notes
    assert "has repetition_penalty 1.2, suppress_tokens [5], which change what transformers generates" in note
