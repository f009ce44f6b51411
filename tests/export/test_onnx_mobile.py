"""model.ort computes what model.onnx computes, is the same each time, and keeps to what the lowest runtime knows."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray
from tiny_graphs import TIED, blocks, unchanged

from smolship.checkpoint import Checkpoint
from smolship.errors import SmolshipError
from smolship.export import onnx as onnx_format
from smolship.export.onnx.mobile import CONFIG_FILE, ORT_FILE, required_operators, share_scales, write_ort
from smolship.export.onnx.operators import CONTRIB, LOWEST, LOWEST_FOR_ZERO_POINTS, lowest_runtime
from smolship.export.onnx.ort_format import TABLES, Table, read_tables, write_tables
from smolship.export.onnx.passes import run_passes
from smolship.export.onnx.passes.quantized_embedding import quantized_embedding
from smolship.export.onnx.passes.quantized_linear import quantized_linear
from smolship.quantize import RECIPES, QuantizedModel, Recipe
from smolship.runtime_checks.probe.backend_onnx import Backend

CONTEXT = 64
TOKENS = [7 * step % 256 for step in range(CONTEXT)]
ZERO_POINTS = Recipe("uint4", "uint4", "uint4", "nearest", "zero points, in the tied head too")
GRAPH, NODES, OP_TYPE, ATTRIBUTES, INITIALIZERS = 7, 2, 5, 10, 0


@pytest.fixture(scope="module", params=["q4", "q4-e8", "q8", "uint4"])
def folder(
    request: pytest.FixtureRequest, tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny model packed, and its model.ort in the same folder."""
    place = tmp_path_factory.mktemp(request.param)
    recipe = ZERO_POINTS if request.param == "uint4" else RECIPES[request.param]
    onnx_format.pack(QuantizedModel(tiny_checkpoint, recipe), place, CONTEXT)
    write_ort(place / "model.onnx", place / ORT_FILE)
    return place


def logits(folder: Path, model: str) -> NDArray[np.float32]:
    """Of every position: [64, vocabulary]."""
    return np.concatenate(list(Backend(str(folder), CONTEXT, 1, model).window(TOKENS)))


def graph_of(path: Path) -> Table:
    """The Graph of a file in ONNX Runtime's own format."""
    graph: Table = read_tables(path.read_bytes())[1][GRAPH]
    return graph


def test_it_computes_what_the_onnx_file_computes(folder: Path) -> None:
    want = logits(folder, "model.onnx")
    assert np.abs(want).max() > 0.1
    np.testing.assert_allclose(logits(folder, ORT_FILE), want, atol=1e-5)


def test_it_is_the_same_each_time_and_names_no_place(folder: Path, tmp_path: Path) -> None:
    write_ort(folder / "model.onnx", tmp_path / "again.ort")
    again, first = (tmp_path / "again.ort").read_bytes(), (folder / ORT_FILE).read_bytes()
    assert again == first
    assert not [place for place in (folder, tmp_path, Path.cwd(), Path.home()) if f"{place}/".encode() in again]
    assert [path.name for path in tmp_path.iterdir()] == ["again.ort"]


def test_the_configuration_names_what_the_file_needs_and_no_place(folder: Path) -> None:
    text = required_operators(folder / ORT_FILE).decode()
    assert str(folder) not in text
    assert text == required_operators(folder / ORT_FILE).decode()
    listed = {line.split(";", 2)[0]: line for line in text.splitlines() if line.startswith("com.microsoft")}
    nodes = graph_of(folder / ORT_FILE)[NODES]
    used = {node[OP_TYPE].decode() for node in nodes if node[2] == b"com.microsoft"}
    assert used == set(CONTRIB)
    assert set(listed["com.microsoft"].split(";")[2].split(",")) == used
    others = {node[OP_TYPE].decode() for node in nodes} - used
    assert not [name for name in others if name not in text]


def test_onnx_runtime_s_own_parser_reads_the_configuration(folder: Path, tmp_path: Path) -> None:
    from onnxruntime.tools.reduced_build_config_parser import parse_config

    (tmp_path / CONFIG_FILE).write_bytes(required_operators(folder / ORT_FILE))
    operators, types = parse_config(str(tmp_path / CONFIG_FILE), enable_type_reduction=True)
    assert operators["com.microsoft"][1] == set(CONTRIB)
    assert types is not None


