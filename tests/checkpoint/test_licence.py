"""A licence is what the checkpoint names, and where it names none no file does."""

from pathlib import Path

import pytest
from gguf import GGUFReader
from huggingface_hub import ModelCard
from tiny import write_tiny_checkpoint
from tiny_gguf import write_tiny_gguf

from smolship.checkpoint import Outline, open_checkpoint, open_outline
from smolship.export.gguf.size import fixed_bytes
from smolship.workflows.build import Order, build

HEADS: dict[str, tuple[bytes | None, str | None, str | None]] = {
    "no README.md": (None, None, None),
    "one without a head": (b"# My model\n\nlicense: mit\n", None, None),
    "a head without one": (b"---\ntags: [x]\n---\n", None, None),
    "an empty head": (b"---\n\n---\n", None, None),
    "one": (b"---\ntags:\n- x\nlicense: apache-2.0\n---\n# My model\n", "apache-2.0", None),
    "one with Windows' line ends": (b"---\r\nlicense: mit\r\n---\r\n", "mit", None),
    "one in quotes, of another kind": (b"---\nlicense: 'other'\nlicense_name: mine\n---\n", "other", None),
    "one in a list": (b"---\nlicense:\n- mit\n---\n", "mit", None),
    "one that is not known": (b"---\nlicense: unknown\n---\n", None, None),
    "several": (b"---\nlicense: [mit, gpl]\n---\n", None, "has license ['mit', 'gpl'], which names not one licence"),
    "a number": (b"---\nlicense: 2\n---\n", None, "has license 2, which names not one licence"),
    "one in the text below": (b"---\na: 1\n---\ntext\n---\nlicense: mit\n---\n", None, None),
    "a head that is not closed": (b"---\nlicense: mit\n", None, None),
    "a head that is no YAML": (b"---\nlicense: [\n---\n", None, "has malformed YAML at its head"),
    "a head with a day that is none": (b"---\nwhen: 2026-99-99\n---\n", None, "has malformed YAML at its head"),
    "no text": (b"---\nlicense: \xff\n---\n", None, "cannot be read"),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_folder_names_it_in_its_readme(tmp_path: Path, name: str) -> None:
    data, licence, sentence = HEADS[name]
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    if data is not None:
        (folder / "README.md").write_bytes(data)
    found = open_outline(str(folder))
    assert found.licence == licence
    assert len(found.notes) == (sentence is not None)
    assert all(f"README.md {sentence}" in note for note in found.notes)
    assert open_checkpoint(str(folder)).licence == licence


@pytest.mark.parametrize("licence", [None, "apache-2.0", "cc-by-nc-4.0"])
def test_all_that_is_made_names_the_same_one_or_none(tmp_path: Path, licence: str | None) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    (folder / "README.md").write_text(
        "---\nlibrary_name: transformers\n---\n" if licence is None else f"---\nlicense: {licence}\n---\n"
    )
    artefact = build(open_checkpoint(str(folder)), tmp_path / "out", Order(("q8",), ("gguf",), 256))[0].artefact
    field = GGUFReader(artefact.model_path).fields.get("general.license")
    assert (field and field.contents()) == licence
    assert vars(ModelCard.load(artefact.folder / "README.md").data).get("license") == licence
    assert artefact.manifest.source.licence == licence
    again = open_checkpoint(str(artefact.model_path))  # a GGUF passes it on
    assert again.licence == licence


def test_the_files_size_is_foreseen_with_it(tmp_path: Path) -> None:
    plain = write_tiny_gguf(tmp_path / "plain.gguf")
    named = write_tiny_gguf(tmp_path / "named.gguf", general__license="x" * 4096)
    assert fixed_bytes(outline(named), 256) - fixed_bytes(outline(plain), 256) >= 4096


def test_a_licence_that_is_no_text_is_none(tmp_path: Path) -> None:
    assert outline(write_tiny_gguf(tmp_path / "odd.gguf", general__license=7)).licence is None


def outline(path: Path) -> Outline:
    """The outline of a GGUF."""
    return open_outline(str(path))
