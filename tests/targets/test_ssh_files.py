"""Files to a device and back over links that break: what arrives is what was sent, and it is sent once."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_sshd import Sshd
from meddler import Meddler, digest, write
from tcp_proxy import TcpProxy

from smolship.errors import InputError, LinkLost
from smolship.targets import Access, Ssh

MB = 1_000_000
OVERHEAD = 200_000
"""bytes that logging in and asking take, at most"""
Reach = Callable[..., Ssh]


def test_a_link_that_breaks_amid_100_mb_is_gone_on_with(reach: Reach, proxy: TcpProxy, tmp_path: Path) -> None:
    wanted = write(tmp_path / "model", 100 * MB)
    progress = Meddler(0, lambda: None)
    proxy.cut_after(60 * MB)
    with reach(tmp_path / "there", port=proxy.port, progress=progress) as ssh:
        ssh.put(tmp_path / "model", "model")
    assert digest(tmp_path / "there" / "model") == wanted
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["model"]
    assert proxy.connections == 2
    assert proxy.sent < 112 * MB  # what was on its way when the link broke is sent again: a window and some buffers
    assert progress.total == 100 * MB


def test_a_link_that_breaks_each_time_is_given_up(reach: Reach, proxy: TcpProxy, tmp_path: Path) -> None:
    write(tmp_path / "model", 8 * MB)
    ssh = reach(tmp_path / "there", port=proxy.port, progress=Meddler(MB, proxy.close))
    with ssh, pytest.raises(InputError, match="cannot reach"):
        ssh.put(tmp_path / "model", "model")
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["model.partial"]


def test_a_link_that_freezes_is_noticed_and_gone_on_with(reach: Reach, proxy: TcpProxy, tmp_path: Path) -> None:
    wanted = write(tmp_path / "model", 20 * MB)
    proxy.freeze_after(10 * MB)
    with reach(tmp_path / "there", port=proxy.port, keepalive=0.5, progress=Meddler(0, lambda: None)) as ssh:
        ssh.put(tmp_path / "model", "model")
    assert digest(tmp_path / "there" / "model") == wanted
    assert proxy.connections == 2


@pytest.mark.parametrize("begun", ["right", "wrong", "longer"])
def test_what_is_there_is_kept_if_it_is_the_beginning(
    reach: Reach, proxy: TcpProxy, tmp_path: Path, begun: str
) -> None:
    wanted = write(tmp_path / "model", 4 * MB)
    there = tmp_path / "there"
    there.mkdir()
    data = (tmp_path / "model").read_bytes()
    partial = {"right": data[: 3 * MB], "wrong": data[: 2 * MB] + bytes(MB), "longer": data + bytes(MB)}[begun]
    (there / "model.partial").write_bytes(partial)
    with reach(there, port=proxy.port) as ssh:
        ssh.put(tmp_path / "model", "model")
    assert digest(there / "model") == wanted
    assert (proxy.sent < MB + OVERHEAD) == (begun == "right")


def test_a_file_that_is_there_is_not_sent_again(reach: Reach, proxy: TcpProxy, tmp_path: Path) -> None:
    write(tmp_path / "model", 4 * MB)
    with reach(tmp_path / "there", port=proxy.port) as ssh:
        ssh.put(tmp_path / "model", "model")
        ssh.put(tmp_path / "model", "model")
        assert proxy.sent < 4 * MB + OVERHEAD
        wanted = write(tmp_path / "model", 4 * MB)
        ssh.put(tmp_path / "model", "model")
    assert digest(tmp_path / "there" / "model") == wanted


@pytest.mark.parametrize("change", ["other", "shorter"])
def test_what_arrived_as_something_else_is_refused(reach: Reach, tmp_path: Path, change: str) -> None:
    source = tmp_path / "model"
    write(source, 8 * MB)

    def meddle() -> None:
        with source.open("r+b") as file:
            if change == "shorter":
                file.truncate(6 * MB)
            else:
                file.seek(7 * MB)
                file.write(bytes(1000))

    ssh = reach(tmp_path / "there", progress=Meddler(MB, meddle))
    with ssh, pytest.raises(InputError, match=r"what arrived as .*model on .* is not what was sent: SHA-256"):
        ssh.put(source, "model")
    assert not (tmp_path / "there" / "model").exists()


@pytest.fixture
def full_disk(start_sshd: Callable[..., Sshd], tmp_path: Path) -> Iterator[tuple[Sshd, Path]]:
    """A server, and a folder of it with room for 4 MB: a file system of its own, or without root a limit on files."""
    device, folder = start_sshd(), tmp_path / "small disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    if mounted.returncode:
        device.limit_files(4 << 20)
    yield device, folder
    if not mounted.returncode:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_said_and_nothing_stays_there(
    full_disk: tuple[Sshd, Path], give_access: Callable[..., Access], tmp_path: Path
) -> None:
    device, folder = full_disk
    write(tmp_path / "model", 20 * MB)
    with Ssh(f"127.0.0.1:{device.port}", str(folder), access=give_access(device.port)) as ssh:
        with pytest.raises(InputError, match=r"cannot bring model to .*20\.0 MB.*(No space|File (size|too)).*free"):
            ssh.put(tmp_path / "model", "sub/model")
        assert list((folder / "sub").iterdir()) == []
        (tmp_path / "model").write_text("small")
        ssh.put(tmp_path / "model", "sub/model")
    assert (folder / "sub" / "model").read_text() == "small"


def test_an_upload_that_is_interrupted_is_gone_on_with(reach: Reach, proxy: TcpProxy, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    wanted = write(tmp_path / "model", 20 * MB)
    with reach(tmp_path / "there", port=proxy.port, progress=Meddler(15 * MB, interrupt)) as ssh:
        with pytest.raises(KeyboardInterrupt):
            ssh.put(tmp_path / "model", "model")
        ssh.put(tmp_path / "model", "model")
    assert digest(tmp_path / "there" / "model") == wanted
    assert proxy.sent < 30 * MB


def test_a_file_comes_back_whole_over_a_link_that_breaks(reach: Reach, proxy: TcpProxy, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    wanted = write(there / "logits", 10 * MB)
    with reach(there, port=proxy.port, progress=Meddler(5 * MB, proxy.cut)) as ssh:
        ssh.get("logits", tmp_path / "logits")
    assert digest(tmp_path / "logits") == wanted
    assert list(there.iterdir()) == []
    assert proxy.connections == 2


def test_a_file_that_changes_on_its_way_is_refused(reach: Reach, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    write(there / "logits", 20 * MB)

    def cut_short() -> None:
        os.truncate(there / "logits", 12 * MB)

    ssh = reach(there, progress=Meddler(1, cut_short))
    with ssh, pytest.raises(InputError, match=r"what arrived of .*logits .* is not what is there"):
        ssh.get("logits", tmp_path / "logits")
    assert not list(tmp_path.glob("logits*"))
    assert (there / "logits").exists()


def test_a_file_that_has_no_place_here_stays_there(reach: Reach, tmp_path: Path) -> None:
    (tmp_path / "logits").write_text("x")
    with reach(tmp_path) as ssh, pytest.raises(InputError, match=r"cannot bring .*logits to .*nowhere"):
        ssh.get("logits", tmp_path / "nowhere" / "logits")
    assert (tmp_path / "logits").exists()


def test_a_transport_that_is_not_open_says_so(reach: Reach, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"no connection to 127.* is open"):
        reach(tmp_path).put(tmp_path / "file", "other")


def test_lost_links_are_runtime_failures() -> None:
    assert LinkLost.exit_code == 3