def test_attributes_that_the_lowest_runtime_refuses_are_gone(folder: Path) -> None:
    for node in graph_of(folder / ORT_FILE)[NODES]:
        if node[2] == b"com.microsoft":
            names = {attribute[0].decode() for attribute in node[ATTRIBUTES]}
            assert names <= CONTRIB[node[OP_TYPE].decode()][0]


def test_the_embedding_keeps_no_scales_of_its_own(folder: Path) -> None:
    names = [tensor[0].decode() for tensor in graph_of(folder / ORT_FILE)[INITIALIZERS]]
    sizes = {tensor[0].decode(): len(tensor[4]) for tensor in graph_of(folder / ORT_FILE)[INITIALIZERS]}
    head = sizes["model.embed_tokens.weight.scales.float32"]
    assert [name for name in names if sizes[name] == head] == ["model.embed_tokens.weight.scales.float32"]


def test_with_its_casts_left_in_it_gives_zeros(folder: Path) -> None:
    """Why they are folded. If this fails, a later ONNX Runtime does without, and the scales may stay in 2 bytes."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(folder / "unfolded.ort")
    options.log_severity_level = 3
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    assert np.abs(logits(folder, "unfolded.ort")).max() < 1e-6


def test_sharing_changes_nothing_where_the_embedding_has_scales_like_no_head() -> None:
    tied = blocks("int8-b32")
    model = run_passes(ir.from_onnx_text(TIED), (quantized_embedding(lambda _: tied), quantized_linear(lambda _: tied)))
    assert unchanged(share_scales, model)


def test_what_is_read_is_written_again(folder: Path) -> None:
    root = read_tables((folder / ORT_FILE).read_bytes())
    assert read_tables(write_tables(root)) == root
    assert write_tables(root) == (folder / ORT_FILE).read_bytes()


def test_weights_lie_where_kernels_can_read_them(folder: Path) -> None:
    data = (folder / ORT_FILE).read_bytes()
    codes = [tensor for tensor in graph_of(folder / ORT_FILE)[INITIALIZERS] if tensor[0].endswith(b".codes")]
    assert codes
    assert {data.index(bytes(tensor[4])) % 64 for tensor in codes} == {0}


def test_a_file_of_another_format_or_with_a_field_of_the_future_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SmolshipError, match="not in ONNX Runtime's own format"):
        read_tables((folder / "model.onnx").read_bytes())
    monkeypatch.setitem(TABLES, "Node", TABLES["Node"][:ATTRIBUTES])
    with pytest.raises(SmolshipError, match="Node of this ONNX Runtime's format has a field"):
        read_tables((folder / ORT_FILE).read_bytes())


def test_zero_points_of_the_embedding_need_a_later_runtime(folder: Path) -> None:
    lowest = LOWEST_FOR_ZERO_POINTS if folder.name.startswith("uint4") else LOWEST
    assert lowest_runtime(ir.load(folder / "model.onnx")) == lowest


REFUSED = {
    "a newer opset": ('"" : 24', "Neg(x)", "the graph has opset 24"),
    "an operator of no known domain": ('"" : 18, "org.example" : 1', "org.example.Neg(x)", "knows no org.example.Neg"),
    "an operator that is newer": ('"" : 18, "com.microsoft" : 1', "com.microsoft.Newest(x)", "knows no com.microsoft"),
    "an attribute that is newer": (
        '"" : 18, "com.microsoft" : 1',
        "com.microsoft.QuickGelu<alpha = 1.0, beta = 1>(x)",
        f"QuickGelu of ONNX Runtime {LOWEST} does not take beta",
    ),
    "an input that is newer": (
        '"" : 18, "com.microsoft" : 1',
        "com.microsoft.QuickGelu<alpha = 1.0>(x, x)",
        "does not take input 1",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_lowest_runtime_does_not_know_is_refused(what: str) -> None:
    opsets, node, said = REFUSED[what]
    text = f"<ir_version: 8, opset_import: [{opsets}]> graph (float[n] x) => (float[n] y) {{ y = {node} }}"
    with pytest.raises(SmolshipError, match=said):
        lowest_runtime(ir.from_onnx_text(text))
