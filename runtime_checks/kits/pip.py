"""pip as a program: what it downloads for another machine, and its own words where it cannot."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from smolship.errors import InputError

SAID = 400
"""characters of pip's own words that an error repeats"""


def download(arguments: Sequence[str], folder: Path, *, otherwise: str, advice: str) -> Path:
    """Run `pip download` of one file, without dependencies, into `folder`; the file.

    `InputError`, if it fails, is `otherwise`, pip's own words, and `advice`.
    """
    before = set(folder.iterdir())
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--dest", str(folder), *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line] or [done.stderr]
        raise InputError(f"{otherwise} ({said[-1].strip()[-SAID:]}): see that this machine reaches its {advice}")
    return next(iter(set(folder.iterdir()) - before))
