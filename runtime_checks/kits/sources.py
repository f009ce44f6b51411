"""Source distributions of the package index: fetched by pip, never built by it."""

import tarfile
from pathlib import Path

from smolship.runtime_checks.kits import pip


def fetch_source(package: str, version: str, below: str, folder: Path) -> Path:
    """Unpack the files `below` of a package's source distribution into `folder`; where that part of it lies there.

    `InputError` if pip cannot fetch it.
    """
    archive = pip.download(
        ["--no-binary", package, f"{package}=={version}"],
        folder,
        otherwise=f"pip could not fetch the sources of {package} {version}",
        advice="package index",
    )
    with tarfile.open(archive) as packed:
        top = packed.getnames()[0].split("/")[0]
        wanted = [member for member in packed if member.name.startswith(f"{top}/{below}")]
        packed.extractall(folder, members=wanted, filter="data")
    archive.unlink()
    return folder / top / below
