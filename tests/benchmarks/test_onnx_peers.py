"""benchmarks/onnx_peers.py, peers_rounds.py and onnx_proof.py: fair folders, whole rounds, honest ratios and bars."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from smolship.checkpoint import Checkpoint
from smolship.errors import RuntimeFailure, SmolshipError
from smolship.export.onnx import pack
from smolship.quantize import quantize

Load = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def packed(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    pack(quantize(tiny_checkpoint, "q4-e8", ("onnx",)), folder, 2048)
    return folder


def test_the_ratio_is_of_the_rounds_and_not_of_the_medians(benchmark_script: Load) -> None:
    ratio_of = benchmark_script("peers_ratios").ratio_of
    assert ratio_of([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == (2.0, 2.0, 2.0)
    median, low, high = ratio_of([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)
    assert median == 3.0
    straddling = benchmark_script("peers_ratios").Ratio("ours", "peer", "decode", 1.2, 1.0, 1.4, 1.15)
    assert (straddling.holds(), straddling.sure()) == (True, False)
    assert 1.0 <= low < 3.0 < high <= 5.0


def test_a_round_measures_everything_once_and_begins_elsewhere_each_time(benchmark_script: Load) -> None:
    in_turn = benchmark_script("peers_rounds").in_turn
    orders = [in_turn(13, turn) for turn in range(10)]
    assert all(sorted(order) == list(range(13)) for order in orders)
    assert len({order[0] for order in orders}) == 10
    after = [order.index(1) > order.index(0) for order in orders]
    assert 3 <= sum(after) <= 7


def test_a_bar_is_held_against_rivals_alone_and_memory_is_to_be_below_its_own(benchmark_script: Load) -> None:
    ratios, rounds = benchmark_script("peers_ratios"), benchmark_script("peers_rounds")
    contest = benchmark_script("onnx_peers").CONTEST

    def runs(name: str, file: str, speed: float, peak: float) -> Any:
        measures = {"decode": [speed] * 3, "prefill": [speed] * 3, "peak": [peak] * 3}
        return rounds.Runs(name, file, measures)

    measured = [runs(f"smolship {recipe}", recipe, 120.0, 90.0) for recipe in ("q4", "q4-e8", "q8")]
    measured += [runs(name, name, 100.0, 100.0) for name in ("genai-int4", "genai-int8", "optimum-4bit")]
    judged = ratios.ratios_of(measured, contest.rivalries)
    held = {(one.ours, one.peer, one.measure): one.holds() for one in judged}
    assert held["smolship q4", "genai-int4", "decode"] is True  # 1.2 of 1.15
    assert held["smolship q4", "genai-int4", "peak"] is False  # 0.9 of 0.85
    assert held["smolship q8", "genai-int8", "decode"] is False  # 1.2 of 1.3
    assert held["smolship q8", "genai-int8", "prefill"] is True  # 1.2 of 1.1
    assert held["smolship q4", "optimum-4bit", "decode"] is None
    assert held["smolship q4-e8", "genai-int4", "decode"] is None
    assert ("smolship q4", "genai-int8", "decode") not in held


@pytest.mark.slow
def test_a_staged_folder_is_the_model_with_the_checkpoints_tokenizer_and_the_chunk_that_was_asked(
    benchmark_script: Load, packed: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    makers = benchmark_script("onnx_makers")
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("model.onnx", "config.json"):
        (bare / name).write_bytes((packed / name).read_bytes())
    shipped = makers.staged(bare, tmp_path / "shipped", tiny_checkpoint, None)
    assert not (shipped / "genai_config.json").exists()
    assert (shipped / "tokenizer.json").read_bytes() == tiny_checkpoint.tokenizer.files()["tokenizer.json"]
    forced = makers.staged(bare, tmp_path / "forced", tiny_checkpoint, 16)
    assert (forced / "model.onnx").samefile(bare / "model.onnx")
    config = json.loads((forced / "genai_config.json").read_text())
    assert config["search"] == {"chunk_size": 16}
    kept = makers.staged(packed, tmp_path / "kept", tiny_checkpoint, 16)
    search = json.loads((kept / "genai_config.json").read_text())["search"]
    assert (search["chunk_size"], search["past_present_share_buffer"]) == (16, True)
    assert json.loads((packed / "genai_config.json").read_text())["search"]["chunk_size"] == 128


@pytest.mark.slow
def test_codes_and_scales_are_told_from_the_graph(
    benchmark_script: Load, packed: Path, tiny_checkpoint: Checkpoint
) -> None:
    model = quantize(tiny_checkpoint, "q4-e8", ("onnx",))
    expected = 0
    for name in model.matrices():
        blocks = model.blocks(name, "onnx")
        bits = 8 if name == "model.embed_tokens.weight" else 4
        expected += blocks.codes.size * bits // 8 + 2 * blocks.scales.size
    assert benchmark_script("onnx_files").code_bytes(packed / "model.onnx") == expected


@pytest.mark.slow
def test_a_folder_is_measured_in_a_process_of_its_own(benchmark_script: Load, packed: Path) -> None:
    rounds = benchmark_script("peers_rounds")
    chosen = [rounds.Candidate(name, name, packed, "model.onnx") for name in ("one", "other")]
    found = rounds.take_rounds(chosen, "onnx", 2048, [20] * 512, 2, 1)
    for runs in found:
        for measure in ("decode", "deep", "prefill", "load"):
            assert len(runs.measures[measure]) == 2
            assert min(runs.measures[measure]) > 0
        memory = (runs.measures[name] for name in ("peak", "loaded", "imports", "own"))
        for peak, loaded, imports, own in zip(*memory, strict=True):
            assert peak >= loaded > imports > 10
            assert own == pytest.approx(peak - imports)


def test_a_folder_that_does_not_run_is_named(benchmark_script: Load, tmp_path: Path) -> None:
    rounds = benchmark_script("peers_rounds")
    candidate = rounds.Candidate("peer 7", "x", tmp_path, "model.onnx")
    with pytest.raises(RuntimeFailure, match=r"^peer 7 ended with 1: Exception: No such file"):
        rounds.measure_one(candidate, "onnx", 2048, [20] * 512, 1)


@pytest.mark.slow
def test_a_peer_that_cannot_be_made_is_an_error_that_names_it(
    benchmark_script: Load, tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    makers, shops = benchmark_script("onnx_makers"), benchmark_script("foreign_makers")
    monkeypatch.setitem(shops.ENVIRONMENTS, "genai", ("./there-is-no-such-package",))
    shop = shops.open_workshop(tiny_checkpoint, tmp_path)
    monkeypatch.setitem(makers.PEERS, "genai-int8", shops.genai("int8"))
    with pytest.raises(SmolshipError, match=r"the peer genai-int8 could not be made: pip-genai ended with 1"):
        makers.as_run(shop, "genai-int8", tmp_path / "place")
    assert not (tmp_path / "files" / tiny_checkpoint.name / "genai-int8.txt").exists()


def test_the_proof_counts_what_differs_and_lets_ties_be(benchmark_script: Load) -> None:
    proof = benchmark_script("onnx_proof")
    theirs = np.array([[3.0, 1.0, 0.0], [2.0, 2.0 - 1e-6, 0.0], [1.0, 0.5, 0.0]])
    same = proof.difference([(theirs, theirs.copy())])
    assert (same.positions, same.largest, same.mean, same.KL, same.disagreements) == (3, 0.0, 0.0, 0.0, 0)
    ours = theirs.copy()
    ours[1] = [2.0 - 1e-6, 2.0, 0.0]
    tied = proof.difference([(theirs[:1], ours[:1]), (theirs[1:], ours[1:])])
    assert (tied.positions, tied.disagreements, tied.not_ties) == (3, 1, 0)
    assert tied.largest == pytest.approx(1e-6)
    assert tied.mean == pytest.approx(2e-6 / 9)
    assert all(tied.holds().values())
    ours[2] = [0.5, 1.0, 0.0]
    other = proof.difference([(theirs, ours)])
    assert (other.disagreements, other.not_ties) == (2, 1)
    p, q = (np.exp(row) / np.exp(row).sum() for row in (theirs[2], ours[2]))
    divergence = 3 * other.KL
    assert divergence == pytest.approx((p * np.log(p / q)).sum(), rel=1e-6)
    assert not any(other.holds().values())


@pytest.mark.slow
def test_the_proof_takes_every_position_of_our_graph(
    benchmark_script: Load, packed: Path, tiny_checkpoint: Checkpoint
) -> None:
    proof = benchmark_script("onnx_proof")
    a, path = tiny_checkpoint.architecture, packed / "model.onnx"
    assert proof.Graph(path, 1, ours=True).logits((5, 6, 7), a.head_dim).shape == (3, a.vocabulary)
    with pytest.raises(SmolshipError, match="logits of 1 positions for 3 tokens"):
        proof.Graph(path, 1, ours=False).logits((5, 6, 7), a.head_dim)
