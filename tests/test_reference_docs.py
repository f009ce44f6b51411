"""The reference pages say what the tables in the code say: `make reference` was run after the last change."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "write_reference.py"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_reference", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = load_script()


def test_every_page_is_listed() -> None:
    assert sorted(path.name for path in PAGES.FOLDER.iterdir()) == sorted(PAGES.PAGES)


@pytest.mark.parametrize("name", PAGES.PAGES)
def test_the_page_is_up_to_date(name: str) -> None:
    assert (PAGES.FOLDER / name).read_text(encoding="utf-8") == PAGES.text_of(name), "run `make reference`"
