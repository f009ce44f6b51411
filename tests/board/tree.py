"""The board's root file system: unpacked from Debian's packages once, set up, and kept for the next run."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from unavailable import Unavailable, run

from board import packages
from board.cache import kept

MERGED = ("bin", "lib", "sbin")  # links into /usr, which in Debian 12 an installer makes before anything is unpacked
EMULATOR = "/usr/bin/qemu-aarch64-static"  # one of the many in its package
USER = "pi"
ACCOUNTS = {
    "passwd": f"sshd:*:101:65534::/run/sshd:/usr/sbin/nologin\n{USER}:*:1000:1000:,,,:/home/{USER}:/bin/bash\n",
    "group": f"{USER}:*:1000:\n",
}
"""what is added to Debian's own, which base-passwd brings; nobody has a password"""


@dataclass(frozen=True)
class Tree:
    """A board's root file system, and the emulator that runs its programs here."""

    root: Path
    emulator: Path


def board_tree() -> Tree:
    """The tree of these packages and this set-up, from the cache or made now; `Unavailable` with the reason if not."""
    if platform.machine() != "x86_64":
        raise Unavailable(f"the board is emulated on x86_64, and this machine is {platform.machine()}")
    if os.geteuid() != 0:
        raise Unavailable("the board's files belong to several users, which takes root to make: run the tests as root")
    place = kept("board", [packages.__file__, __file__], _make)
    return Tree(place / "root", place / packages.EMULATOR)


def _make(place: Path, work: Path) -> None:
    """Download, unpack and set up; `work` holds what is not kept."""
    root = place / "root"
    packages.unpack(packages.download([packages.EMULATOR], "amd64", work / "amd64"), work, f".{EMULATOR}")
    archives = packages.download(packages.BOARD, "arm64", work / "arm64")
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    packages.unpack(archives, root)
    (work / EMULATOR.lstrip("/")).rename(place / packages.EMULATOR)
    _set_up(root, place / packages.EMULATOR)
    (place / "packages.txt").write_text("".join(f"{archive.stem}\n" for archive in archives))


def _set_up(root: Path, emulator: Path) -> None:
    """The little that packages' scripts would have done and that a login or a Python program needs."""
    etc = root / "etc"
    for name, lines in ACCOUNTS.items():
        master = root / "usr" / "share" / "base-passwd" / f"{name}.master"
        _write(etc / name, master.read_text() + lines)
    _write(etc / "hostname", "board\n")
    _write(etc / "hosts", "127.0.0.1 localhost board\n")
    (root / "usr" / "bin" / "awk").symlink_to("mawk")
    run([emulator, root / "usr" / "sbin" / "ldconfig", "-r", root])


def _write(path: Path, text: str) -> None:
    """A file that everybody on the board may read, whatever this process's umask is."""
    path.write_text(text)
    path.chmod(0o644)
