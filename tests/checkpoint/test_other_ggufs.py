"""GGUF files that hold no whole model."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from one_sentence import assert_one_sentence
from tiny_gguf import write_tiny_gguf

from smolship.checkpoint import open_checkpoint, open_outline
from smolship.errors import InputError

OTHER_GGUFS: dict[str, tuple[dict[str, Any], str]] = {
    "a part": (
        {"split__no": 1, "split__count": 3},
        "is part 2 of 3: join them with llama.cpp's `llama-gguf-split --merge",
    ),
    "an adapter": ({"general__type": "adapter", "adapter__type": "lora"}, "is a LoRA adapter as a GGUF, .*export-lora"),
    "a projector": ({"general__type": "mmproj"}, "is the projector of a vision or audio model as a GGUF"),
    "an older projector": ({"arch": "clip"}, "is the projector of a vision or audio model as a GGUF"),
    "an importance matrix": ({"general__type": "imatrix"}, "is an importance matrix as a GGUF"),
}


@pytest.mark.parametrize("case", OTHER_GGUFS)
def test_a_gguf_of_something_else(tmp_path: Path, case: str) -> None:
    metadata, sentence = OTHER_GGUFS[case]
    path = write_tiny_gguf(tmp_path / "tiny.gguf", **metadata)
    for opened in (open_checkpoint, open_outline):
        with pytest.raises(InputError, match=sentence) as caught:
            opened(str(path))
        assert_one_sentence(caught.value)


def written(path: Path, tensors: dict[str, Any], endian: gguf.GGUFEndian = gguf.GGUFEndian.LITTLE) -> Path:
    """A GGUF of hardly more than its header."""
    writer = gguf.GGUFWriter(path, "llama", endianess=endian)
    writer.add_block_count(2)
    for name, weight in tensors.items():
        writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_vocabulary_and_a_big_endian_gguf(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a vocabulary without weights as a GGUF"):
        open_checkpoint(str(written(tmp_path / "vocab.gguf", {})))
    tensors = {"token_embd.weight": np.zeros((4, 32), np.float32)}
    with pytest.raises(InputError, match=r"is a big-endian GGUF, .*gguf-convert-endian big.gguf little") as caught:
        open_checkpoint(str(written(tmp_path / "big.gguf", tensors, gguf.GGUFEndian.BIG)))
    assert_one_sentence(caught.value)


def test_a_part_that_only_its_name_tells(tmp_path: Path) -> None:
    whole = write_tiny_gguf(tmp_path / "tiny-00001-of-00002.gguf")
    assert open_checkpoint(str(whole)).architecture.layers == 2  # a whole one may be named so
    part = write_tiny_gguf(tmp_path / "tiny-00002-of-00002.gguf", llama__block_count=3)
    with pytest.raises(InputError, match=r"is part 2 of 2: .*--merge tiny-00001-of-00002.gguf"):
        open_checkpoint(str(part))
