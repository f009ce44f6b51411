"""The jobs in docs/how-to/ci.md: their commands are run as they stand, and they are a gate."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "how-to" / "ci.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
"""by the name of the file that a block is"""
GITHUB = yaml.safe_load(BLOCKS[".github/workflows/gate.yml"])["jobs"]["gate"]
GITLAB = yaml.safe_load(BLOCKS[".gitlab-ci.yml"])["gate"]


def github_steps() -> dict[str, str]:
    return {step["name"]: step["run"] for step in GITHUB["steps"] if "run" in step}


def run(folder: Path, command: str, **more: str) -> int:
    """A command as a CI runs it: in bash, which ends at the first that fails."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = ["bash", "-eo", "pipefail", "-c", command]
    return subprocess.run(shell, cwd=folder, env=os.environ | {"PATH": path} | more, check=False).returncode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the page's budgets."""
    made = tmp_path_factory.mktemp("repository")
    (made / "budgets.toml").write_text(BLOCKS["budgets.toml"])
    return made


def test_what_they_install_are_extras_that_there_are() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installs = [github_steps()["install"], *GITLAB["before_script"]]
    for command in installs:
        named = re.fullmatch(r'pip install "\$SMOLSHIP\[([\w,]+)\]"', command)
        assert named
        assert set(named[1].split(",")) <= set(extras)
    assert GITHUB["env"]["SMOLSHIP"] == GITLAB["variables"]["SMOLSHIP"]


@pytest.mark.real
def test_the_github_job_passes_and_leaves_its_summary(folder: Path) -> None:
    steps = github_steps()
    summary = folder / "summary.md"
    for name in ("build", "gate", "summary"):
        assert run(folder, steps[name], GITHUB_STEP_SUMMARY=str(summary)) == 0, name
    assert summary.read_text().startswith("## smolship: SmolLM2-135M-Instruct: pass")


@pytest.mark.real
def test_the_gitlab_job_fails_with_exit_code_1_where_a_budget_is_broken(folder: Path) -> None:
    lax = (folder / "budgets.toml").read_text()
    (folder / "budgets.toml").write_text(lax.replace("<= 0.01 nats", "<= 0.001 nats"))
    build, check = GITLAB["script"]
    assert run(folder, build) == 0
    assert run(folder, check) == 1
    junit: Any = JUnitXml.fromfile(str(folder / GITLAB["artifacts"]["reports"]["junit"]))
    (case,) = (case for suite in junit for case in suite)
    assert "mean KL divergence: 0.0039" in case.result[0].message
    assert "limit <= 0.001 nats" in case.result[0].message
    for path in GITLAB["artifacts"]["paths"]:
        assert (folder / path / "report.html").is_file()
