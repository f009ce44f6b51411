"""A running board: an arm64 sshd on a loopback port, in namespaces of its own that end with everything in them."""

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from ports import HOST, free_port
from unavailable import Unavailable, run

from board.processors import PI_5, Processor
from board.tree import USER, Tree

START = Path(__file__).with_name("start.sh")
PATIENCE = 60.0
"""seconds for sshd to answer, on a machine that is busy with other things"""
GRACE = 10.0
"""seconds for the board to end by itself"""
# Which users are root inside can only be said from outside, once the namespace is there.
UNSHARE = 'echo unshared; read -r && exec unshare --mount --pid --fork --kill-child --uts --ipc bash "$@"'

SSHD = """\
HostKey /etc/ssh/host_key
ListenAddress {address}
AuthorizedKeysFile /etc/ssh/authorized_keys
AuthenticationMethods publickey
PermitRootLogin no
UsePAM no
PidFile none
MaxStartups 100
Subsystem sftp /usr/lib/openssh/sftp-server
"""
SSH = """\
Host board
    HostName {host}
    Port {port}
    User {user}
    IdentityFile {key}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    BatchMode yes
"""


@dataclass(frozen=True)
class Board:
    """Where a board answers, as whom, and with which files of the client's."""

    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path
    ssh_config: Path
    """an OpenSSH client's configuration that knows the board as `board`"""
    log: Path
    """what sshd says"""

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command line there with the OpenSSH client, and wait for it."""
        ssh = ["ssh", "-F", str(self.ssh_config), "board", command]
        return subprocess.run(ssh, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def told(self, command: str) -> str:
        """What a command line prints there, stripped; it must succeed."""
        done = self.run(command)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def copy(self, source: str, destination: str) -> None:
        """Copy files with scp, which speaks SFTP; a path there is written `board:path`."""
        subprocess.run(["scp", "-q", "-r", "-F", str(self.ssh_config), source, destination], check=True)


@contextmanager
def open_board(
    tree: Tree,
    folder: Path,
    *,
    processor: Processor = PI_5,
    room: str = "1g",
    proc: Mapping[str, str] | None = None,
) -> Iterator[Board]:
    """Start a board with its files in `folder`, and end it with all that it runs when the context is left.

    `room` is what pi's home and /tmp hold, as tmpfs writes it; `proc` are texts of files of /proc, by name, for what
    the emulator cannot show. `Unavailable` if this machine has no such namespaces, `RuntimeError` if sshd is silent.
    """
    board = write_files(folder, more=f"SetEnv QEMU_CPU={processor.qemu}\n")
    (folder / "proc").mkdir()
    for name, text in {"cpuinfo": processor.cpuinfo(os.cpu_count() or 1), **(proc or {})}.items():
        (folder / "proc" / name).write_text(text)
    command: list[str | Path] = ["unshare", "--user", "bash", "-c", UNSHARE, "bash", START]
    command += [tree.root, folder, tree.emulator, processor.qemu, room]
    pipe = subprocess.PIPE
    with (
        board.log.open("wb") as log,
        # a session of its own, because Ctrl-C must reach the tests alone
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, bufsize=0, start_new_session=True) as process,
    ):
        try:
            _enter(process, board)
            _wait(process, board)
            yield board
        finally:
            _end(process)


def write_files(folder: Path, *, address: str | None = None, more: str = "") -> Board:
    """Keys made for this board and no other, and the configuration of both ends.

    sshd listens on `address`, or else where the board is to answer; `more` are further lines of its configuration.
    """
    (folder / "ssh").mkdir(parents=True)
    host_key, key = folder / "ssh" / "host_key", folder / "user_key"
    for path in (host_key, key):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path])
    port = free_port()
    board = Board(HOST, port, USER, key, folder / "known_hosts", folder / "ssh_config", folder / "sshd.log")
    (folder / "ssh" / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
    (folder / "ssh" / "sshd_config").write_text(SSHD.format(address=address or f"{HOST}:{port}") + more)
    board.known_hosts.write_text(f"[{HOST}]:{port} {host_key.with_suffix('.pub').read_text()}")
    files = {"key": key, "known_hosts": board.known_hosts}
    board.ssh_config.write_text(SSH.format(host=HOST, port=port, user=USER, **files))
    return board


def _enter(process: subprocess.Popen[bytes], board: Board) -> None:
    """Let the namespace's users be this machine's, and wait until everything before sshd is done."""
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018 - pipes were asked for
    reason = ""
    if process.stdout.readline() == b"unshared\n":
        try:
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{process.pid}/{name}").write_text("0 0 65536")
            process.stdin.write(b"\n")
        except OSError as error:
            reason = str(error)
        else:
            if process.stdout.readline() == b"ready\n":
                return
    raise Unavailable(f"no namespaces for a board here (they take Linux 6.7 and root): {reason or last_words(board)}")


def _wait(process: subprocess.Popen[bytes], board: Board) -> None:
    """Until sshd greets."""
    deadline = monotonic() + PATIENCE
    while monotonic() < deadline and process.poll() is None:
        try:
            with closing(socket.create_connection((board.host, board.port), timeout=PATIENCE)) as link:
                if link.recv(4) == b"SSH-":
                    return
        except ConnectionError:
            sleep(0.02)
    raise RuntimeError(f"the board's sshd did not answer within {PATIENCE:.0f} s: {last_words(board)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """The board's first process ends with the pipe, and the kernel ends all others with that one."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def last_words(board: Board) -> str:
    """The end of its log, as a reason."""
    return "; ".join(board.log.read_text(errors="replace").splitlines()[-3:]) or "no reason given"
