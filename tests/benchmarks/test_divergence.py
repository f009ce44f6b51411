"""benchmarks/divergence.py and what becomes of its records: merged, held apart by text, drawn beside peers."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tiny import write_tiny_checkpoint

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError
from smolship.workflows.build import Order, build

Load = Callable[[str], ModuleType]


def _record(name: str, kl: float, text: str = "a") -> dict[str, Any]:
    return {
        "name": name, "recipe": name, "format": "gguf", "MB": 80.0, "KL": kl, "text": {"sha256": text},
        "reference": {"sha256": "r"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def artefact(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    out = tmp_path_factory.mktemp("divergence")
    return build(tiny_checkpoint, out, Order(recipes=("q8",), formats=("gguf",), context=512))[0].artefact


def test_an_artefact_is_measured_on_its_runtime(benchmark_script: Load, artefact: Artefact, tiny_folder: Path) -> None:
    asked = argparse.Namespace(
        artefacts=[artefact.folder], checkpoint=str(tiny_folder), text="code", windows=1, threads=1
    )
    (record,) = benchmark_script("divergence").run(asked)
    assert 0 < record["KL"] < 0.05
    assert record["top1"] > 0.8
    assert record["text"]["tokens"] == 512
    assert record["calibration"] == artefact.manifest.calibration
    assert record["MB"] == round(artefact.manifest.model_bytes / 1e6, 2)


def test_an_artefact_of_another_checkpoint_is_refused(
    benchmark_script: Load, artefact: Artefact, tmp_path: Path
) -> None:
    other = write_tiny_checkpoint(tmp_path / "TinyLM2-Instruct", dtype="float16")
    asked = argparse.Namespace(artefacts=[artefact.folder], checkpoint=str(other), text="prose", windows=1, threads=1)
    with pytest.raises(InputError, match="another checkpoint"):
        benchmark_script("divergence").run(asked)


def test_what_is_measured_anew_replaces_its_record_on_that_text_alone(benchmark_script: Load) -> None:
    old = [_record("x", 0.3), _record("x", 0.4, text="b"), _record("y", 0.2)]
    found = benchmark_script("divergence").merged(old, [_record("x", 0.1)])
    assert [(one["name"], one["text"]["sha256"], one["KL"]) for one in found] == [
        ("x", "b", 0.4),
        ("y", "a", 0.2),
        ("x", "a", 0.1),
    ]


def test_one_figure_has_one_text(benchmark_script: Load) -> None:
    with pytest.raises(ValueError, match="2 texts"):
        benchmark_script("divergence_plot").ours([_record("x", 0.3), _record("x", 0.4, text="b")])


def test_the_figure_is_drawn_with_peers_and_is_the_same_twice(benchmark_script: Load, tmp_path: Path) -> None:
    plot = benchmark_script("divergence_plot")
    points = [*plot.peers(plot.PEERS), *plot.ours([_record("our-recipe", 0.05)])]
    assert len(points) > 20
    for name in ("a.svg", "b.svg"):
        plot.draw(points, tmp_path / name)
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn == (tmp_path / "b.svg").read_text()
    assert ">our-recipe<" in drawn
    assert ">Q4_K_M<" in drawn


def test_every_peer_has_a_style(benchmark_script: Load) -> None:
    plot = benchmark_script("divergence_plot")
    assert {point.series for point in plot.peers(plot.PEERS)} | plot.OWN == set(plot.STYLES)


def test_points_that_coincide_carry_one_name(benchmark_script: Load) -> None:
    plot = benchmark_script("divergence_plot")
    a, b = plot.Point("smolship, GGUF", "q8", 144.8, 0.0040), plot.Point("smolship, ONNX", "q8", 144.4, 0.0041)
    c = plot.Point("smolship, ExecuTorch", "q8", 145.0, 0.0144)
    assert plot.labelled([a, b, c]) == [a, c]


def test_each_file_of_records_in_the_repository_is_of_one_text(benchmark_script: Load) -> None:
    plot = benchmark_script("divergence_plot")
    for path, titles in ((plot.RECORDS, plot.TITLES), (plot.GIVEN_TEXT, plot.TITLES_GIVEN_TEXT)):
        records = json.loads(path.read_text(encoding="utf-8"))
        assert len(plot.ours(records, titles)) == len(records) > 0


def test_wikitext_becomes_plain_prose(benchmark_script: Load) -> None:
    long = (
        'The well @-@ known claw ( of 4 @,@ 500 g , or 1 @.@ 5 – 2 % ) was called " the crusher " by Smith \'s son . '
    )
    raw = f" = A heading = \n {long * 3}\n short line .\n"
    expected = 'The well-known claw (of 4,500 g, or 1.5–2%) was called "the crusher" by Smith\'s son.'
    assert benchmark_script("plain_prose").plain(raw) == " ".join([expected] * 3) + "\n"
