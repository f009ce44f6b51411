"""The probe's backends on other tools' graphs and programs: one position after the other, or many at once."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from other_tools import CAPACITY, exported_by_optimum, write_program
from tiny_genai import write_tiny_genai

from smolship.checkpoint import Checkpoint
from smolship.export.onnx import pack
from smolship.quantize import quantize
from smolship.reference import Reference
from smolship.runtime_checks.probe.backend_executorch import Backend as ExecuTorch
from smolship.runtime_checks.probe.backend_onnx import Backend as Onnx

TOKENS = list(range(20, 170))


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_shared_cache_is_one_that_grows(tmp_path: Path, kind: Any) -> None:
    """Graphs of ONNX Runtime GenAI write into the cache they are given; the same graph can be given a growing one."""
    shared, growing = (
        Onnx(str(write_tiny_genai(tmp_path / str(each), kind=kind, shared=each)), 256, 1) for each in (True, False)
    )
    rows = np.concatenate(list(shared.window(TOKENS)))
    assert rows.shape == (len(TOKENS), 320)
    assert rows.dtype == np.float32
    assert np.array_equal(rows, np.concatenate(list(growing.window(TOKENS))))
    for backend in (shared, growing):
        steps = [backend.prefill(TOKENS[:1]), *(backend.decode(token) for token in TOKENS[1:])]
        np.testing.assert_allclose(np.stack(steps), rows, atol=1e-3)


def test_optimums_graph_computes_the_reference(tmp_path: Path, tiny_folder: Path, tiny_checkpoint: Checkpoint) -> None:
    backend = Onnx(str(exported_by_optimum(tiny_folder, tmp_path / "optimum")), 256, 1)
    rows = np.concatenate(list(backend.window(TOKENS)))
    wanted = Reference.from_checkpoint(tiny_checkpoint).logits(torch.tensor(TOKENS)).numpy()
    np.testing.assert_allclose(rows, wanted, atol=1e-4 * np.abs(wanted).max())
    np.testing.assert_allclose(backend.prefill(TOKENS), wanted[-1], atol=1e-4 * np.abs(wanted).max())


def test_a_graph_of_the_last_logits_alone_is_decoded_token_by_token(
    tmp_path: Path, tiny_checkpoint: Checkpoint
) -> None:
    """Our file without the mark that says that its slice can be moved is one like anybody's."""
    pack(quantize(tiny_checkpoint, "q8", ("onnx",)), tmp_path, 256)
    ours = np.concatenate(list(Onnx(str(tmp_path), 256, 1).window(TOKENS[:40])))
    model = onnx.load(tmp_path / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    chunks = list(Onnx(str(tmp_path), 256, 1, "other.onnx").window(TOKENS[:40]))
    assert [len(chunk) for chunk in chunks] == [1] * 40
    np.testing.assert_allclose(np.concatenate(chunks), ours, atol=0.05 * np.abs(ours).max())


@pytest.mark.parametrize("every", [True, False], ids=["optimum-executorch", "export_llm"])
def test_programs_of_both_interfaces_get_every_token_and_its_position(tmp_path: Path, every: bool) -> None:
    backend = ExecuTorch(str(write_program(tmp_path / "program", every=every).parent), CAPACITY, 1, "program.pte")
    rows = np.concatenate(list(backend.window(TOKENS)))
    assert rows.shape == (len(TOKENS), 320)
    again = rows[: len(TOKENS) // 2]
    assert np.array_equal(np.concatenate(list(backend.window(TOKENS[: len(TOKENS) // 2]))), again)
    steps = [backend.prefill(TOKENS[:60]), *(backend.decode(token) for token in TOKENS[60:63])]
    np.testing.assert_allclose(np.stack(steps), rows[59:63], atol=1e-5)
    with pytest.raises(ValueError, match=f"context of {CAPACITY} tokens"):
        ExecuTorch(str(tmp_path / "program"), CAPACITY + 1, 1, "program.pte")


def test_only_the_kernels_that_a_program_names_are_loaded(tmp_path: Path) -> None:
    """In a process of its own, from little to much: what is loaded stays."""
    named = ("aten::add", "quantized_decomposed::embedding_byte", "llama::custom_sdpa")
    for name in named:  # llama's name stands behind the program, among the weights, too
        head = bytes(8) + b"eh00" + bytes(4) + (200).to_bytes(8, "little") + bytes(8)
        (tmp_path / name).write_bytes(head + name.encode() + bytes(200) + b"llama::update_cache")
    code = (
        "import sys; from pathlib import Path\n"
        "from smolship.runtime_checks.probe import backend_executorch as backend\n"
        "for path in sys.argv[1:]:\n"
        "    backend._load_kernels(Path(path)); names = backend.runtime._get_operator_names()\n"
        "    print('quantized_decomposed::embedding_byte.out' in names, 'llama::custom_sdpa.out' in names)"
    )
    command = [sys.executable, "-c", code, *(str(tmp_path / name) for name in named)]
    end = subprocess.run(command, capture_output=True, text=True, check=True)
    assert end.stdout.splitlines() == ["False False", "True False", "True True"]
