"""How a device is reached: who is trusted, who is let in, and what is said when it fails."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from socket import create_server

import asyncssh
import pytest
from families import ignore
from live_sshd import Keys, Programs, Sshd
from ports import free_port
from tcp_proxy import TcpProxy

from smolship.errors import InputError, RuntimeFailure
from smolship.targets import Access, Ssh
from smolship.targets.ssh.access import Destination, parse_destination
from smolship.targets.ssh.scripts import device_path

Give = Callable[..., Access]
Start = Callable[..., Sshd]


def says(ssh: Ssh) -> list[str]:
    """Connects, runs a command, and returns what it printed."""
    lines: list[str] = []
    with ssh:
        assert ssh.run(["echo", "here"], on_line=lines.append).code == 0
    return lines


def test_the_forms_of_a_destination() -> None:
    assert parse_destination("board") == Destination("board")
    assert parse_destination("pi@raspberrypi.local:2222") == Destination("raspberrypi.local", "pi", 2222)
    assert parse_destination("me@home@host") == Destination("host", "me@home")
    assert parse_destination("ssh://pi@[fe80::1]:22/") == Destination("fe80::1", "pi", 22)
    assert str(parse_destination("pi@[fe80::1]:22")) == "pi@[fe80::1]:22"
    assert parse_destination("pi@a b:22").command == "ssh -p 22 'pi@a b'"


@pytest.mark.parametrize(
    ("folder", "path"),
    [("", "./x"), ("~", "./x"), ("~/a b/", "./a b/x"), ("-a", "./-a/x"), ("/", "/x"), ("/a", "/a/x")],
)
def test_a_folder_is_below_the_home_unless_it_is_absolute(folder: str, path: str) -> None:
    assert device_path(folder, "x") == path


@pytest.mark.parametrize("text", ["", "pi@", "host:port", "-oProxyCommand=x", "pi@-x", "a\nb", "fe80::1"])
def test_what_names_no_device_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="names no device"):
        Ssh(text, "folder")


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(InputError, match=r"pip install 'smolship\[device\]'"), Ssh("host", "folder"):
        pass


def test_a_host_that_does_not_answer(give_access: Give) -> None:
    with create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        access = replace(give_access(port), connect_timeout=0.5)
        start = time.monotonic()
        with pytest.raises(InputError, match=rf"cannot reach 127\.0\.0\.1:{port} \(no answer within 0.5 s\)"):
            says(Ssh(f"127.0.0.1:{port}", ".", access=access))
    assert time.monotonic() - start < 5


def test_a_port_where_nobody_listens(give_access: Give) -> None:
    port = free_port()
    with pytest.raises(InputError, match=rf"cannot reach .*refused.*its SSH server runs.*`ssh -p {port} 127\.0\.0\.1`"):
        says(Ssh(f"127.0.0.1:{port}", ".", access=give_access(port)))


def test_a_key_that_the_device_refuses(give_access: Give, keys: Keys, sshd: Sshd) -> None:
    access = give_access(sshd.port, config=f"IdentityFile {keys.stranger}\nIdentityAgent none\n")
    with pytest.raises(InputError, match=r"refuses every key.*ssh-copy-id -p .*ssh-add"):
        says(Ssh(f"127.0.0.1:{sshd.port}", ".", access=access))


def test_an_unknown_host_key_is_refused_with_the_ways_out(give_access: Give, keys: Keys, sshd: Sshd) -> None:
    shown = asyncssh.read_public_key(f"{keys.host}.pub").get_fingerprint()
    with pytest.raises(InputError, match=r"not known here.*`ssh -p .*once by hand.*or add the device's") as caught:
        says(Ssh(f"127.0.0.1:{sshd.port}", ".", access=give_access()))
    assert shown in str(caught.value)


def test_a_changed_host_key_is_refused_with_the_ways_out(give_access: Give, keys: Keys, sshd: Sshd) -> None:
    access = give_access(sshd.port, trusted=keys.other_host)
    entry = rf"ssh-keygen -R '\[127\.0\.0\.1\]:{sshd.port}'"
    with pytest.raises(InputError, match=f"has changed.*{entry}.*or correct the line") as caught:
        says(Ssh(f"127.0.0.1:{sshd.port}", ".", access=access))
    for key in (keys.host, keys.other_host):
        assert asyncssh.read_public_key(f"{key}.pub").get_fingerprint() in str(caught.value)


@pytest.mark.parametrize("files", ["none", "/dev/null"])
def test_no_configuration_turns_the_check_off(give_access: Give, keys: Keys, sshd: Sshd, files: str) -> None:
    config = f"IdentityFile {keys.user}\nStrictHostKeyChecking no\nUserKnownHostsFile {files}\n"
    access = replace(give_access(sshd.port, config=config), known_hosts=None)
    with pytest.raises(InputError, match="not known here"):
        says(Ssh(f"127.0.0.1:{sshd.port}", ".", access=access))


def test_a_configuration_that_cannot_be_read(give_access: Give, sshd: Sshd) -> None:
    for config in ("Port many\n", "IdentityFile /no/such/key\n"):
        with pytest.raises(InputError, match=r"SSH configuration for .* cannot be used"):
            says(Ssh(f"127.0.0.1:{sshd.port}", ".", access=give_access(sshd.port, config=config)))


def test_a_host_of_the_configuration_whose_name_a_shell_would_run(give_access: Give, keys: Keys, sshd: Sshd) -> None:
    name = "the board; $(touch pwned) 'x'"
    config = f'Host "{name}"\n  Hostname 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {keys.user}\n'
    with Ssh(name, ".", access=give_access(sshd.port, config=config)) as ssh:
        assert ssh.run(["sh", "-c", "test ! -e pwned"], on_line=ignore).code == 0
    assert not Path("pwned").exists()


def test_a_login_by_certificate(give_access: Give, keys: Keys, sshd: Sshd) -> None:
    certificate = f"{keys.certified}-cert.pub"
    config = f"IdentityFile {keys.certified}\nCertificateFile {certificate}\nIdentityAgent none\n"
    access = give_access(sshd.port, config=config)
    assert says(Ssh(f"127.0.0.1:{sshd.port}", ".", access=access)) == ["here"]


def test_a_login_by_agent(give_access: Give, keys: Keys, sshd: Sshd, programs: Programs, tmp_path: Path) -> None:
    socket = tmp_path / "agent"
    command = [str(programs.agent), "-D", "-a", str(socket)]
    with subprocess.Popen(command, env=programs.environment, stdout=subprocess.DEVNULL) as agent:
        try:
            while not socket.exists():
                time.sleep(0.01)
            with Ssh(f"127.0.0.1:{sshd.port}", ".", access=give_access(sshd.port)) as ssh:
                ssh._running().call(_load(socket, keys.user))
            access = replace(give_access(sshd.port, config=f"IdentityFile {keys.stranger}\n"), agent=str(socket))
            assert says(Ssh(f"127.0.0.1:{sshd.port}", ".", access=access)) == ["here"]
        finally:
            agent.terminate()


async def _load(socket: Path, key: Path) -> None:
    async with asyncssh.connect_agent(str(socket)) as agent:
        await agent.add_keys([str(key)])


def jump_config(keys: Keys, board: int, jump: int) -> str:
    """A board that is reached through a jump host."""
    return (
        f"Host board\n  Hostname 127.0.0.1\n  Port {board}\n  ProxyJump jump\n"
        f"Host jump\n  Hostname 127.0.0.1\n  Port {jump}\nHost *\n  IdentityFile {keys.user}\n  IdentityAgent none\n"
    )


def test_a_device_behind_a_jump_host(
    give_access: Give, keys: Keys, proxy: TcpProxy, start_sshd: Start, tmp_path: Path
) -> None:
    board = start_sshd()
    access = give_access(board.port, proxy.port, config=jump_config(keys, board.port, proxy.port))
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    with Ssh("board", str(tmp_path / "there"), access=access) as ssh:
        ssh.put(tmp_path / "file", "file")
    assert (tmp_path / "there" / "file").stat().st_size == 1 << 20
    assert proxy.sent > 1 << 20


def test_the_key_of_a_jump_host_is_checked_too(give_access: Give, keys: Keys, sshd: Sshd, start_sshd: Start) -> None:
    board = start_sshd()
    access = give_access(board.port, config=jump_config(keys, board.port, sshd.port))
    with pytest.raises(InputError, match=r"^jump shows a host key that is not known here"):
        says(Ssh("board", ".", access=access))


def test_a_jump_host_that_leads_to_itself_is_named(give_access: Give, sshd: Sshd) -> None:
    access = give_access(sshd.port, config="Host *\n  ProxyJump jump\n")
    with pytest.raises(InputError, match="jump is reached through itself"):
        says(Ssh("board", ".", access=access))


def test_a_jump_host_that_does_not_reach_the_device(give_access: Give, keys: Keys, sshd: Sshd) -> None:
    access = give_access(sshd.port, config=jump_config(keys, free_port(), sshd.port))
    with pytest.raises(InputError, match=r"cannot reach board \(.*refused"):
        says(Ssh("board", ".", access=access))


@pytest.mark.parametrize(
    ("login", "said"), [("yes Welcome!", "it said nothing"), ("echo This account is closed >&2", "account is closed")]
)
def test_a_device_that_runs_no_shell(give_access: Give, start_sshd: Start, login: str, said: str) -> None:
    device = start_sshd(more=f"ForceCommand {login}\n")
    with pytest.raises(RuntimeFailure, match=f"runs no shell for this user: .*{said}"):
        says(Ssh(f"127.0.0.1:{device.port}", ".", access=give_access(device.port)))


def test_what_a_login_prints_is_no_output_of_a_command(give_access: Give, start_sshd: Start) -> None:
    device = start_sshd(more="ForceCommand printf 'Welcome\\nto the board'; eval $SSH_ORIGINAL_COMMAND\n")
    assert says(Ssh(f"127.0.0.1:{device.port}", ".", access=give_access(device.port))) == ["here"]
