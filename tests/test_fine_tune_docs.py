"""docs/how-to/fine-tunes.md: its commands are run as they stand, on a folder that transformers 5 saved."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from zoo.table import unpack

PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "fine-tunes.md").read_text(encoding="utf-8")
COMMANDS = [command.strip() for command in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)]
FORMATS = ("gguf", "onnx", "executorch")


@pytest.mark.slow
def test_the_page_leads_to_three_checked_files(tmp_path: Path) -> None:
    unpack("v5-trainer", tmp_path / "my-model")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for command in COMMANDS:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    for recipe in ("q8", "q4-e8-calibrated"):
        for fmt in FORMATS:
            artefact = tmp_path / "artefacts" / f"my-model-{recipe}-{fmt}"
            assert json.loads((artefact / "measurements.json").read_text())["failure"] is None
    assert len(COMMANDS) == 4
