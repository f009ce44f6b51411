"""Source distributions of the package index: fetched by pip, never built by it."""

import subprocess
import sys
import tarfile
from pathlib import Path

from smolship.errors import InputError


def fetch_source(package: str, version: str, below: str, folder: Path) -> Path:
    """Unpack the files `below` of a package's source distribution into `folder`; where that part of it lies there.

    `InputError` if pip cannot fetch it.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", package, "--dest", str(folder), f"{package}=={version}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    archive = next(folder.glob("*.tar.gz"), None)
    if done.returncode or archive is None:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["no reason given"]
        raise InputError(
            f"pip could not fetch the sources of {package} {version} ({said[-1].strip()}): "
            "see that this machine reaches its package index"
        )
    with tarfile.open(archive) as packed:
        top = packed.getnames()[0].split("/")[0]
        wanted = [member for member in packed if member.name.startswith(f"{top}/{below}")]
        packed.extractall(folder, members=wanted, filter="data")
    archive.unlink()
    return folder / top / below
