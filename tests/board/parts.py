"""What an emulated machine is put together from: QEMU, Debian's kernel for clouds, and a disk with the board's tree."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from unavailable import run

from board import packages
from board.cache import kept
from board.tree import Tree

LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
LOADER = "ld-linux-x86-64.so.2"
EMULATOR = "qemu-system-aarch64"
MODULES = (
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_mmio",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
)
"""the network card's, each after those that it needs; the drivers of NVMe and ext4 are in the kernel itself"""
ROOM = "2g"
"""what the disk holds: some 0.1 GB of Debian, and the rest for pi"""


@dataclass(frozen=True)
class Parts:
    """Files that all machines share; nothing here is written by any of them."""

    emulator: tuple[Path | str, ...]
    """the command, before its arguments"""
    kernel: Path
    busybox: Path
    """one static arm64 program with all that the first minute of a machine takes"""
    modules: Path
    """a folder of kernel modules, sorted as they are to be loaded"""
    disk: Path
    """a sparse ext4 image of the tree"""


def machine_parts(tree: Tree) -> Parts:
    """The parts of machines with that tree, from the cache or made now; `Unavailable` with the reason if not."""
    sources = (packages.__file__, __file__)
    # The package even where this machine has a QEMU: an older one may lack the processors, and one way is enough.
    emulator = kept("emulator", sources, _make_emulator)
    kernel = kept("kernel", sources, _make_kernel)
    disk = kept(f"disk-{tree.root.parent.name}", sources, lambda place, _: make_disk(tree.root, place / "disk", ROOM))
    command = (emulator / LOADER, "--library-path", emulator, emulator / EMULATOR)
    return Parts(command, kernel / "vmlinuz", kernel / "busybox", kernel / "modules", disk / "disk")


def make_disk(root: Path, disk: Path, room: str) -> None:
    """An ext4 image of all that is below `root`, with its owners; without a journal, for no machine's disk is kept."""
    run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, disk, room])


def _make_emulator(folder: Path, work: Path) -> None:
    """QEMU with every library that it is linked to and their loader, so that it runs beside any libc."""
    root = work / "root"
    packages.unpack(packages.download([packages.MACHINE_EMULATOR], "amd64", work / "amd64"), root)
    libraries = [root / name for name in LIBRARIES]
    loader, program = libraries[0] / LOADER, root / "usr" / "bin" / EMULATOR
    listed = run([loader, "--library-path", ":".join(map(str, libraries)), "--list", program]).decode()
    # `name => path (address)`, or without the arrow the loader itself, and what the kernel brings and is no file
    paths = [Path(line.split(" => ")[-1].split()[0]) for line in listed.splitlines()]
    for path in (program, *paths):
        if path.is_absolute() and path.is_file():
            shutil.copy(path, folder)
    run([folder / LOADER, "--library-path", folder, folder / EMULATOR, "--version"])  # else it is not worth keeping


def _make_kernel(folder: Path, work: Path) -> None:
    root = work / "root"
    packages.unpack(packages.download(packages.KERNEL, "arm64", work / "arm64"), root)
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    (modules,) = (root / "lib" / "modules").iterdir()
    kernel.rename(folder / "vmlinuz")
    (root / "bin" / "busybox").rename(folder / "busybox")
    (folder / "modules").mkdir()
    for number, name in enumerate(MODULES):
        module = modules / "kernel" / f"{name}.ko"
        module.rename(folder / "modules" / f"{number}-{module.name}")
