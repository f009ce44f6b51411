"""The code is a part of a cached result's identity: what is imported counts, what is not does not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smolship.quantize import made_by
from smolship.quantize.cache import place_of

SAMPLES, CODES = "smolship.quantize.calibration.texts", "smolship.quantize.solving"

Edit = Callable[[str], None]


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Edit]:
    """Makes a module's source look edited."""
    origin = made_by._origin

    def edited(module: str) -> None:
        copy = tmp_path / "edited.py"
        copy.write_text(made_by._source(module) + "\n# edited\n", encoding="utf-8")
        monkeypatch.setattr(made_by, "_origin", lambda name: copy if name == module else origin(name))
        made_by.code_digest.cache_clear()

    yield edited
    made_by.code_digest.cache_clear()


def test_other_inputs_another_kind_and_other_code_are_other_places() -> None:
    asked = [("codes", CODES, {"a": 1}), ("codes", CODES, {"a": 2}), ("tokens", CODES, {"a": 1})]
    asked.append(("codes", SAMPLES, {"a": 1}))
    assert len({place_of(*each) for each in asked}) == 4
    assert place_of(*asked[0]) == place_of(*asked[0])


@pytest.mark.parametrize("module", [SAMPLES, "smolship.quantize.calibration.sampling", "smolship.reference"])
def test_what_samples_are_made_by_decides_where_they_are_kept(edit: Edit, module: str) -> None:
    before = made_by.code_digest(SAMPLES)
    edit(module)
    assert made_by.code_digest(SAMPLES) != before


def test_the_descent_decides_codes_and_leaves_samples_alone(edit: Edit) -> None:
    before = made_by.code_digest(SAMPLES), made_by.code_digest(CODES)
    edit("smolship.quantize.descent")
    assert made_by.code_digest(SAMPLES) == before[0]
    assert made_by.code_digest(CODES) != before[1]
