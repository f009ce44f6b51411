"""A user's text: read as it is or unpacked, with one kind of line end, and refused in one sentence."""

import gzip
import hashlib
from pathlib import Path

import pytest

from smolship.errors import InputError
from smolship.text_file import TextFile, read_text_file


@pytest.mark.parametrize("packed", [False, True])
def test_a_text_has_a_name_a_content_and_the_digest_of_its_bytes(tmp_path: Path, packed: bool) -> None:
    data = "Größe\r\nline\rend\n".encode()
    path = tmp_path / ("text.gz" if packed else "text")
    path.write_bytes(gzip.compress(data) if packed else data)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_text_file(path, "") == TextFile(path.name, "Größe\nline\nend\n", digest)


UNREADABLE = {
    "latin.txt": "Größe".encode("latin-1"),
    "cut.gz": gzip.compress(b"text" * 100)[:-6],
    "plain.gz": b"not packed",
    "broken.gz": gzip.compress(b"")[:10] + b"\xff" * 20,
    "missing": None,
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_text_is_one_sentence_that_ends_in_what_is_wanted(tmp_path: Path, name: str) -> None:
    if (data := UNREADABLE[name]) is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=r"cannot be read as UTF-8 text \(.*\): write it anew$"):
        read_text_file(tmp_path / name, "write it anew")


def test_a_folder_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_text_file(tmp_path, "")
