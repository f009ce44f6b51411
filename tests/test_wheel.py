"""What is installed: the wheel holds every file of the rooms, under `smolship` and nowhere else."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def setuptools_table() -> dict[str, Any]:
    """`[tool.setuptools]` of pyproject.toml."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(settings["tool"]["setuptools"])


def tracked(folder: str) -> set[str]:
    """Paths below `folder` that belong to the project: git knows them or would take them, and they are there."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {line.removeprefix(f"{folder}/") for line in done.stdout.splitlines() if (ROOT / line).is_file()}


@pytest.fixture(scope="module")
def in_folders(setuptools_table: dict[str, Any]) -> set[str]:
    """Every file of the mapped folders, as the path it should have in site-packages."""
    folders: dict[str, str] = setuptools_table["package-dir"]
    return {f"{name.replace('.', '/')}/{path}" for name, folder in folders.items() for path in tracked(folder)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the project, so that no build folder is left or reused."""
    work = tmp_path_factory.mktemp("wheel")
    source = work / "source"
    for path in tracked("."):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes((ROOT / path).read_bytes())
    command: list[str | Path] = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", work, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = work.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def in_wheel(wheel: Path) -> set[str]:
    """Every file of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_nothing_but_smolship_is_installed(in_wheel: set[str]) -> None:
    tops = {path.split("/")[0] for path in in_wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"smolship"}


def test_the_wheel_holds_the_folders_data_files_too(in_wheel: set[str], in_folders: set[str]) -> None:
    assert {path for path in in_wheel if path.startswith("smolship/")} == in_folders


def test_the_installed_wheel_finds_its_rooms_and_data(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    # A path comes before the editable installation's finder, so this runs the wheel's files and no others.
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    program = "import smolship.cli, smolship.targets as t; print(t.__file__, *t.target_names())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    where, *targets = done.stdout.split()
    assert where.startswith(str(tmp_path))
    assert targets == sorted(path.stem for path in (ROOT / "targets" / "profiles").glob("*.toml"))


def test_the_package_map_lists_every_folder_with_code(setuptools_table: dict[str, Any], in_folders: set[str]) -> None:
    with_code = {path.rpartition("/")[0].replace("/", ".") for path in in_folders if path.endswith("/__init__.py")}
    assert sorted(setuptools_table["packages"]) == sorted(with_code)


def test_every_folder_with_code_is_a_package(in_folders: set[str]) -> None:
    with_code = {path.rpartition("/")[0] for path in in_folders if path.endswith(".py")}
    assert {folder for folder in with_code if f"{folder}/__init__.py" not in in_folders} == set()
