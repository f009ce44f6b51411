"""A running machine: a real arm64 kernel on an emulated computer, for what the board's emulator cannot show.

That is memory that runs out, and a /proc of its own. Only one loopback port leads there, and nothing leads out.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from time import monotonic, sleep

from board.board import Board, last_words, write_files
from board.parts import Parts, machine_parts, make_disk
from board.processors import PI_5, Processor
from board.tree import Tree

START = Path(__file__).with_name("machine.sh")
ADDRESS = "10.0.2.15"  # any of the network that QEMU makes up
PORT = 22
PATIENCE = 120.0
"""seconds for sshd to listen, on this machine that is busy with other things"""
LISTENING = f"Server listening on {ADDRESS} port {PORT}.".encode()
# A panic ends QEMU by panic=-1 and --no-reboot. What the kernel does not know and has a `=`, the first process gets in
# its environment.
KERNEL = f"root=/dev/nvme0n1 rootwait init=/init console=ttyAMA0 quiet panic=-1 address={ADDRESS}"


@contextmanager
def open_machine(tree: Tree, folder: Path, *, memory: str, processor: Processor = PI_5) -> Iterator[Board]:
    """Boot a machine of one core with its files in `folder`, and end it when the context is left, or its opener dies.

    `memory` is written as QEMU writes it, `512M` or `1G`. What the machine writes on its disk is gone with it.
    `Unavailable` with the reason if its parts cannot be had, `RuntimeError` if no sshd listens there.
    """
    parts = machine_parts(tree)
    board = write_files(folder, address=f"{ADDRESS}:{PORT}")
    command = ["setpriv", "--pdeathsig", "KILL", *_command(parts, _boot_disk(parts, folder), board, memory, processor)]
    environment = os.environ | {"TMPDIR": str(folder)}  # QEMU keeps what the machine writes in an unlinked file there
    nothing = subprocess.DEVNULL
    with (
        board.log.open("wb") as log,
        # a session of its own, because Ctrl-C must reach the tests alone
        subprocess.Popen(
            command, stdin=nothing, stdout=log, stderr=log, env=environment, start_new_session=True
        ) as process,
    ):
        try:
            _wait(process, board)
            yield board
        finally:
            process.kill()


def _boot_disk(parts: Parts, folder: Path) -> Path:
    """A small disk with what starts this machine and no other: it has the keys."""
    root, disk = folder / "boot", folder / "boot.ext4"
    for part in ("dev", "tree"):
        (root / part).mkdir(parents=True)
    shutil.copytree(parts.modules, root / "modules")
    shutil.copytree(folder / "ssh", root / "ssh")
    shutil.copy(parts.busybox, root)
    shutil.copy(START, root / "init")
    for program in ("busybox", "init"):
        (root / program).chmod(0o755)
    make_disk(root, disk, "8m")
    return disk


def _command(parts: Parts, boot: Path, board: Board, memory: str, processor: Processor) -> list[str | Path]:
    """QEMU's command line; its serial port is what it prints."""
    network = f"user,id=net,restrict=on,ipv6=off,hostfwd=tcp:{board.host}:{board.port}-{ADDRESS}:{PORT}"
    options: tuple[tuple[str | Path, ...], ...] = (
        ("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"),
        ("-M", "virt", "-accel", "tcg", "-cpu", processor.qemu, "-m", memory),
        ("-kernel", parts.kernel, "-append", KERNEL),
        ("-drive", f"if=none,id=boot,format=raw,readonly=on,file={_escaped(boot)}"),
        ("-drive", f"if=none,id=tree,format=raw,snapshot=on,file={_escaped(parts.disk)}"),
        ("-device", "nvme,serial=board"),  # one controller, because two may be found in any order
        ("-device", "nvme-ns,drive=boot,nsid=1"),
        ("-device", "nvme-ns,drive=tree,nsid=2"),
        ("-netdev", network, "-device", "virtio-net-device,netdev=net"),
    )
    return [*parts.emulator, *chain.from_iterable(options)]


def _escaped(path: Path) -> str:
    """A path as the value of one of QEMU's options, where a comma begins the next."""
    return str(path).replace(",", ",,")


def _wait(process: subprocess.Popen[bytes], board: Board) -> None:
    """Until sshd says that it listens: QEMU itself takes connections long before."""
    deadline = monotonic() + PATIENCE
    while monotonic() < deadline and process.poll() is None:
        if LISTENING in board.log.read_bytes():
            return
        sleep(0.05)
    raise RuntimeError(f"the machine did not come up within {PATIENCE:.0f} s, or ended: {last_words(board)}")
