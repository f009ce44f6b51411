"""`smolship smoke` and `smolship device` on a live sshd: exit codes, files, and one sentence where it fails."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from families import FAMILY, assert_gone
from in_process import run
from junitparser import JUnitXml
from live_sshd import Keys, Sshd
from ports import free_port
from signs_of_life import without_signs
from smoking import KitOfHere, files_below, use_kit

from smolship.artefact import Artefact

AT_HOME = 'ForceCommand cd "$HOME" && eval "$SSH_ORIGINAL_COMMAND"\n'
"""sessions begin in the test's home, not in that of whoever runs the tests"""
NAME = "the board; $(touch pwned) 'x'"


@pytest.fixture
def configured(start_sshd: Callable[..., Sshd], keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of SSH with the device, under a name that a shell would run."""
    use_kit(monkeypatch, KitOfHere())
    device = start_sshd(more=AT_HOME)
    return configuration(tmp_path, keys, device.port, keys.user)


def configuration(folder: Path, keys: Keys, port: int, key: Path, host_key: Path | None = None) -> Path:
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {Path(f'{host_key or keys.host}.pub').read_text()}\n")
    path = folder / f"config-{key.name}-{port}"
    path.write_text(
        f'Host "{NAME}"\n  Hostname 127.0.0.1\n  Port {port}\n  IdentityFile {key}\n  IdentityAgent none\n'
        f"  UserKnownHostsFile {known}\n"
    )
    return path


def order(artefact: Artefact, tiny_folder: Path, config: Path, *more: object) -> list[object]:
    """The arguments of a brief smoke test."""
    return ["smoke", artefact.folder, "--checkpoint", tiny_folder, "--ssh-config", config, "--brief", *more]


def test_the_command_line_on_a_device_that_is_well(
    configured: Path, bench: Path, tiny_artefact: Artefact, tiny_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    one = ["--host", NAME, "--target", bench, "--report", tmp_path / "a report", "--junit", tmp_path / "junit.xml"]
    code = run(monkeypatch, *order(tiny_artefact, tiny_folder, configured, *one, "--json"))
    told = capfd.readouterr()
    assert code == 0, told.err
    (found,) = json.loads(told.out)
    assert (found["device"], found["error"]) == (NAME, None)
    checked = found["report"]["checked"][0]
    assert {verdict["measured"] for verdict in checked["judged"][0]["verdicts"]} == {"on the device"}
    assert checked["records"][0]["from_host"]["top1"] == 1.0
    assert json.loads((tmp_path / "a report" / "report.json").read_text()) == found["report"]
    assert "measured on the device" in (tmp_path / "a report" / "report.html").read_text()
    (suite,) = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert [(suite.name, case.name, case.result) for case in suite] == [(NAME, tiny_artefact.folder.name, [])]

    assert run(monkeypatch, "device", "show", NAME, "--ssh-config", configured, "--json") == 0
    seen = json.loads(capfd.readouterr().out)
    assert seen["facts"]["machine"] == os.uname().machine
    assert seen["runs"]["gguf"] == "yes"
    assert seen["kept"] >= tiny_artefact.manifest.bytes
    home = tmp_path / "home"
    (home / ".cache" / "smolship" / "calibration").write_text("of the user")
    assert run(monkeypatch, "device", "show", NAME, "--ssh-config", configured) == 0
    assert "kept there" in capfd.readouterr().out
    assert run(monkeypatch, "device", "clean", NAME, "--ssh-config", configured) == 0
    assert capfd.readouterr().out.startswith(f"{NAME}: ")
    assert files_below(home) == [".cache/smolship/calibration"]
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nobody there", "(Connection refused): see that the device is switched on"),
        ("a key that is refused", "refuses every key that was offered"),
        ("another host key", "has changed"),
    ],
)
def test_the_command_line_on_a_device_that_lets_nobody_in(  # noqa: PLR0917 - parameters and fixtures
    fault: str, words: str, sshd: Sshd, keys: Keys, bench: Path, tiny_artefact: Artefact, tiny_folder: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    port = free_port() if fault == "nobody there" else sshd.port
    user = keys.stranger if fault == "a key that is refused" else keys.user
    host = keys.other_host if fault == "another host key" else keys.host
    config = configuration(tmp_path, keys, port, user, host)
    files = ["--report", tmp_path / "report", "--junit", tmp_path / "junit.xml"]
    assert run(monkeypatch, *order(tiny_artefact, tiny_folder, config, "--host", NAME, "-t", bench, *files)) == 2
    told = capfd.readouterr()
    assert words in told.err
    assert without_signs(told.err).count("\n") == 1
    assert "Traceback" not in told.err
    assert not (tmp_path / "report").exists()
    (case,) = next(iter(JUnitXml.fromfile(str(tmp_path / "junit.xml"))))
    assert words in case.result[0].message
    for verb in ("show", "clean"):
        assert run(monkeypatch, "device", verb, NAME, "--ssh-config", config) == 2
        assert words in capfd.readouterr().err


def test_a_dead_device_of_a_group_does_not_stop_the_other(
    configured: Path, bench: Path, tiny_artefact: Artefact, tiny_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    entry = '[[device]]\nname = "{name}"\nhost = "{host}"\ntarget = "{target}"\ngroups = ["lab"]\n'
    lab = tmp_path / "lab.toml"
    dead = entry.format(name="dead", host=f"127.0.0.1:{free_port()}", target=bench)
    lab.write_text(dead + entry.format(name="alive", host=NAME, target=bench))
    files = ["--report", tmp_path / "report", "--junit", tmp_path / "junit.xml"]
    code = run(monkeypatch, *order(tiny_artefact, tiny_folder, configured, "--group", "lab", "--devices", lab, *files))
    told = capfd.readouterr()
    assert code == 2, told.err
    assert "dead: cannot reach 127.0.0.1" in told.out
    assert "alive: 4 budgets pass, 0 fail" in told.out
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["alive"]
    cases = {case.classname: case for suite in JUnitXml.fromfile(str(tmp_path / "junit.xml")) for case in suite}
    assert cases["alive"].result == []
    assert "cannot reach" in cases["dead"].result[0].message


HANGING = """
import sys
from pytest import MonkeyPatch
from smoking import KitOfHere, use_kit
from smolship.cli import main
use_kit(MonkeyPatch(), KitOfHere("exec python3 family.py"))
sys.argv[0] = "smolship"
main()
"""


def test_control_c_ends_smoke_and_what_runs_on_the_device(
    configured: Path, bench: Path, tiny_artefact: Artefact, tiny_folder: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "family.py").write_text(FAMILY.replace('print("ready", flush=True)', ""))
    arguments = order(tiny_artefact, tiny_folder, configured, "--host", NAME, "--target", bench)
    command = [sys.executable, "-c", HANGING, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as caller:
        deadline = time.monotonic() + 60
        while not (home / "pids").is_file() or not (home / "pids").read_text():
            assert caller.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        start = time.monotonic()
        caller.send_signal(signal.SIGINT)
        try:
            _, errors = caller.communicate(timeout=20)
        finally:
            caller.kill()
    assert caller.returncode == 128 + signal.SIGINT, errors
    assert time.monotonic() - start < 15
    assert errors.decode().endswith("interrupted; nothing half-written is left\n")
    assert "Traceback" not in errors.decode()
    assert_gone(home)
