"""The lock names what these tests run on."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_lock_is_what_is_installed_here() -> None:
    lock = runpy.run_path(str(ROOT / "scripts" / "lock.py"))
    assert lock["lock_text"]() == (ROOT / "requirements.lock").read_text(encoding="utf-8")
