"""Wheels for a device: fetched here by pip for the device's platform, unpacked here, nothing compiled."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

from smolship.runtime_checks.kits import pip
from smolship.runtime_checks.kits.platform import Platform

OLDEST_GLIBC = 17
"""the minor version of the first manylinux there is (PEP 600)"""


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
    return pip.download(
        ["--only-binary=:all:", *_for(platform), requirement],
        folder,
        otherwise=f"pip has no wheel of {requirement} for {platform}",
        advice="package index, or take a format whose runtime runs there",
    )


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
