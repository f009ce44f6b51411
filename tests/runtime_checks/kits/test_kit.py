"""Kits: the same files make the same bytes, one that is made is found again, and none is ever half made."""

import gzip
import os
import re
import tarfile
import threading
from pathlib import Path
from zipfile import ZipFile

import pytest
from smoking import KitOfHere, files_below, use_kit

from smolship.cache import cache_folder
from smolship.errors import InputError
from smolship.progress import Progress
from smolship.runtime_checks.kits import kit_onnx
from smolship.runtime_checks.kits.kit import KITS, kit_for, pack, require_kit
from smolship.runtime_checks.kits.platform import Platform
from smolship.runtime_checks.kits.wheels import fetch_wheel, install_wheels

PI = Platform("aarch64", (2, 36), (3, 11))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, where kits are kept."""
    monkeypatch.setenv("SMOLSHIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kits"


class Counted(KitOfHere):
    """Counts how often it is put together."""

    def assemble(self, platform: Platform, folder: Path, progress: Progress) -> None:
        """See `Maker.assemble`."""
        super().assemble(platform, folder, progress)
        self.__dict__["times"] = self.times + 1

    @property
    def times(self) -> int:
        """Since it is there."""
        return int(self.__dict__.get("times", 0))


def programs(folder: Path, order: list[str]) -> Path:
    """Files that are written in this order."""
    for name in order:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the file {name}")
        path.chmod(0o755 if name == "run" else 0o600)
    return folder


def test_the_same_files_are_the_same_bytes_whenever_and_wherever_they_were_written(tmp_path: Path) -> None:
    names = ["run", "lib/b.so", "lib/a.so", "a long name " * 10]
    first, second = programs(tmp_path / "a", names), programs(tmp_path / "elsewhere", names[::-1])
    os.utime(second / "run", (0, 0))
    (second / "lib" / "__pycache__").mkdir()
    (second / "lib" / "__pycache__" / "a.pyc").touch()
    for folder in (first, second):
        pack(folder, tmp_path / f"{folder.name}.tar.gz")
    packed = (tmp_path / "a.tar.gz").read_bytes()
    assert packed == (tmp_path / "elsewhere.tar.gz").read_bytes()
    (second / "lib" / "a.so").write_text("another")
    pack(second, tmp_path / "other.tar.gz", below="probe/")
    assert packed != (tmp_path / "other.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "other.tar.gz") as other:
        assert {member.name: member.mode for member in other} == {
            "probe/run": 0o755,
            **{f"probe/{name}": 0o644 for name in names[1:]},
        }


def test_links_are_packed_as_the_files_they_lead_to(tmp_path: Path) -> None:
    folder = programs(tmp_path / "kit", ["lib.so.1"])
    (folder / "lib.so").symlink_to("lib.so.1")
    os.link(folder / "lib.so.1", folder / "twin")
    pack(folder, tmp_path / "kit.tar.gz")
    with tarfile.open(tmp_path / "kit.tar.gz") as packed:
        assert [(member.name, member.isreg(), member.size) for member in packed] == [
            (name, True, len("the file lib.so.1")) for name in ("lib.so", "lib.so.1", "twin")
        ]


def test_a_kit_is_made_once_and_found_again_by_what_makes_it(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    maker = Counted()
    use_kit(monkeypatch, maker)
    first, again = kit_for("gguf", PI), kit_for("gguf", PI)
    assert (first, maker.times) == (again, 1)
    assert re.fullmatch(r"gguf-[0-9a-f]{16}", first.name)
    assert first.unpacked == len(maker.marker)
    assert maker.marker.encode() in gzip.decompress(first.archive.read_bytes())
    for platform in (Platform("x86_64", PI.glibc, PI.python), Platform(PI.machine, (2, 31), PI.python)):
        assert kit_for("gguf", platform).archive != first.archive
    other = Counted(marker="of another version")
    use_kit(monkeypatch, other)
    assert kit_for("gguf", PI).name != first.name
    assert (maker.times, other.times) == (3, 1)
    assert len(list(cache.iterdir())) == 4


def test_two_that_make_the_same_kit_at_once_both_have_it(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    both = threading.Barrier(2, timeout=20)

    class Slow(KitOfHere):
        def assemble(self, platform: Platform, folder: Path, progress: Progress) -> None:
            super().assemble(platform, folder, progress)
            both.wait()

    use_kit(monkeypatch, Slow())
    made: list[str] = []
    others = [threading.Thread(target=lambda: made.append(kit_for("gguf", PI).name)) for _ in range(2)]
    for each in others:
        each.start()
    for each in others:
        each.join()
    assert len(made) == 2
    assert made[0] == made[1]
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("error", [InputError("no wheel of numpy"), KeyboardInterrupt()])
def test_nothing_half_made_is_left_when_it_cannot_be_put_together(
    monkeypatch: pytest.MonkeyPatch, cache: Path, error: BaseException
) -> None:
    class Broken(KitOfHere):
        def assemble(self, platform: Platform, folder: Path, progress: Progress) -> None:
            super().assemble(platform, folder, progress)
            raise error

    use_kit(monkeypatch, Broken())
    with pytest.raises(type(error)):
        kit_for("gguf", PI)
    assert list(cache.iterdir()) == []
    use_kit(monkeypatch, KitOfHere())
    assert kit_for("gguf", PI).archive.is_file()


def test_a_damaged_kit_in_the_cache_is_said_with_what_to_remove(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    use_kit(monkeypatch, KitOfHere())
    archive = kit_for("gguf", PI).archive
    assert archive.is_relative_to(cache)
    archive.write_bytes(b"not a kit")
    with pytest.raises(InputError, match=r"is damaged .*: remove .*gguf-"):
        kit_for("gguf", PI)


def test_a_full_disk_here_is_said_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    class Large(KitOfHere):
        def assemble(self, platform: Platform, folder: Path, progress: Progress) -> None:
            with Path("/dev/full").open("wb") as full:
                full.write(b"x")

    use_kit(monkeypatch, Large())
    with pytest.raises(InputError, match=r"cannot make .*gguf-.* \(No space left on device\): free some room there"):
        kit_for("gguf", PI)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_to_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SMOLSHIP_CACHE", str(tmp_path / "file"))
    use_kit(monkeypatch, KitOfHere())
    with pytest.raises(InputError, match=r"cannot write to .*file/kits .*set SMOLSHIP_CACHE to a folder"):
        kit_for("gguf", PI)


def test_a_format_without_a_kit_lists_those_that_have_one() -> None:
    with pytest.raises(InputError, match=f"unknown format 'tflite': the known ones are {', '.join(KITS)}"):
        require_kit("tflite", PI)
    assert not cache_folder().exists()


def test_onnx_runtime_wants_a_python_there_and_the_versions_of_here() -> None:
    with pytest.raises(InputError, match=r"has no python3: install one there .*or take a GGUF or ExecuTorch file"):
        require_kit("onnx", Platform("aarch64", (2, 36), None))
    assert re.fullmatch(r"numpy==\S+ onnxruntime==\S+ tokenizers==\S+", kit_onnx.contents(PI))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder, with wheels of one package for several platforms."""
    folder = tmp_path / "index"
    folder.mkdir()
    for tags in (
        "cp311-cp311-manylinux_2_28_aarch64",
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp312-abi3-manylinux2014_aarch64",
        "cp39-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64",
    ):
        with ZipFile(folder / f"thing-1.0-{tags}.whl", "w") as wheel:
            wheel.writestr("thing/made_for", tags)
            wheel.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
            wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
            wheel.writestr("thing-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.parametrize(
    ("platform", "made_for"),
    [
        (PI, "cp311-cp311-manylinux_2_28_aarch64"),
        (Platform("x86_64", (2, 36), (3, 11)), "cp311-cp311-manylinux_2_28_x86_64"),
        (Platform("aarch64", (2, 27), (3, 11)), "cp39-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("index")
def test_a_wheel_is_the_one_that_suits_the_device(tmp_path: Path, platform: Platform, made_for: str) -> None:
    install_wheels(["thing==1.0"], platform, tmp_path / "kit")
    assert (tmp_path / "kit" / "thing" / "made_for").read_text() == made_for
    assert "thing/made_for" in files_below(tmp_path / "kit")


@pytest.mark.usefixtures("index")
def test_what_there_is_no_wheel_of_is_named_with_pips_own_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no wheel of thing==2\.0 for aarch64, glibc 2\.36, Python 3\.11 \(ERROR: No"):
        fetch_wheel("thing==2.0", PI, tmp_path)
