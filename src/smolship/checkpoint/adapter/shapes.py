"""Whether an adapter's tensors have the shapes that its base and its config want."""

from collections.abc import Mapping

from smolship.checkpoint.adapter.change import Change, LowRank
from smolship.checkpoint.adapter.config import AdapterConfig
from smolship.checkpoint.folder.safetensors_file import StoredTensor
from smolship.errors import InputError

_OTHER_BASE = "name the base that it was trained on with --base"


def require_shapes(
    config: AdapterConfig, name: str, change: Change, stored: Mapping[str, StoredTensor], shape: tuple[int, ...]
) -> None:
    """`InputError` names a stored tensor that does not fit the base's `name` of this shape, or a rank that differs."""
    wanted: list[tuple[str, tuple[int, ...]]] = [(one, shape) for one in (change.whole, *change.copies) if one]
    if change.rows:
        wanted.append((change.rows, (len(change.indices), shape[-1])))
        if any(index >= shape[0] for index in change.indices):
            raise InputError(
                f"{config.place} has trainable_token_indices up to {max(change.indices)}, and the embedding {shape[0]} "
                f"rows: {_OTHER_BASE}"
            )
    if change.low_rank is not None:
        wanted += _of_low_rank(config, name, change.low_rank, stored, shape)
    for one, fit in wanted:
        if stored[one].shape != fit:
            raise InputError(
                f"{stored[one].path} holds {one} with shape {list(stored[one].shape)}, its base wants {list(fit)}: "
                f"{_OTHER_BASE}"
            )


def _of_low_rank(
    config: AdapterConfig, name: str, pair: LowRank, stored: Mapping[str, StoredTensor], shape: tuple[int, ...]
) -> list[tuple[str, tuple[int, ...]]]:
    """The shapes of its matrices, and of its magnitudes."""
    if len(shape) != 2:
        raise InputError(f"{stored[pair.left].path} holds {pair.left}, and {name} is no matrix: save it again")
    module = name.removesuffix(".weight")
    rank, right = config.rank_of(module), stored[pair.right].shape
    found = right[1 if pair.transposed else 0] if len(right) == 2 else rank
    if found != rank:
        raise InputError(
            f"{config.place} gives {module} the rank {rank}, and {pair.right} has {found}: "
            "give config and tensors of the same adapter"
        )
    left, right = (shape[0], rank), (rank, shape[1])
    if pair.transposed:
        left, right = left[::-1], right[::-1]
    magnitude = [(pair.magnitude, (shape[1 if pair.transposed else 0],))] if pair.magnitude else []
    return [(pair.left, left), (pair.right, right), *magnitude]
