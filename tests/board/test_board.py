"""The emulated board: what it is, that its processor is the one asked for, and who may do what there."""

import os
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from board.board import Board, open_board
from board.processors import PI_4, PI_5, Processor
from board.tree import Tree

ILLEGAL_INSTRUCTION = 128 + signal.SIGILL  # as a shell has it
# Bits of AT_HWCAP (Linux, arch/arm64/include/uapi/asm/hwcap.h), from the lowest.
HWCAP = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3"
HWCAP += " sm4 asimddp sha512 sve"


@pytest.fixture(scope="module")
def pi_4(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A board whose processor has no dot product."""
    with open_board(tree, tmp_path_factory.mktemp("pi-4"), processor=PI_4) as board:
        yield board


@pytest.fixture(scope="module")
def sdot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static aarch64 program of one dot product that exits with 0: an ELF header, a segment and four instructions."""
    base, start = 0x400000, 64 + 56
    code = struct.pack(
        "<4I",
        0x4E829420,  # sdot v0.4s, v1.16b, v2.16b
        0xD2800000,  # mov x0, #0
        0xD2800BA8,  # mov x8, #93  (exit)
        0xD4000001,  # svc #0
    )
    size = start + len(code)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, base + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    path = tmp_path_factory.mktemp("elf") / "sdot"
    path.write_bytes(header + segment + code)
    path.chmod(0o755)
    return path


def test_it_is_an_aarch64_debian_12_with_python_3_11(board: Board) -> None:
    facts = board.told("uname -nm; id -un; . /etc/os-release; echo $ID $VERSION_ID; python3 --version").splitlines()
    assert facts[:3] == ["board aarch64", "pi", "debian 12"]
    assert facts[3].startswith("Python 3.11.")
    assert board.told("python3 -c 'import platform, sys; print(platform.machine(), sys.executable)'") == (
        "aarch64 /usr/bin/python3"
    )


def test_a_missing_feature_is_a_true_illegal_instruction(board: Board, pi_4: Board, sdot: Path) -> None:
    for each in (board, pi_4):
        each.copy(str(sdot), "board:sdot")
    assert board.told("./sdot; echo $?") == "0"
    assert pi_4.told("./sdot; echo $?") == str(ILLEGAL_INSTRUCTION)


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(("processor", "fixture"), [(PI_4, "pi_4"), (PI_5, "board")], ids=["pi-4", "pi-5"])
def test_cpuinfo_says_what_the_emulated_processor_has(
    processor: Processor, fixture: str, request: pytest.FixtureRequest
) -> None:
    board: Board = request.getfixturevalue(fixture)
    line = board.told("LD_SHOW_AUXV=1 /bin/true | grep AT_HWCAP:")
    bits = int(line.split()[1], 16)
    names = HWCAP.split()
    assert bits < 1 << len(names)
    listed = board.told("grep -m 1 ^Features /proc/cpuinfo").split()[2:]
    assert listed == [name for bit, name in enumerate(names) if bits >> bit & 1] == list(processor.features)
    assert processor.model in board.told("cat /proc/cpuinfo")


def test_files_go_there_and_come_back_unchanged(board: Board, tmp_path: Path) -> None:
    content = os.urandom(1 << 20)
    (tmp_path / "there").write_bytes(content)
    board.copy(str(tmp_path / "there"), "board:/tmp/a name with spaces")
    board.copy("board:/tmp/a name with spaces", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content


def test_it_lets_nobody_else_in(board: Board, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    config = board.ssh_config.read_text().replace(str(board.key), str(tmp_path / "other"))
    (tmp_path / "config").write_text(config)
    ssh = ["ssh", "-F", str(tmp_path / "config"), "board", "true"]
    done = subprocess.run(ssh, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, "Permission denied (publickey)" in done.stderr) == (255, True)


def test_a_board_is_found_as_it_was_made(tree: Tree, tmp_path: Path) -> None:
    with open_board(tree, tmp_path / "first", room="1m", proc={"meminfo": "MemTotal: 512 kB\n"}) as first:
        assert first.run("touch /etc/x /usr/bin/x /x").returncode == 1
        assert first.told("touch ~/x /tmp/x; cat /proc/meminfo") == "MemTotal: 512 kB"
        assert "No space left on device" in first.run("head -c 2000000 /dev/zero > ~/full").stderr
    with open_board(tree, tmp_path / "second") as second:
        assert second.told("ls ~ /tmp") == "/home/pi:\n\n/tmp:"
