"""The table of formats: a format whose packages are missing says which extra brings them, whatever is asked first."""

import importlib.metadata
import importlib.util
from importlib.machinery import ModuleSpec

import pytest

from smolship.errors import InputError
from smolship.export import FORMATS, Format, formats


@pytest.fixture(params=FORMATS)
def line(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


def assert_asks_for_the_extra(line: Format, missing: str) -> None:
    sentence = rf"{line.title} files need {missing}, .*pip install 'smolship\[{line.extra}\]'"
    for ask in (line.versions, line.load, line.require):
        with pytest.raises(InputError, match=sentence) as caught:
            ask()
        assert caught.value.exit_code == 2


def test_every_module_that_is_missing_is_named(line: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in line.needs:

        def find(name: str, missing: str = missing) -> ModuleSpec | None:
            return None if name == missing else importlib.util.find_spec(name)

        monkeypatch.setattr(formats, "find_spec", find)
        assert_asks_for_the_extra(line, missing)


def test_every_distribution_that_is_missing_is_named(line: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in line.distributions:

        def version(name: str, missing: str = missing) -> str:
            if name == missing:
                raise importlib.metadata.PackageNotFoundError(name)
            return importlib.metadata.version(name)

        monkeypatch.setattr(formats, "version", version)
        assert_asks_for_the_extra(line, missing)


def test_versions_are_those_of_the_installed_packages(line: Format) -> None:
    assert line.versions() == {name: importlib.metadata.version(name) for name in line.distributions}


def test_weights_lie_beside_the_model_where_a_format_can_have_them_there(line: Format) -> None:
    assert not line.weights_beside
    if line.name == "onnx":
        assert line.with_weights_beside().weights_beside
    else:
        with pytest.raises(InputError, match="is one file: only ONNX can"):
            line.with_weights_beside()
