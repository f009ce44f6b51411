"""Head and embedding: what a config says of them against what the weights hold, in folders, shards and GGUF files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import tiny_config, tiny_weights, write_safetensors, write_tiny_checkpoint
from tiny_gguf import write_tiny_gguf

from smolship.checkpoint import EMBEDDING, HEAD, Checkpoint, open_checkpoint, open_outline
from smolship.checkpoint import head as module
from smolship.checkpoint.head import Matrix
from smolship.errors import InputError
from smolship.reference import Reference

WEIGHTS = tiny_weights(tiny_config(tie_word_embeddings=False))
SAME, OTHER = WEIGHTS[EMBEDDING], WEIGHTS[HEAD]
NEARLY = SAME.copy()
NEARLY[-1, -1] = np.nextafter(NEARLY[-1, -1], np.float32(1))
INDEX = "model.safetensors.index.json"


def folder_of(folder: Path, said: object, head: NDArray[np.float32] | None, shards: int = 1, **more: Any) -> Path:
    """A tiny checkpoint whose config says `said` (`...`: nothing) and whose weights hold that head."""
    write_tiny_checkpoint(folder, tie_word_embeddings=False, shards=shards, **more)
    config = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": said}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))
    if shards == 1:
        write_safetensors(folder / "model.safetensors", {**WEIGHTS, HEAD: head} if head is not None else tied())
        return folder
    index = json.loads((folder / INDEX).read_text())["weight_map"]
    for file in set(index.values()):
        names = [name for name, where in index.items() if where == file and (name != HEAD or head is not None)]
        write_safetensors(folder / file, {name: head if name == HEAD else WEIGHTS[name] for name in names})  # type: ignore[misc]
    index = {name: file for name, file in index.items() if name != HEAD or head is not None}
    (folder / INDEX).write_text(json.dumps({"weight_map": index}))
    return folder


def tied() -> dict[str, NDArray[np.float32]]:
    return {name: weight for name, weight in WEIGHTS.items() if name != HEAD}


TIED_SAID = "config.json says tie_word_embeddings true, but lm_head.weight differs from model.embed_tokens.weight"
UNTIED_SAID = "config.json does not say tie_word_embeddings true, but lm_head.weight holds the same numbers"
DECIDED: dict[str, tuple[object, NDArray[np.float32] | None, bool, str]] = {
    # what the config says, the head that is there, whether it is tied then, how the note begins
    "tied, no head": (True, None, True, ""),
    "tied, the same": (True, SAME, True, ""),
    "tied, another": (True, OTHER, False, TIED_SAID),
    "tied, one bit apart in the last row": (True, NEARLY, False, TIED_SAID),
    "untied, another": (False, OTHER, False, ""),
    "untied, the same": (False, SAME, True, UNTIED_SAID),
    "nothing said, another": (..., OTHER, False, ""),
    "null, another": (None, OTHER, False, ""),
    "nothing said, the same": (..., SAME, True, UNTIED_SAID),
}


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("case", DECIDED)
def test_the_weights_decide_and_a_contradiction_is_noted(tmp_path: Path, case: str, shards: int) -> None:
    said, head, is_tied, note = DECIDED[case]
    folder = folder_of(tmp_path / "tiny", said, head, shards)
    checkpoint = open_checkpoint(str(folder))
    assert checkpoint.architecture.tied is is_tied
    assert checkpoint.architecture.head == (EMBEDDING if is_tied else HEAD)
    assert [each[: len(note)] for each in checkpoint.notes] == ([note] if note else [])
    outline = open_outline(str(folder))
    assert (outline.architecture, outline.notes) == (checkpoint.architecture, checkpoint.notes)
    assert list(checkpoint.architecture.shapes()) == list(tied() if is_tied else WEIGHTS)
    assert checkpoint.architecture.parameters == sum(w.size for w in (tied() if is_tied else WEIGHTS).values())
    if not is_tied:
        np.testing.assert_array_equal(checkpoint.tensors.read(HEAD), head)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("said", [False, ...])
@pytest.mark.parametrize("opened", [open_checkpoint, open_outline])
def test_an_untied_model_without_its_head_is_refused(
    tmp_path: Path, opened: Callable[[str], object], said: object, shards: int
) -> None:
    folder = folder_of(tmp_path / "tiny", said, None, shards)
    with pytest.raises(InputError, match=r"the weights hold no lm_head\.weight.*: add \"tie_word_embeddings\": true"):
        opened(str(folder))


def test_a_tied_matrix_may_stand_under_the_head_s_name_alone(tmp_path: Path) -> None:
    """As `safetensors.torch.save_model` leaves it, which keeps one name of several."""
    folder = folder_of(tmp_path / "tiny", True, SAME)
    write_safetensors(folder / "model.safetensors", {HEAD if n == EMBEDDING else n: w for n, w in tied().items()})
    checkpoint = open_checkpoint(str(folder))
    assert checkpoint.architecture.tied
    assert checkpoint.notes == open_outline(str(folder)).notes != ()
    np.testing.assert_array_equal(checkpoint.tensors.read(EMBEDDING), SAME)
    config = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"has no tensor model\.embed_tokens\.weight"):
        open_checkpoint(str(folder))


def test_both_may_be_stored_in_two_precisions(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "tiny", True, SAME, shards=3, dtype="bfloat16")
    index = json.loads((folder / INDEX).read_text())["weight_map"]
    rounded = torch.from_numpy(SAME).bfloat16().float().numpy()
    write_safetensors(folder / "head.safetensors", {HEAD: rounded}, "float32")
    write_safetensors(folder / "other.safetensors", {EMBEDDING: rounded}, "bfloat16")
    index |= {HEAD: "head.safetensors", EMBEDDING: "other.safetensors"}
    for file in set(index.values()) - {"head.safetensors", "other.safetensors"}:
        names = [name for name, where in index.items() if where == file]
        write_safetensors(folder / file, {name: WEIGHTS[name] for name in names})
    (folder / INDEX).write_text(json.dumps({"weight_map": index}))
    assert open_checkpoint(str(folder)).architecture.tied


def test_a_head_in_a_storage_that_is_not_read_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "tiny", True, SAME)
    raw = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    header[HEAD]["dtype"] = "I32"
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size :])
    with pytest.raises(InputError, match=r"stores lm_head\.weight as I32"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize(("said", "is_tied"), [(True, True), (False, False), (..., False)])
def test_without_weights_the_config_decides(tmp_path: Path, said: object, is_tied: bool) -> None:
    folder = folder_of(tmp_path / "tiny", said, OTHER)
    (folder / "model.safetensors").unlink()
    outline = open_outline(str(folder))
    assert (outline.architecture.tied, outline.notes) == (is_tied, ())


def test_an_index_without_its_files_says_which_matrices_there_are(tmp_path: Path) -> None:
    for said, head in ((True, OTHER), (True, None), (False, OTHER)):
        folder = folder_of(tmp_path / f"{said}-{head is None}", said, head, shards=3)
        (folder / "model-00002-of-00003.safetensors").unlink()
        outline = open_outline(str(folder))
        assert outline.architecture.tied is said
        assert bool(outline.notes) is (said and head is not None)
    folder = folder_of(tmp_path / "none", False, None, shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(InputError, match=r"the weights hold no lm_head\.weight"):
        open_outline(str(folder))


def test_a_comparison_holds_few_rows_and_stops_at_the_first_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 16)
    read: list[slice] = []

    def rows(part: slice) -> NDArray[np.float32]:
        read.append(part)
        return NEARLY[part]

    def matrix(weight: NDArray[np.float32]) -> Matrix:
        return Matrix("a", weight.shape, lambda part: weight[part])

    assert not matrix(SAME).same_as(Matrix("b", NEARLY.shape, rows))
    assert [part.stop - part.start for part in read] == [16] * 20
    read.clear()
    assert not matrix(OTHER).same_as(Matrix("b", NEARLY.shape, rows))
    assert len(read) == 1
    assert matrix(SAME).same_as(matrix(SAME.copy()))
    assert not matrix(SAME).same_as(matrix(SAME[:-1]))
    assert not matrix(np.array(1, np.float32)).same_as(matrix(np.array(1, np.float32)))  # refused for its shape later


def test_transformers_computes_the_same_of_the_folder(tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    folder = folder_of(tmp_path / "tiny", False, OTHER)
    tokens = torch.arange(40)
    with torch.no_grad():
        wanted = LlamaForCausalLM.from_pretrained(folder)(tokens[None]).logits[0]
    checkpoint = open_checkpoint(str(folder))
    found = Reference.from_checkpoint(checkpoint).logits(tokens)
    assert (found - wanted).abs().max() < 1e-4
    said_tied = open_checkpoint(str(folder_of(tmp_path / "said", True, OTHER)))
    assert torch.equal(Reference.from_checkpoint(said_tied).logits(tokens), found)
    dropped = Reference.from_checkpoint(open_checkpoint(str(folder_of(tmp_path / "dropped", True, None))))
    assert (dropped.logits(tokens) - wanted).abs().max() > 1


HALVES = SAME.astype(np.float16).astype(np.float32)
GGUF: dict[str, tuple[dict[str, Any], bool, str]] = {
    "no head": ({}, True, ""),
    "another": ({"head": OTHER}, False, ""),
    "another, in 4 bits": ({"head": OTHER, "storage": "Q4_0"}, False, ""),
    "the same": ({"head": SAME}, True, "tiny.gguf has a head of its own, but output.weight holds the same numbers"),
    "the same in 8 bits": ({"head": SAME, "storage": "Q8_0"}, True, "tiny.gguf has a head of its own, but output"),
    "the same in two types": (
        {"head": SAME, "storage": "Q4_0", "head_storage": "Q8_0"},
        False,
        "tiny.gguf has token_embd.weight in Q4_0 and output.weight in Q8_0: two matrices",
    ),
}


@pytest.mark.parametrize("case", GGUF)
def test_a_gguf_is_untied_if_its_head_says_other_numbers(tmp_path: Path, case: str) -> None:
    written, is_tied, note = GGUF[case]
    path = write_tiny_gguf(tmp_path / "tiny.gguf", **written)
    checkpoint = open_checkpoint(str(path))
    outline = open_outline(str(path))
    assert checkpoint.architecture.tied is outline.architecture.tied is is_tied
    assert checkpoint.notes == outline.notes
    assert [each[: len(note)] for each in checkpoint.notes] == ([note] if note else [])
    assert_llama_cpp_agrees(path, checkpoint)


def assert_llama_cpp_agrees(path: Path, checkpoint: Checkpoint) -> None:
    """llama.cpp keeps the cache in float16 and rounds activations where weights are quantised."""
    from llama_cpp import Llama

    tokens = list(range(20, 60))
    model = Llama(str(path), n_ctx=64, logits_all=True, n_threads=1, n_threads_batch=1, verbose=False)
    model.eval(tokens)
    found = np.array(model.scores[: len(tokens)])
    model.close()
    wanted = Reference.from_checkpoint(checkpoint).logits(tokens).numpy()
    assert np.abs(found - wanted).mean() < 0.05 * wanted.std()


def test_values_that_two_types_hold_alike_are_one_matrix(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", storage="F16", head=HALVES, head_storage="F32")
    assert open_checkpoint(str(path)).architecture.tied


def test_a_gguf_head_of_another_size_is_named(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", head=OTHER[:-32])
    with pytest.raises(InputError, match=r"output\.weight with shape \[288, 64\], its metadata want \[320, 64\]"):
        open_checkpoint(str(path))


def test_a_gguf_that_is_cut_inside_its_head_is_truncated(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", head=OTHER)
    path.write_bytes(path.read_bytes()[:-100])
    for opened in (open_checkpoint, open_outline):
        with pytest.raises(InputError, match=r"is truncated: output\.weight ends"):
            opened(str(path))
