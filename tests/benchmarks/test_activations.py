"""benchmarks/activations.py: the same codes, as shipped and with activations in float32."""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError
from smolship.workflows.build import Order, build

pytestmark = pytest.mark.slow

Load = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def artefacts(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> list[Artefact]:
    out = tmp_path_factory.mktemp("activations")
    order = Order(recipes=("q8",), formats=("gguf", "onnx"), context=512)
    return [one.artefact for one in build(tiny_checkpoint, out, order)]


def _asked(folders: list[Path], checkpoint: Path) -> argparse.Namespace:
    return argparse.Namespace(artefacts=folders, checkpoint=str(checkpoint), text="code", windows=1, threads=1)


def test_float_activations_are_closer_than_8_bit_ones_and_the_same_in_both_formats(
    benchmark_script: Load, artefacts: list[Artefact], tiny_folder: Path
) -> None:
    asked = _asked([artefact.folder for artefact in artefacts], tiny_folder)
    found = benchmark_script("activations").run(asked)
    assert [name for name, _, _ in found] == [artefact.folder.name for artefact in artefacts]
    for _, shipped, floating in found:
        assert 0 < floating.kl_mean < shipped.kl_mean
    (_, _, gguf), (_, _, onnx) = found
    assert gguf.kl_mean == pytest.approx(onnx.kl_mean, rel=0.02)


def test_the_artefacts_stay_as_they_were(benchmark_script: Load, artefacts: list[Artefact], tiny_folder: Path) -> None:
    onnx = artefacts[1]
    benchmark_script("activations").run(_asked([onnx.folder], tiny_folder))
    onnx.verify()


def test_a_format_without_8_bit_activations_of_its_own_is_refused(
    benchmark_script: Load, artefacts: list[Artefact], tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "as-executorch"
    shutil.copytree(artefacts[0].folder, folder)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text(encoding="utf-8")) | {"format": "executorch"}))
    with pytest.raises(InputError, match="executorch is not compared"):
        benchmark_script("activations").run(_asked([folder], tiny_folder))
