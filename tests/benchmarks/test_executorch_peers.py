"""benchmarks/executorch_peers.py: what is said of a .pte, and whom it is held against."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from smolship.checkpoint import Checkpoint
from smolship.reference import Reference
from smolship.runtime_checks.windows import reference_windows, windows

Load = Callable[[str], ModuleType]


def test_every_rival_is_made_and_ours_are_held_against_the_same_bits(benchmark_script: Load) -> None:
    contest = benchmark_script("executorch_peers").CONTEST
    makers = benchmark_script("executorch_makers")
    assert {rivalry.ours for rivalry in contest.rivalries} == set(makers.OURS)
    for rivalry in contest.rivalries:
        assert set(rivalry.rivals) | set(rivalry.beside) <= set(makers.PEERS)
        eight = rivalry.ours.startswith("q8")
        assert all(("8da8w" in name) == eight for name in rivalry.rivals)


@pytest.mark.slow
def test_a_record_has_size_memory_and_fidelity_in_both_modes(
    benchmark_script: Load, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    from smolship.export.executorch import pack
    from smolship.quantize import quantize

    files, rounds = benchmark_script("executorch_files"), benchmark_script("peers_rounds")
    pack(quantize(tiny_checkpoint, "q8", ("executorch",)), tmp_path, files.CONTEXT)
    text = windows(tiny_checkpoint.tokenizer, count=1, length=64)
    with reference_windows(lambda: Reference.from_checkpoint(tiny_checkpoint, 1), text, "fp32") as reference:
        record = files.file_record(rounds.Candidate("ours", "q8", tmp_path, "model.pte"), reference, 1)
    a, size = tiny_checkpoint.architecture, (tmp_path / "model.pte").stat().st_size
    cache = 2 * 2 * a.layers * a.kv_heads * a.head_dim * files.CONTEXT
    assert (record["bytes"], record["bar"], record["holds"]) == (size, 138e6, True)
    assert cache < record["arena"] < 20 * cache
    assert record["delegates"] == a.layers + 2
    assert record["prompts"] == files.PREFIXES
    for name in ("KL", "KL_prefill", "KL_decode_there"):
        assert 0 < record[name] < 0.1
