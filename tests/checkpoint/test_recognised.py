"""Other things than checkpoints, by the names of their files or what stands in for one: named, with the way out."""

import json
from pathlib import Path

import pytest
from in_process import run
from one_sentence import assert_one_sentence
from tiny import tiny_config, write_tiny_checkpoint

from smolship.checkpoint import open_checkpoint
from smolship.checkpoint.refused.recognised import refuse_listing
from smolship.errors import InputError

SAFE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PLAIN = ("config.json", "tokenizer.json", "tokenizer_config.json")

LISTINGS: dict[str, tuple[tuple[str, ...], str]] = {
    "an artefact": (("manifest.json", "model.gguf", "tokenizer.json"), "an artefact that `smolship build` wrote: give"),
    "artefacts": (("a-q8-gguf/manifest.json", "a-q8-gguf/model.gguf"), "is a folder of artefacts .* one of them"),
    "the hub's cache": (
        ("refs/main", "snapshots/0a1b/config.json", "snapshots/0a1b/model.safetensors"),
        "is the hub's cache of a repository: give snapshots/0a1b in it",
    ),
    "a run": (
        ("checkpoint-900/model.safetensors", "checkpoint-1000/model.safetensors", "checkpoint-1000/config.json"),
        "holds the checkpoints of a training run, the newest in checkpoint-1000: give checkpoint-1000 in it",
    ),
    "a run of adapters": (
        ("checkpoint-5/adapter_config.json", "checkpoint-5/adapter_model.safetensors", "README.md"),
        "the newest in checkpoint-5",
    ),
    "DeepSpeed": (
        ("config.json", "zero_to_fp32.py", "latest", "global_step9/mp_rank_00_model_states.pt", "rng_state_0.pth"),
        "is the state of a training run with DeepSpeed .*: run `python zero_to_fp32.py",
    ),
    "FSDP": (("config.json", "pytorch_model_fsdp_0/__0_0.distcp", "optimizer.bin"), "with FSDP .*accelerate merge"),
    "mlx-lm's adapter": (("adapter_config.json", "adapters.safetensors"), "is an adapter of mlx-lm .*mlx_lm.fuse"),
    "a pickled adapter": (("adapter_config.json", "adapter_model.bin"), "adapter only as pickle .*safe_serialization"),
    "an adapter's weights": (("adapter_model.safetensors",), "without adapter_config.json: fetch or copy that"),
    "Meta's layout": (("params.json", "consolidated.safetensors"), "in Meta's layout .consolidated.safetensors.: conv"),
    "Meta's pickles": (("params.json", "consolidated.00.pth"), "in Meta's layout"),
    "pickles": (("config.json", "pytorch_model.bin", "onnx/model.onnx"), "only as pickle .pytorch_model.bin., which"),
    "pickles in parts": (
        ("config.json", "pytorch_model.bin.index.json"),
        "only as pickle .pytorch_model.bin.index.json",
    ),
    "OpenVINO": (
        ("config.json", "openvino_model.xml", "openvino_model.bin"),
        "is a model for OpenVINO .*exported from",
    ),
    "MLC": (("mlc-chat-config.json", "params_shard_0.bin"), "is a model for MLC"),
    "GGUF files": (
        ("README.md", "a-Q8_0.gguf", "a-Q4_0.gguf"),
        "only as GGUF .a-Q4_0.gguf, a-Q8_0.gguf.: give the file",
    ),
    "ONNX": (
        ("config.json", "onnx/model.onnx", "onnx/model_q4.onnx"),
        "is a model for ONNX .onnx/model.onnx.: give the",
    ),
    "ExecuTorch": (("model.pte", "tokenizer.json"), "is a model for ExecuTorch"),
    "Core ML": (("a.mlpackage/Manifest.json",), "is a model for Core ML"),
    "TensorFlow": (("config.json", "tf_model.h5"), "only for TensorFlow .tf_model.h5.: load it with from_tf=True"),
    "Flax": (("config.json", "flax_model.msgpack"), "only for Flax .*from_flax=True"),
    "parts without an index": (
        ("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
        "holds parts of a checkpoint .* and no model.safetensors.index.json",
    ),
    "a trainer's state": (
        ("config.json", "trainer_state.json", "optimizer.pt", "training_args.bin", "rng_state.pth"),
        "is the state of a training run .* without the model's weights: save the model",
    ),
    "a folder too high": (
        ("README.md", "final/config.json", "final/model.safetensors"),
        "checkpoint in final: give final",
    ),
    "another name": (
        ("config.json", "weights.safetensors"),
        "weights as weights.safetensors, wanted as model.safetens",
    ),
}


@pytest.mark.parametrize("case", LISTINGS)
def test_a_folder_of_something_else(tmp_path: Path, case: str) -> None:
    files, sentence = LISTINGS[case]
    for file in files:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(tiny_config()) if file == "config.json" else "{}")
    with pytest.raises(InputError, match=sentence) as caught:
        open_checkpoint(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert_one_sentence(caught.value)


def test_on_the_hub_what_lies_inside_has_to_be_fetched() -> None:
    for files, sentence in (
        (("README.md", "a-Q8_0.gguf"), "fetch one with `hf download me/tiny a-Q8_0.gguf --local-dir .`"),
        (("checkpoint-7/model.safetensors",), r"hf download me/tiny --include 'checkpoint-7/\*' --local-dir ."),
        (("final/model.safetensors",), r"hf download me/tiny --include 'final/\*'"),
    ):
        with pytest.raises(InputError, match=sentence):
            refuse_listing(files, "me/tiny", on_hub=True)


def test_a_checkpoint_is_nothing_else() -> None:
    for files in ((*PLAIN, SAFE, "tf_model.h5"), (INDEX, "model-00001-of-00001.safetensors", "a.gguf"), PLAIN, ()):
        refuse_listing(files, "me/tiny")


def test_the_command_line_says_it_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert run(monkeypatch, "build", tmp_path, "-o", tmp_path / "out") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "holds its weights only as GGUF (a.gguf): give the file itself" in said
    assert not (tmp_path / "out").exists()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 537\n"
PAGE = b"\n<!DOCTYPE html><html><head><title>model.safetensors</title>"


@pytest.mark.parametrize(("content", "words"), [(POINTER, "run `git lfs pull`"), (PAGE, "a web page saved under")])
@pytest.mark.parametrize("name", [SAFE, "tokenizer.json", "config.json", INDEX])
def test_what_stands_in_for_a_file(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    folder = write_tiny_checkpoint(tmp_path, shards=2 if name == INDEX else 1)
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is .*{words}") as caught:
        open_checkpoint(str(folder))
    assert_one_sentence(caught.value)


@pytest.mark.parametrize(("content", "words"), [(POINTER, "run `git lfs pull`"), (PAGE, "a web page saved under")])
def test_what_stands_in_for_a_gguf(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        open_checkpoint(str(path))


def test_a_file_for_another_runtime(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a")
    with pytest.raises(InputError, match=r"model\.onnx is a model for ONNX, wanted a checkpoint: give the one that"):
        open_checkpoint(str(tmp_path / "model.onnx"))


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_an_added_token_that_takes_its_neighbours(tmp_path: Path, flag: str) -> None:
    folder = write_tiny_checkpoint(tmp_path)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"][3][flag] = True
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match=f"^[^:]*: the added token <repo_name> has {flag}, which llama.cpp") as caught:
        open_checkpoint(str(folder))
    assert "fetch" not in str(caught.value)
    assert "tokenizers library" not in str(caught.value)
