"""The operator list beside a .pte, read by ExecuTorch's own build tools."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import write_tiny_checkpoint

from smolship.checkpoint import open_checkpoint
from smolship.errors import InputError
from smolship.export.executorch import operators, pack
from smolship.export.executorch.operators import OPERATORS_FILE, operators_yaml
from smolship.quantize import quantize

pytestmark = pytest.mark.slow

SCHEMAS = ("portable/functions.yaml", "quantized/quantized.yaml")
"""what ExecuTorch's kernel libraries have"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one layer in 4 bits, with the list beside it."""
    checkpoint = open_checkpoint(str(write_tiny_checkpoint(tmp_path_factory.mktemp("one") / "c", num_hidden_layers=1)))
    place = tmp_path_factory.mktemp("packed")
    pack(quantize(checkpoint, "q4", ("executorch",)), place, 64)
    (place / OPERATORS_FILE).write_text(operators_yaml((place / "model.pte").read_bytes()))
    return place


def selected(place: Path, **source: str) -> dict[str, Any]:
    """What ExecuTorch's build selects, as it writes it for the steps that follow."""
    from executorch.codegen.tools.gen_oplist import gen_oplist

    gen_oplist(place / "selected_operators.yaml", **source)
    chosen: dict[str, Any] = yaml.safe_load((place / "selected_operators.yaml").read_text())
    return chosen


def test_the_list_selects_what_the_program_itself_selects(folder: Path, tmp_path: Path) -> None:
    of_list = selected(tmp_path, ops_schema_yaml_path=str(folder / OPERATORS_FILE))
    of_program = selected(tmp_path, model_file_path=str(folder / "model.pte"))
    assert of_list["operators"].keys() == of_program["operators"].keys()
    assert of_list["et_kernel_metadata"] == {name: ["default"] for name in of_program["et_kernel_metadata"]}
    assert not of_list["include_all_operators"]


def test_the_build_refuses_what_its_own_tool_writes(folder: Path, tmp_path: Path) -> None:
    """Why the list has the form of a schema."""
    selected(tmp_path, model_file_path=str(folder / "model.pte"))
    with pytest.raises(AttributeError):
        selected(tmp_path, ops_schema_yaml_path=str(tmp_path / "selected_operators.yaml"))


def test_every_operator_has_a_kernel_in_the_libraries_that_the_comment_names(folder: Path, tmp_path: Path) -> None:
    import executorch

    text, package = (folder / OPERATORS_FILE).read_text(), Path(next(iter(executorch.__path__)))
    schemas = [str(package / "kernels" / name) for name in SCHEMAS]
    kernels = {name for path in schemas for name in selected(tmp_path, ops_schema_yaml_path=path)["operators"]}
    runtime = (package / "lib" / "libexecutorch.so").read_bytes()  # it has those on single integers
    named = [entry["op"] for entry in yaml.safe_load(text)]
    assert named == sorted(set(named))
    assert not [name for name in named if name not in kernels and f"{name}\0".encode() not in runtime]
    comment = [line.split("-D")[1] for line in text.splitlines() if line.startswith("#   ")]
    assert comment == [
        "EXECUTORCH_BUILD_XNNPACK=ON (XnnpackBackend)",
        "EXECUTORCH_BUILD_KERNELS_QUANTIZED=ON (quantized_decomposed)",
    ]


def test_two_lists_behind_each_other_are_that_of_both_models(folder: Path, tmp_path: Path) -> None:
    text = (folder / OPERATORS_FILE).read_text()
    (tmp_path / "both.yaml").write_text(text + "- op: aten::gelu.out\n" + text)
    of_both = selected(tmp_path, ops_schema_yaml_path=str(tmp_path / "both.yaml"))
    assert of_both["operators"].keys() == {entry["op"] for entry in yaml.safe_load(text)} | {"aten::gelu.out"}


def test_a_backend_without_a_known_option_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(operators.OPTIONS, "XnnpackBackend")
    with pytest.raises(InputError, match="needs XnnpackBackend; known are CoreMLBackend"):
        operators_yaml((folder / "model.pte").read_bytes())
