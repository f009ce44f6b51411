"""GGUF files: tensors as gguf-py writes them, and logits as llama.cpp computes them."""

from pathlib import Path

import gguf
import numpy as np
import pytest
from tiny import tiny_config, tiny_weights
from tiny_gguf import write_tiny_gguf

from smolship.checkpoint import Checkpoint, open_checkpoint

STORAGES = {
    "F32": ("float32", False),
    "F16": ("float16", False),
    "BF16": ("bfloat16", False),
    "Q8_0": ("Q8_0", True),
    "Q4_0": ("Q4_0", True),
    "Q4_1": ("Q4_1", True),
}


@pytest.mark.parametrize("storage", STORAGES)
def test_tensors_have_their_names_shapes_and_row_order_back(tmp_path: Path, storage: str) -> None:
    checkpoint = open_checkpoint(str(write_tiny_gguf(tmp_path / "tiny.gguf", storage=storage)))
    assert (checkpoint.source.stored_as, checkpoint.source.already_quantised) == STORAGES[storage]
    kind = gguf.GGMLQuantizationType[storage]
    for name, weight in tiny_weights(tiny_config()).items():
        expected = weight if weight.ndim == 1 else gguf.dequantize(gguf.quantize(weight, kind), kind)
        np.testing.assert_array_equal(checkpoint.tensors.read(name), expected, err_msg=name)


def test_architecture_and_tokenizer_are_the_folders_own(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    checkpoint = open_checkpoint(str(write_tiny_gguf(tmp_path / "Tiny-Instruct.Q8_0.gguf")))
    assert checkpoint.name == "Tiny-Instruct"
    assert checkpoint.architecture == tiny_checkpoint.architecture
    assert checkpoint.tokenizer.files() == tiny_checkpoint.tokenizer.files()
    assert checkpoint.is_instruct
    assert checkpoint.source.kind == "gguf"
    assert checkpoint.source.location == "Tiny-Instruct.Q8_0.gguf"


def test_a_base_model_has_no_chat_template(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", tokenizer__chat_template=None, tokenizer__ggml__eos_token_id=0)
    checkpoint = open_checkpoint(str(path))
    assert not checkpoint.is_instruct
    assert checkpoint.architecture.eos_id == 0


def test_reference_logits_are_those_of_llama_cpp(tmp_path: Path) -> None:
    from llama_cpp import Llama

    from smolship.reference import Reference

    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    checkpoint = open_checkpoint(str(path))
    tokens = checkpoint.tokenizer.encode("The house of the 3 cats is on the hill.")
    model = Llama(str(path), n_ctx=64, logits_all=True, n_threads=1, n_threads_batch=1, verbose=False)
    model.eval(tokens)
    logits = Reference.from_checkpoint(checkpoint).logits(tokens).numpy()
    np.testing.assert_allclose(
        logits, model.scores[: len(tokens)], atol=0.02
    )  # llama.cpp keeps the KV cache in float16
    model.close()


@pytest.mark.real
def test_the_embedded_model_is_named_as_quantised(embedded_checkpoint: Checkpoint) -> None:
    source = embedded_checkpoint.source
    assert (source.kind, source.stored_as, source.already_quantised) == ("embedded", "Q4_1", True)
    assert embedded_checkpoint.name == "SmolLM2-135M-Instruct"
    architecture = embedded_checkpoint.architecture
    assert (architecture.vocabulary, architecture.hidden, architecture.layers) == (49152, 576, 30)
    assert (architecture.heads, architecture.kv_heads, architecture.rope_theta) == (9, 3, 100000.0)
    assert (architecture.norm_epsilon, architecture.eos_id, architecture.parameters) == (1e-5, 2, 134515008)


@pytest.mark.real
def test_own_header_reader_agrees_with_gguf_py() -> None:
    from smolship.checkpoint.embedded import embedded_path
    from smolship.checkpoint.gguf.header import read_header

    header, oracle = read_header(embedded_path()), gguf.GGUFReader(embedded_path())
    fields = {key: field.contents() for key, field in oracle.fields.items() if not key.startswith("GGUF.")}
    assert header.metadata == fields
    for tensor in oracle.tensors:
        place = header.tensors[tensor.name]
        assert (place.offset, place.ggml_type) == (tensor.data_offset, tensor.tensor_type)
        assert place.shape == tuple(reversed(tensor.shape.tolist()))
