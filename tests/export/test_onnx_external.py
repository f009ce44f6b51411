"""The weights beside the model: the same numbers, aligned, by relative place, and no limit of 2 GB."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from tiny_graphs import PLAIN

from smolship.checkpoint import Checkpoint
from smolship.errors import InputError
from smolship.export import onnx as onnx_format
from smolship.export.onnx import write
from smolship.export.onnx.mobile import ORT_FILE, write_ort
from smolship.quantize import RECIPES, QuantizedModel
from smolship.runtime_checks.probe.backend_onnx import Backend

CONTEXT = 64
TOKENS = [7 * step % 256 for step in range(CONTEXT)]
Folders = tuple[Path, Path]


@pytest.fixture(scope="module")
def folders(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The tiny model in one file, and with its weights beside."""
    model = QuantizedModel(tiny_checkpoint, RECIPES["q4-e8"])
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    onnx_format.pack(model, one, CONTEXT)
    onnx_format.pack(model, two, CONTEXT, external=True)
    return one, two


def test_plain_onnx_runtime_computes_the_same(folders: Folders) -> None:
    one, two = (np.concatenate(list(Backend(str(folder), CONTEXT, 1).window(TOKENS))) for folder in folders)
    assert np.abs(one).max() > 0.1
    np.testing.assert_array_equal(one, two)


def test_the_integers_are_the_same(folders: Folders) -> None:
    one, two = (onnx_format.unpack(folder) for folder in folders)
    assert one.keys() == two.keys()
    assert all(one[name].same_as(two[name]) for name in one)


def test_onnx_reads_the_same_model(folders: Folders) -> None:
    one, two = (onnx.load(folder / "model.onnx") for folder in folders)
    tensors = [
        {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer} for model in (one, two)
    ]
    assert tensors[0].keys() == tensors[1].keys()
    for name, array in tensors[0].items():
        np.testing.assert_array_equal(array, tensors[1][name])
    for model in (one, two):
        del model.graph.initializer[:]
    assert one == two


def test_the_second_file_can_be_mapped_and_moved(folders: Folders) -> None:
    folder = folders[1]
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    found = {each.name: {entry.key: entry.value for entry in each.external_data} for each in model.graph.initializer}
    beside = [places for places in found.values() if places]
    assert {places["location"] for places in beside} == {"model.onnx.data"}
    assert not [places for places in beside if int(places["offset"]) % 4096]
    ends = [int(places["offset"]) + int(places["length"]) for places in beside]
    assert (folder / "model.onnx.data").stat().st_size == max(ends)
    inside = [each for each in model.graph.initializer if not each.external_data]
    assert inside
    assert max(len(each.raw_data) for each in inside) < 1024
    assert min(int(places["length"]) for places in beside) >= 1024


def test_the_same_model_gives_the_same_bytes(folders: Folders, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    onnx_format.pack(QuantizedModel(tiny_checkpoint, RECIPES["q4-e8"]), tmp_path, CONTEXT, external=True)
    for name in ("model.onnx", "model.onnx.data"):
        assert (tmp_path / name).read_bytes() == (folders[1] / name).read_bytes()


def test_the_form_for_phones_is_the_same_from_both(folders: Folders, tmp_path: Path) -> None:
    for number, folder in enumerate(folders):
        (tmp_path / str(number)).mkdir()
        write_ort(folder / "model.onnx", tmp_path / str(number) / ORT_FILE)
    assert (tmp_path / "0" / ORT_FILE).read_bytes() == (tmp_path / "1" / ORT_FILE).read_bytes()


def test_only_the_model_itself_has_protobuf_s_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ir.from_onnx_text(PLAIN)
    tensor = ir.tensor(np.arange(4096, dtype=np.float32), name="large")
    model.graph.register_initializer(ir.Value(name="large", const_value=tensor))
    monkeypatch.setattr(write, "LARGEST_FILE", 8192)
    with pytest.raises(InputError, match="one file at most 8192"):
        write.write_model(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []
    write.write_model(model, tmp_path / "m.onnx", external=True)
    assert (tmp_path / "m.onnx.data").read_bytes() == np.arange(4096, dtype=np.float32).tobytes()
