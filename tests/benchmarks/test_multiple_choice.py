"""benchmarks/multiple_choice.py: what is reported of scores, and a run on the tiny model."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from smolship.checkpoint import Checkpoint
from smolship.runtime_checks.tasks.rows import Row
from smolship.runtime_checks.tasks.scores import RowValues, values
from smolship.workflows.build import Order, build


@pytest.fixture(scope="module")
def script(benchmark_script: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_script("multiple_choice")


def _values(*likelihoods: tuple[float, float]) -> RowValues:
    rows = [Row(id=str(i), query="q", choices=("a", "b"), gold=0) for i in range(len(likelihoods))]
    return values(rows, likelihoods)


def test_a_file_is_paired_with_the_baseline_and_with_fp32(script: ModuleType) -> None:
    """Four rows: the file chooses as fp32 does, the baseline does so in two and is right in one more."""
    exact = _values((-1, -2), (-2, -1), (-1, -2), (-2, -1))
    good = _values((-1, -2.5), (-2, -1.5), (-1, -1.5), (-2, -1.5))
    poor = _values((-1, -2), (-1, -2), (-2, -1), (-1.0, -2))
    good_record, poor_record, reference = script.summarise({"good": good, "poor": poor, "fp32": exact}, "poor")
    assert reference["acc"]["value"] == 0.5
    assert good_record["agreement"]["value"] == 1
    assert poor_record["agreement"]["value"] == 0.25
    assert good_record["margin_error"]["value"] == pytest.approx(0.5)
    assert "against" not in poor_record
    assert good_record["acc_paired"]["value"] == pytest.approx(0.5 - 0.75)
    assert (good_record["agreement_paired"]["gained"], good_record["agreement_paired"]["p"]) == (3, 0.25)
    assert good_record["margin_error_paired"]["value"] == pytest.approx(0.5 - np.mean([0, 2, 2, 2]))
    assert "| good | agreement | +75.00" in script.markdown([good_record, poor_record, reference])


def test_folders_of_one_name_are_told_apart_by_their_paths(script: ModuleType) -> None:
    folders = [Path("a/x"), Path("b/x"), Path("c/y"), Path("a/x")]
    assert script.named(folders) == {Path("a/x"): "a/x", Path("b/x"): "b/x", Path("c/y"): "y"}


def test_a_run_keeps_its_scores_and_goes_on_from_them(
    script: ModuleType, tiny_folder: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    built = build(tiny_checkpoint, tmp_path, Order(recipes=("q4", "q8"), formats=("gguf",), context=256))
    base, other = (one.artefact.folder for one in built)
    rows = [Row(id=str(i), query=f"Question {i}", choices=("a", "bb"), gold=i % 2) for i in range(4)]
    (tmp_path / "rows.jsonl").write_text("\n".join(row.model_dump_json() for row in rows))
    options = {"data": tmp_path / "rows.jsonl", "checkpoint": str(tiny_folder), "keep": tmp_path / "kept"}
    for count in (2, 4):
        asked = argparse.Namespace(artefacts=[other], baseline=base, rows=count, reference=True, threads=1, **options)
        records = script.run(asked)
        kept = [json.loads(path.read_text()) for path in (tmp_path / "kept").iterdir()]
        assert [len(each) for each in kept] == [count] * 3
    assert [record["name"] for record in records] == [other.name, base.name, "fp32"]
    assert "Paired against" in script.markdown(records)
