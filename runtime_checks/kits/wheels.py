"""Wheels for a device: fetched here by pip for the device's platform, unpacked here, nothing compiled."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

from smolship.errors import InputError
from smolship.runtime_checks.kits.platform import Platform

OLDEST_GLIBC = 17
"""the minor version of the first manylinux there is (PEP 600)"""
SAID = 400
"""characters of pip's own words that an error repeats"""


def install_wheels(requirements: Sequence[str], platform: Platform, folder: Path) -> None:
    """Unpack one wheel for each of `requirements` (`numpy==2.4.6`) into `folder`, without their dependencies.

    `InputError` names what there is no wheel of for that platform, or says why pip could not fetch it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="smolship-wheels-") as place:
        for requirement in requirements:
            with ZipFile(fetch_wheel(requirement, platform, Path(place))) as wheel:
                wheel.extractall(folder)


def fetch_wheel(requirement: str, platform: Platform, folder: Path) -> Path:
    """Download the wheel of a requirement that suits a platform into `folder`; see `install_wheels` for the errors."""
    before = set(folder.glob("*.whl"))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), *_for(platform), requirement]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line] or [done.stderr]
        raise InputError(
            f"pip has no wheel of {requirement} for {platform} ({said[-1].strip()[-SAID:]}): "
            "see that this machine reaches its package index, or take a format whose runtime runs there"
        )
    return next(iter(set(folder.glob("*.whl")) - before))


def _for(platform: Platform) -> list[str]:
    """What names a platform to pip: every manylinux that its C library can run, and its Python."""
    major, minor = platform.glibc
    tags = [f"manylinux_{major}_{number}_{platform.machine}" for number in range(minor, OLDEST_GLIBC - 1, -1)]
    tags += [f"manylinux2014_{platform.machine}"]
    options = [word for tag in tags for word in ("--platform", tag)]
    if platform.python is None:
        return options
    digits = "".join(map(str, platform.python))
    options += ["--implementation", "cp", "--python-version", digits]
    return [*options, "--abi", f"cp{digits}", "--abi", "abi3", "--abi", "none"]
