"""Which matrices share one product: q, k and v of a layer, where they lie on one grid and take rows of one form."""

from dataclasses import replace
from itertools import groupby

import numpy as np

from smolship.checkpoint.architecture import EMBEDDING, HEAD
from smolship.export.executorch.codes import INT4_GROUP
from smolship.export.executorch.names import StoredTensor, stored_tensor
from smolship.quantize import Blocks, QuantizedModel

CAREFUL = (*(f"{which}_proj.weight" for which in ("q", "k", "v", "up", "down")), EMBEDDING, HEAD)
"""Of `q8` of the 135M model the roundings of their inputs are nine tenths of what 8-bit activations cost."""


def takes_two_parts(name: str, grid: str) -> bool:
    """Whether a matrix takes its rows in two parts: beside what 4 bits lose, one scale a row loses next to nothing."""
    return grid != INT4_GROUP and name.endswith(CAREFUL)


def joined(model: QuantizedModel, names: list[str]) -> list[tuple[list[str], Blocks]]:
    """Neighbours among `names` that can be one product, each group with its rows below each other."""
    blocks = {name: model.blocks(name, "executorch") for name in names}
    groups = groupby(names, lambda name: (blocks[name].grid, takes_two_parts(name, blocks[name].grid)))
    together = [list(group) for _, group in groups]
    return [(group, _below_each_other([blocks[name] for name in group])) for group in together]


def stored_tensors(model: QuantizedModel) -> dict[str, StoredTensor]:
    """Where XNNPACK's data store keeps every matrix of the model, by its Hugging Face name; see `stored_tensor`."""
    stored = {}
    for names in attention_inputs(model):
        for group, blocks in joined(model, names):
            whole, first = stored_tensor(group[0], blocks), 0
            for name in group:
                last = first + model.blocks(name, "executorch").codes.shape[0]
                stored[name] = replace(whole, rows=(first, last)) if len(group) > 1 else whole
                first = last
    alone = (name for name in model.matrices() if name not in stored)
    return stored | {name: stored_tensor(name, model.blocks(name, "executorch")) for name in alone}


def attention_inputs(model: QuantizedModel) -> list[list[str]]:
    """The names of q, k and v of each layer."""
    layers = range(model.checkpoint.architecture.layers)
    return [[f"model.layers.{layer}.self_attn.{which}_proj.weight" for which in "qkv"] for layer in layers]


def _below_each_other(blocks: list[Blocks]) -> Blocks:
    if len(blocks) == 1:
        return blocks[0]
    codes = np.concatenate([each.codes for each in blocks])
    return Blocks(codes, np.concatenate([each.scales for each in blocks]), blocks[0].grid)
