"""The cache: what was kept comes back exactly, and what is missing, damaged or of another kind does not."""

from pathlib import Path

import pytest

from smolship.quantize.cache import keep_json, kept_json
from smolship.quantize.fit.sensitivity import Sensitivities

FOUND = Sensitivities({"t": {"q4_0": 0.1 + 0.2}}, {"t": {"q4_0": 1e-300}}, {"t": 2 / 3})


def test_plain_data_comes_back_exactly(tmp_path: Path) -> None:
    place = tmp_path / "new" / "found.json"
    keep_json(place, FOUND)
    assert kept_json(place, Sensitivities) == FOUND
    keep_json(place, (7, 8))
    assert kept_json(place, tuple[int, int]) == (7, 8)
    assert [path.name for path in place.parent.iterdir()] == [place.name]


@pytest.mark.parametrize("held", [None, b"", b'{"costs": {', b"[1, 2, 3]", b"\xff"])
def test_what_is_damaged_or_of_another_kind_is_not_there(tmp_path: Path, held: bytes | None) -> None:
    place = tmp_path / "found.json"
    if held is not None:
        place.write_bytes(held)
    assert kept_json(place, tuple[int, int]) is None
    assert kept_json(place, Sensitivities) is None
