"""Seams: where a scale per channel can move between tensors without changing what the model computes.

A linear map followed by a linear map, with nothing but channel-wise linear things between, computes the same when a
channel that leaves the first is multiplied by s and the columns of the second that read it are divided by s
(cross-layer equalisation, Nagel et al., arXiv 1906.04721). A SmolLM2 layer has five such places; the final norm is
none: what reads it is the embedding as the tied head, whose columns are also where the residual stream begins (and a
head of its own is left alone too, so that both kinds of model take the same passes).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import FINAL_NORM, Architecture
from smolship.errors import InputError, unknown_name

Weights = Mapping[str, NDArray[np.float32]]
"""Tensors by Hugging Face name, in the shapes of `Architecture.shapes()`."""

Scales = Mapping[str, NDArray[np.float64]]
"""A scale for each channel of a seam, by the seam's name; seams that are left out keep theirs."""


@dataclass(frozen=True, eq=False)
class Side:
    """The part of one tensor that a seam scales."""

    tensor: str
    axis: int
    """0 for gains and rows (channels leave here), 1 for columns (channels are read here)"""
    channel: NDArray[np.intp]
    """the seam's channel at each position along the axis: query heads that share a KV head share its channels"""


@dataclass(frozen=True, eq=False)
class Seam:
    """One place: `multiplied` times s and `divided` by s is the same model, for every s without zeros."""

    name: str
    kind: str
    """`norm`, `v-o`, `up-down` or `q-k`"""
    channels: int
    multiplied: tuple[Side, ...]
    divided: tuple[Side, ...]


def seams(a: Architecture) -> dict[str, Seam]:
    """Every seam of the architecture by name, in the order of the computation."""
    return {seam.name: seam for layer in range(a.layers) for seam in _layer(a, f"model.layers.{layer}.")}


def _layer(a: Architecture, p: str) -> tuple[Seam, ...]:
    hidden, inner = np.arange(a.hidden), np.arange(a.intermediate)
    kv = np.arange(a.kv_heads * a.head_dim)
    heads = kv.reshape(a.kv_heads, a.head_dim).repeat(a.heads // a.kv_heads, axis=0).ravel()  # [heads · head_dim]
    pairs = kv // a.head_dim * (a.head_dim // 2) + kv % (a.head_dim // 2)  # rotary position turns d with d + half

    def seam(name: str, kind: str, written: Side, *read: Side) -> Seam:
        return Seam(p + name, kind, int(written.channel.max()) + 1, (written,), read)

    def norm(name: str, *readers: str) -> Seam:
        gain = Side(f"{p}{name}.weight", 0, hidden)
        return seam(name, "norm", gain, *(columns(reader, hidden) for reader in readers))

    def rows(name: str, channel: NDArray[np.intp]) -> Side:
        return Side(f"{p}{name}_proj.weight", 0, channel)

    def columns(name: str, channel: NDArray[np.intp]) -> Side:
        return Side(f"{p}{name}_proj.weight", 1, channel)

    return (
        norm("input_layernorm", "self_attn.q", "self_attn.k", "self_attn.v"),
        seam("self_attn.q_k", "q-k", rows("self_attn.q", pairs[heads]), rows("self_attn.k", pairs)),
        seam("self_attn.v_o", "v-o", rows("self_attn.v", kv), columns("self_attn.o", heads)),
        norm("post_attention_layernorm", "mlp.gate", "mlp.up"),
        seam("mlp.up_down", "up-down", rows("mlp.up", inner), columns("mlp.down", inner)),
    )


def block_of_channels(seam: Seam, group: int | None) -> int:
    """How many channels share scales with no others when blocks of `group` columns are rounded (`None`: whole rows).

    `group`, if each block of every reader is a block of channels in order; otherwise all the seam's channels.
    """
    if group is None or seam.channels % group:
        return seam.channels
    for side in seam.divided:
        blocks = side.channel.reshape(-1, group)  # [in / group, group]
        if np.any(blocks[:, 0] % group) or np.any(np.diff(blocks, axis=1) != 1):
            return seam.channels
    return group


def rescale(weights: Weights, architecture: Architecture, scales: Scales) -> tuple[Weights, bool]:
    """The same model with every seam of `scales` scaled, and whether any weight's scale moved.

    Tensors that are not touched are the very same arrays; products are taken in float64 and rounded once. `InputError`
    if a seam is unknown, a scale has the wrong length, or one is zero or not finite.
    """
    known = seams(architecture)
    factors: dict[str, list[tuple[int, NDArray[np.float64]]]] = {}
    for name, scale in scales.items():
        seam = _seam_named(name, known)
        _require_scale(seam, scale)
        if np.all(scale == 1):
            continue
        for side in seam.multiplied:
            factors.setdefault(side.tensor, []).append((side.axis, scale[side.channel]))
        for side in seam.divided:
            factors.setdefault(side.tensor, []).append((side.axis, 1 / scale[side.channel]))
    moved = {tensor: _scaled(weights[tensor], parts) for tensor, parts in factors.items()}
    return {**weights, **moved}, bool(moved)


def _scaled(weight: NDArray[np.float32], parts: list[tuple[int, NDArray[np.float64]]]) -> NDArray[np.float32]:
    product = weight.astype(np.float64)
    for axis, factor in parts:
        product *= factor if axis or weight.ndim == 1 else factor[:, None]
    return product.astype(np.float32)


def _seam_named(name: str, known: Mapping[str, Seam]) -> Seam:
    if name == FINAL_NORM.removesuffix(".weight"):
        raise InputError(
            f"a scale cannot leave the gain of {name}: only the head reads it, and a tied head is the embedding, whose "
            "columns would have to change for the one and stay for the other; leave the final norm as it is"
        )
    if name not in known:
        raise unknown_name("seam", name, list(known))
    return known[name]


def _require_scale(seam: Seam, scale: NDArray[np.float64]) -> None:
    if scale.shape != (seam.channels,):
        raise InputError(
            f"seam {seam.name} got scales of shape {list(scale.shape)}, wanted {seam.channels}, one a channel: "
            "give one for each"
        )
    if not np.all(np.isfinite(scale)) or not np.all(scale):
        raise InputError(f"seam {seam.name} got a scale that is zero or not finite: nothing could undo it")


def random_scales(
    architecture: Architecture, seed: int, sigma: float, kinds: tuple[str, ...] = ("norm", "v-o", "up-down")
) -> dict[str, NDArray[np.float64]]:
    """Scales s = exp(sigma · N(0, 1)) for every seam of `kinds`, the same for the same seed."""
    random = np.random.default_rng(seed)
    chosen = [seam for seam in seams(architecture).values() if seam.kind in kinds]
    return {seam.name: np.exp(sigma * random.standard_normal(seam.channels)) for seam in chosen}
