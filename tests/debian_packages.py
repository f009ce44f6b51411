"""Programs out of Debian's packages, unpacked into a folder: without root, and without changing the machine."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from unavailable import Unavailable, run


def unpacked(packages: tuple[str, ...], cache: Path) -> Path:
    """The folder below `cache` with the files of these packages, as they would lie below `/`.

    Raises:
        Unavailable: there is no apt-get here, or it does not get them.
    """
    folder = cache / packages[0]
    if folder.is_dir():
        return folder
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Unavailable(f"no apt-get on this machine to fetch Debian's {packages[0]} with")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        downloads, root = Path(work, "downloads"), Path(work, "root")
        downloads.mkdir()
        _download(packages, downloads)
        for package in downloads.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        if not folder.is_dir():  # another run of the tests may have been quicker
            root.rename(folder)
    return folder


def _download(packages: tuple[str, ...], folder: Path) -> None:
    command = ["apt-get", "-q", "download", *packages]
    try:
        run(command, folder=folder)
    except Unavailable:
        if os.getuid() != 0:
            raise
        run(["apt-get", "-q", "update"])  # a fresh container knows of no packages yet
        run(command, folder=folder)
