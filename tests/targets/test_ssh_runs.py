"""Commands on a device whose link breaks, or that is hostile: nothing is left there, nothing floods this machine."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from families import FAMILY, assert_gone, ignore, python
from live_sshd import Sshd
from tcp_proxy import TcpProxy

from smolship.errors import LinkLost, RuntimeFailure
from smolship.targets import Access, Ssh, transport
from smolship.targets.lines import LINE_LIMIT

Reach = Callable[..., Ssh]
BUSYBOX = ("sh", "cat", "chmod", "dd", "mkdir", "mv", "rm", "sha256sum", "sleep", "wc")
"""all that a device must have"""


@pytest.mark.parametrize("fault", ["cut", "freeze"])
def test_a_lost_link_is_an_error_and_ends_the_command_there(
    reach: Reach, proxy: TcpProxy, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "GRACE", 0.2)
    act = {"cut": proxy.cut, "freeze": proxy.freeze}[fault]
    start = time.monotonic()
    with reach(tmp_path, port=proxy.port, keepalive=0.5) as ssh:
        with pytest.raises(LinkLost, match=rf"^link lost: the connection to 127\.0\.0\.1:{proxy.port} broke"):
            ssh.run(python(FAMILY), on_line=lambda _line: act())
        assert_gone(tmp_path)  # a frozen link is frozen still
        assert ssh.run(["true"], on_line=ignore).code == 0  # over a new link
    assert time.monotonic() - start < 12


def test_the_server_dying_is_a_lost_link(reach: Reach, tmp_path: Path) -> None:
    """The process of this login ends, as when a device is switched off."""
    with reach(tmp_path) as ssh, pytest.raises(LinkLost, match="link lost"):
        ssh.run(["sh", "-c", 'kill -s KILL "$PPID"; sleep 60'], on_line=ignore)


def test_a_device_that_hears_nothing_ends_the_command(
    reach: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "GRACE", 0.2)

    async def silent(_job: object, _guard: object) -> None:
        """No heartbeat, over a link that is open."""

    monkeypatch.setattr("smolship.targets.ssh.job.Job._beat", silent)
    with reach(tmp_path, keepalive=0.5) as ssh, pytest.raises(LinkLost, match="heard nothing of this machine"):
        ssh.run(python(FAMILY), on_line=ignore)
    assert_gone(tmp_path)


def test_heartbeats_keep_a_command_alive_while_its_caller_is_busy(reach: Reach, tmp_path: Path) -> None:
    with reach(tmp_path, keepalive=1) as ssh:
        end = ssh.run(["sh", "-c", "echo; sleep 4.5; echo"], on_line=lambda _line: time.sleep(1))
    assert end.code == 0


@pytest.mark.parametrize("shell", ["bash", "dash", "busybox"])
def test_any_shell_will_do(
    give_access: Callable[..., Access], start_sshd: Callable[..., Sshd], busybox: Path, tmp_path: Path, shell: str
) -> None:
    """What `sh` is differs by device: here it is the first on the PATH that the server sets."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in BUSYBOX if shell == "busybox" else ():
        (programs / name).symlink_to(busybox)
    if shell != "busybox":
        (programs / "sh").symlink_to(str(shutil.which(shell)))
    device = start_sshd(environment=f"PATH={programs}" + ("" if shell == "busybox" else ":/usr/bin:/bin"))
    with Ssh(f"127.0.0.1:{device.port}", str(tmp_path), access=give_access(device.port)) as ssh:
        (tmp_path / "it's here.partial").write_bytes(Path(__file__).read_bytes()[:-1])
        ssh.put(Path(__file__), "it's here")
        ssh.get("it's here", tmp_path / "back")
        assert ssh.run(python(FAMILY), on_line=ignore, timeout=0.5).signal == "SIGKILL"
    assert (tmp_path / "back").read_text() == Path(__file__).read_text()
    assert_gone(tmp_path)


def test_a_server_whose_commands_lead_no_group(
    give_access: Callable[..., Access], start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    """Such is dropbear; here a login shell that stays does the same."""
    device = start_sshd(more='ForceCommand sh -c "$SSH_ORIGINAL_COMMAND"; exit $?\n')
    with Ssh(f"127.0.0.1:{device.port}", str(tmp_path), access=give_access(device.port)) as ssh:
        ssh.put(Path(__file__), "file")
        assert ssh.run(["sh", "-c", "exit 3"], on_line=ignore).code == 3
        assert ssh.run(python(FAMILY), on_line=ignore, timeout=0.5).timed_out
    assert_gone(tmp_path)


def test_endless_output_waits_for_its_reader(reach: Reach, tmp_path: Path) -> None:
    program = (
        "import os\nsaid = os.open('said', os.O_CREAT | os.O_WRONLY)\n"
        "for i in range(1, 10000):\n  os.write(1, bytes(100000)); os.pwrite(said, b'%5d' % i, 0)"
    )
    read: list[int] = []

    def stop_at_the_third(line: str) -> None:
        read.append(len(line))
        time.sleep(0.5)
        if len(read) == 3:
            raise InterruptedError

    with reach(tmp_path) as ssh, pytest.raises(InterruptedError):
        ssh.run(python(program), on_line=stop_at_the_third)
    assert read == [LINE_LIMIT] * 3
    ahead = int((tmp_path / "said").read_text()) * 100_000 - sum(read)
    assert ahead < 12_000_000  # of a gigabyte: a window, and some buffers on the way


def test_output_without_lines_comes_in_bounded_pieces(reach: Reach, tmp_path: Path) -> None:
    sizes: list[int] = []
    program = "import sys; sys.stdout.buffer.write(b'\\x1b\\xff' * (10 << 20)); sys.stderr.write('e' * 10**7)"
    with reach(tmp_path) as ssh:
        end = ssh.run(python(program), on_line=lambda line: sizes.append(len(line)))
    assert (sum(sizes), max(sizes)) == (20 << 20, LINE_LIMIT)
    assert len(end.errors) < 200_000


def test_a_command_beyond_our_power_is_named(reach: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard says which processes are left: here it looks at a group that it does not end."""
    monkeypatch.setattr("smolship.targets.ssh.job.GUARD", f"read -r end; echo left {os.getpid()}; exit")
    left = rf"could not be ended: left are the processes {os.getpid()}"
    with reach(tmp_path) as ssh, pytest.raises(RuntimeFailure, match=left):
        ssh.run(["true"], on_line=ignore)
