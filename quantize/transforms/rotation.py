"""Rotations that fold into the weights: `v` and `o` per KV head. They spread what is large over a head's channels.

Sources: QuaRot, arXiv 2404.00456; SpinQuant, arXiv 2405.16406 (its R2). Their rotation of the residual stream does not
fold into a tied model, see `rotate_residual`; those of `down`'s input and of q and k after the rotary positions run
with the model and are no business of a file.
"""

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint.architecture import Architecture
from smolship.errors import InputError
from smolship.quantize.transforms.seams import Weights

_TOLERANCE = 1e-9


def rotate_v_o(weights: Weights, architecture: Architecture, rotations: NDArray[np.float64]) -> tuple[Weights, bool]:
    """The same model with each KV head's values rotated, and undone in the columns of `o` of its query heads.

    rotations: float64 [layers, kv_heads, head_dim, head_dim], each orthogonal, or `InputError`.
    """
    a = architecture
    shape = (a.layers, a.kv_heads, a.head_dim, a.head_dim)
    if rotations.shape != shape:
        raise InputError(f"got rotations of shape {list(rotations.shape)}, wanted {list(shape)}: one a KV head")
    identity = np.eye(a.head_dim)
    if np.abs(rotations @ rotations.swapaxes(-1, -2) - identity).max() > _TOLERANCE:
        raise InputError("got a matrix that is not orthogonal: its transpose would not undo it")
    moved = {}
    for layer, turn in enumerate(rotations):
        if np.array_equal(turn, np.broadcast_to(identity, turn.shape)):
            continue
        p = f"model.layers.{layer}.self_attn."
        v, o = weights[p + "v_proj.weight"], weights[p + "o_proj.weight"]
        rows = v.reshape(a.kv_heads, a.head_dim, a.hidden)  # [kv, d, hidden]
        columns = o.reshape(a.hidden, a.kv_heads, a.heads // a.kv_heads, a.head_dim)  # [hidden, kv, shared, d]
        moved[p + "v_proj.weight"] = (turn @ rows).reshape(v.shape).astype(np.float32)
        moved[p + "o_proj.weight"] = np.einsum("okqd,ked->okqe", columns, turn).reshape(o.shape).astype(np.float32)
    return {**weights, **moved}, bool(moved)


def random_rotations(architecture: Architecture, seed: int) -> NDArray[np.float64]:
    """A random rotation for every KV head, [layers, kv_heads, head_dim, head_dim], the same for the same seed.

    Hadamard matrices with columns of random sign where `head_dim` is a power of two, as in QuaRot: every entry has the
    same size, so an outlier is spread evenly. Otherwise random orthogonal ones.
    """
    a = architecture
    random = np.random.default_rng(seed)
    count = (a.layers, a.kv_heads)
    if a.head_dim & (a.head_dim - 1) == 0:
        return np.asarray(hadamard(a.head_dim) * random.choice([-1.0, 1.0], (*count, 1, a.head_dim)))
    return np.asarray(np.linalg.qr(random.standard_normal((*count, a.head_dim, a.head_dim)))[0])


def hadamard(size: int) -> NDArray[np.float64]:
    """Sylvester's Hadamard matrix over √size, orthogonal [size, size]; `size` is a power of two."""
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]]) / np.sqrt(2)
    return matrix


def rotate_residual(architecture: Architecture) -> NoReturn:
    """Refused with the reason; the one rotation that QuaRot and SpinQuant build on needs an untied head."""
    raise InputError(
        "the residual stream cannot be rotated: a rotation passes an RMSNorm only when its gain is one, so every gain "
        "would fold into the columns that read it, the final norm's into the head, and a tied head is the embedding, "
        "which must not carry it; untying them would cost a second matrix of "
        f"{architecture.vocabulary} × {architecture.hidden}. rotate-v-o is the rotation that folds"
    )
