"""Artefacts: whole or not there, verified by hash, and nobody else's folder is touched."""

import errno
import json
from pathlib import Path

import jsonschema
import pytest

from smolship import artefact as module
from smolship.artefact import (
    CARD_LINE,
    Artefact,
    Manifest,
    list_files,
    refuse_foreign,
    staged,
    write_atomically,
    writing,
)
from smolship.checkpoint import Checkpoint
from smolship.errors import InputError
from smolship.workflows.build import Order, build

SCHEMA = Path(module.__file__).parent / "manifest.schema.json"


@pytest.fixture(scope="module")
def shelf(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shelf")
    build(tiny_checkpoint, out, Order(("q4",), ("gguf",), 256))
    return out


@pytest.fixture
def copy(shelf: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(next(shelf.iterdir()), tmp_path / "copy"))


def test_the_schema_in_the_package_is_the_manifest_s() -> None:
    assert json.loads(SCHEMA.read_text()) == Manifest.model_json_schema()


def test_a_written_manifest_keeps_to_the_schema(copy: Path) -> None:
    jsonschema.validate(json.loads((copy / "manifest.json").read_text()), json.loads(SCHEMA.read_text()))


def test_an_artefact_opens_and_verifies(copy: Path) -> None:
    opened = Artefact.open(copy)
    opened.verify()
    assert opened.manifest.files == list_files(copy)
    assert opened.model_path.is_file()


def test_measurements_stand_outside_the_hashes(copy: Path) -> None:
    write_atomically(copy / "measurements.json", b"{}")
    Artefact.open(copy).verify()


def test_the_model_card_stands_outside_the_hashes_and_gives_way(copy: Path) -> None:
    card = copy / "README.md"
    assert CARD_LINE in card.read_text().splitlines()
    write_atomically(card, f"{CARD_LINE}\nmeasured".encode())
    Artefact.open(copy).verify()
    assert Artefact.open(copy).manifest.files == list_files(copy)
    refuse_foreign(copy)


def test_a_readme_of_somebody_else_s_is_not_lost(copy: Path) -> None:
    (copy / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"holds README\.md, which smolship did not write"), staged(copy):
        pytest.fail("the block must not run")
    assert (copy / "README.md").read_text() == "mine"


def test_a_changed_byte_is_found(copy: Path) -> None:
    path = copy / "model.gguf"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"model\.gguf is not the file that manifest\.json lists"):
        Artefact.open(copy).verify()


def test_a_missing_file_is_found(copy: Path) -> None:
    (copy / "Modelfile").unlink()
    with pytest.raises(InputError, match="Modelfile is missing"):
        Artefact.open(copy).verify()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"manifest_version": 2}', '{"surprise": 1}'])
def test_a_manifest_of_another_kind_is_refused_in_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="is not a manifest this version reads"):
        Artefact.open(tmp_path)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        Artefact.open(tmp_path)


def fail_half_way(place: Path) -> None:
    with staged(place) as folder:
        (folder / "half").write_text("half")
        raise ZeroDivisionError


def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(copy: Path) -> None:
    before = Artefact.open(copy).manifest
    with pytest.raises(ZeroDivisionError):
        fail_half_way(copy)
    assert Artefact.open(copy).manifest == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_what_was_there_comes_back_if_the_new_one_cannot_be_moved_in(copy: Path) -> None:
    before = Artefact.open(copy).manifest
    with pytest.raises(FileNotFoundError):
        writing._replace(copy.parent / "vanished", copy)
    Artefact.open(copy).verify()
    assert Artefact.open(copy).manifest == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_file_put_into_an_artefact_is_not_lost(copy: Path) -> None:
    (copy / "NOTES.md").write_text("mine")
    with pytest.raises(InputError, match=r"holds NOTES\.md, which smolship did not write"), staged(copy):
        pytest.fail("the block must not run")
    assert (copy / "NOTES.md").read_text() == "mine"


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No space left"), staged(tmp_path / "new"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="did not write"), staged(tmp_path):
        pytest.fail("the block must not run")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="is a file"), staged(tmp_path / "out"):
        pytest.fail("the block must not run")


def test_a_place_below_a_file_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match=r"cannot write below .*out \(.*out is a file\): choose another --out"):
        refuse_foreign(tmp_path / "out" / "artefact")
    refuse_foreign(tmp_path / "new" / "artefact")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
