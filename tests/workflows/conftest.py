"""What tests of smoke share."""

from pathlib import Path

import pytest
from smoking import TARGET, KitOfHere, use_kit


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> KitOfHere:
    """The kit of llama.cpp is this interpreter."""
    use_kit(monkeypatch, KitOfHere())
    return KitOfHere()


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """The file of a target that any machine is."""
    path = tmp_path / "bench.toml"
    path.write_text(TARGET)
    return path
