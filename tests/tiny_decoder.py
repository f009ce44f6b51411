"""Optimum's whole graph of a tiny decoder, for tests of graph passes, and what runs any such graph."""

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from tiny_graphs import ARCHITECTURE, data, session

from smolship.checkpoint import EMBEDDING
from smolship.export.onnx.passes import Pass, run_passes
from smolship.export.onnx.passes.float_weights import float_weights
from smolship.export.onnx.reference import reference_graph

DECODER = replace(ARCHITECTURE, layers=2)

Cache = Sequence[NDArray[np.float32]]


class Decoder:
    """A decoder graph with Optimum's inputs and outputs."""

    def __init__(self, loaded: onnxruntime.InferenceSession) -> None:
        self._session = loaded
        self._past = [value for value in loaded.get_inputs() if value.name.startswith("past_key_values.")]

    def __call__(
        self, ids: object, *, mask: object = None, positions: object = None, past: Cache = ()
    ) -> tuple[NDArray[np.float32], Cache]:
        """Logits [batch, n, vocabulary] of ids [batch, n], and the cache with them in it.

        Without a mask nothing is padded; without positions they count the mask's tokens, as transformers has them.
        """
        tokens = np.array(ids, np.int64)
        length = tokens.shape[1] + (past[0].shape[2] if past else 0)
        seen = np.ones((len(tokens), length), np.int64) if mask is None else np.array(mask, np.int64)
        counted = np.where(seen == 0, 1, seen.cumsum(1) - 1)[:, -tokens.shape[1] :]
        given = {
            "input_ids": tokens,
            "attention_mask": seen,
            "position_ids": counted if positions is None else np.array(positions, np.int64),
        }
        for index, value in enumerate(self._past):
            empty = np.zeros((len(tokens), value.shape[1], 0, value.shape[3]), np.float32)
            given[value.name] = past[index] if past else empty
        names = ["logits", *(value.name.replace("past_key_values", "present") for value in self._past)]
        logits, *present = self._session.run(names, given)
        return logits, present


@functools.cache
def _traced() -> bytes:
    return data(reference_graph(DECODER))


def traced() -> ir.Model:
    """Optimum's graph of `DECODER`, its matrices still stand-ins; traced once."""
    return ir.serde.deserialize_model(onnx.ModelProto.FromString(_traced()))


@functools.cache
def weight(name: str) -> NDArray[np.float32]:
    """Random float32 weights of `DECODER`'s tensor of that name."""
    shape = DECODER.shapes()[name]
    random = np.random.default_rng(list(DECODER.shapes()).index(name))
    scale = 0.1 if name == EMBEDDING else 1.3 * shape[-1] ** -0.5
    return np.asarray(random.standard_normal(shape) * scale, np.float32)


def decoder(*steps: Pass, model: ir.Model | None = None) -> Decoder:
    """Optimum's graph after these passes, over random float32 weights."""
    graph = traced() if model is None else model
    return Decoder(session(run_passes(graph, (*steps, float_weights(weight)))))


def tokens(*lengths: int, seed: int = 0) -> list[list[int]]:
    """Rows of random tokens that are no special ones."""
    random = np.random.default_rng(seed)
    return [random.integers(17, DECODER.vocabulary, length).tolist() for length in lengths]


def padded(
    rows: Sequence[Sequence[int]], *, side: str = "left", pad_id: int = DECODER.pad_id
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows as one batch and its mask; int64 [rows, longest]."""
    longest = max(map(len, rows))

    def place(row: Sequence[int], fill: int) -> list[int]:
        padding = [fill] * (longest - len(row))
        return [*padding, *row] if side == "left" else [*row, *padding]

    ids = np.array([place(row, pad_id) for row in rows], np.int64)
    return ids, np.array([place([1] * len(row), 0) for row in rows], np.int64)
