"""Batches of rows of different lengths: each row gets what it gets alone, however the batch is padded and called."""

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from tiny_decoder import DECODER, Cache, Decoder, padded, tokens, traced
from tiny_graphs import PLAIN, session, unchanged

from smolship.checkpoint import Checkpoint
from smolship.export.onnx.graph import quantized_graph
from smolship.export.onnx.passes.grouped_attention import grouped_attention
from smolship.export.onnx.passes.last_logits import last_logits
from smolship.export.onnx.passes.padded_rows import padded_rows
from smolship.export.onnx.write import write_model
from smolship.quantize import RECIPES, QuantizedModel

ROWS = tokens(3, 7, 5, 1, 7)
CLOSE = 1e-4


@pytest.fixture(scope="module", params=["q4", "q8"])
def file(request: pytest.FixtureRequest, tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The whole graph of a recipe, its activations left in float32 (accuracy level 0): what it computes is exact."""
    path = tmp_path_factory.mktemp("padded") / "model.onnx"
    write_model(quantized_graph(QuantizedModel(tiny_checkpoint, RECIPES[request.param]), accuracy_level=0), path)
    return str(path)


@pytest.fixture(scope="module")
def last(file: str) -> Decoder:
    """The session that ships: the last position's logits."""
    return Decoder(session(file))


@pytest.fixture(scope="module")
def every(file: str) -> Decoder:
    """The same file with `logits_from` 0."""
    return Decoder(session(file, every=True))


def alone(decoder: Decoder, row: list[int]) -> NDArray[np.float32]:
    """What a row gives without a batch: [positions, vocabulary]."""
    found: NDArray[np.float32] = decoder([row])[0][0]
    return found


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_last_logits_are_those_of_each_row_s_last_token(last: Decoder, side: str) -> None:
    ids, mask = padded(ROWS, side=side)
    logits, _ = last(ids, mask=mask)
    for row, got in zip(ROWS, logits, strict=True):
        np.testing.assert_allclose(got, alone(last, row), atol=CLOSE)


def test_every_position_s_logits_stand_where_its_token_does(every: Decoder) -> None:
    ids, mask = padded(ROWS)
    logits, _ = every(ids, mask=mask)
    for row, got in zip(ROWS, logits, strict=True):
        np.testing.assert_allclose(got[-len(row) :], alone(every, row), atol=CLOSE)


def test_rows_of_one_length_are_left_as_they_are(every: Decoder) -> None:
    rows = tokens(6, 6)
    logits, _ = every(rows)
    for row, got in zip(rows, logits, strict=True):
        np.testing.assert_allclose(got, alone(every, row), atol=CLOSE)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_prompt_goes_on_with_a_cache_that_grows(last: Decoder, side: str) -> None:
    """As Optimum generates, whose batches are padded on the left, and ONNX Runtime GenAI, on the right."""
    ids, mask = padded(ROWS, side=side)
    _, past = last(ids, mask=mask)
    so_far = [list(row) for row in ROWS]
    for new in np.array(tokens(*[len(ROWS)] * 4, seed=1)):
        mask = np.pad(mask, ((0, 0), (0, 1)), constant_values=1)
        positions = np.array([[len(row)] for row in so_far])
        logits, past = last(new[:, None], mask=mask, positions=positions, past=past)
        for row, token, got in zip(so_far, new.tolist(), logits, strict=True):
            row.append(token)
            np.testing.assert_allclose(got, alone(last, row), atol=CLOSE)


def in_chunks(decoder: Decoder, rows: list[list[int]], cuts: list[int], longest: int) -> NDArray[np.float32]:
    """The logits of the last call, the prompt padded on the left to `longest` columns and cut at these."""
    ids, mask = (each[: len(rows)] for each in padded([*rows, [0] * longest]))
    past: Cache = ()
    for start, end in zip([0, *cuts], [*cuts, longest], strict=True):
        logits, past = decoder(ids[:, start:end], mask=mask[:, :end], past=past)
    return logits


@pytest.mark.parametrize("cuts", [[3], [5], [6], [3, 5], [2, 3, 4, 5, 6]])
@pytest.mark.parametrize("length", [7, 6])
def test_a_row_in_chunks_gives_what_it_gives_whole(last: Decoder, length: int, cuts: list[int]) -> None:
    (row,) = tokens(length)
    np.testing.assert_allclose(in_chunks(last, [row], cuts, 7)[0], alone(last, row), atol=CLOSE)


@pytest.mark.parametrize("cuts", [[6], [5, 6]])
def test_a_batch_after_a_past_goes_on_token_by_token(last: Decoder, cuts: list[int]) -> None:
    rows = tokens(3, 7)
    for row, got in zip(rows, in_chunks(last, rows, cuts, 7), strict=True):
        np.testing.assert_allclose(got, alone(last, row), atol=CLOSE)


@pytest.mark.parametrize(
    ("cut", "message"), [(5, "batch_size must be 1 when sequence_length > 1 and past"), (4, r"seqlens_k\[0\] = -1")]
)
def test_what_onnx_runtime_cannot_take_of_a_batch_it_refuses(last: Decoder, cut: int, message: str) -> None:
    """Several tokens a row after a past, and a first chunk without a token of some row."""
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    with pytest.raises(InvalidArgument, match=message):
        in_chunks(last, tokens(3, 7), [cut], 7)


def test_it_is_done_once_before_and_after_the_head_is_cut() -> None:
    model, changed = padded_rows(grouped_attention(DECODER)(traced())[0])
    assert changed
    assert unchanged(padded_rows, model)
    model, _ = last_logits(model)
    assert unchanged(padded_rows, model)


def test_attention_that_is_spelled_out_knows_its_mask_and_needs_none_of_it() -> None:
    assert unchanged(padded_rows, traced())
    assert unchanged(padded_rows, ir.from_onnx_text(PLAIN))
