"""The table of ExecuTorch's backends, and how a line of the table of formats comes by one."""

from importlib import import_module

import pytest

from smolship.errors import InputError
from smolship.export import FORMATS, format_named
from smolship.export.executorch.backends import BACKENDS, Backend
from smolship.quantize.formats import FORMAT_GRIDS


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param]


def test_every_backend_takes_what_the_format_does(backend: Backend) -> None:
    assert set(backend.grids) == set(FORMAT_GRIDS["executorch"].values())


def test_a_backend_s_module_is_that_of_a_format(backend: Backend) -> None:
    module = import_module(backend.module)
    assert callable(module.pack)
    assert callable(module.unpack)


def test_only_what_runs_nowhere_here_has_a_label_of_its_own(backend: Backend) -> None:
    line = format_named("executorch").with_backend(backend.name)
    assert line.module == backend.module
    assert line.name == "executorch"
    assert line.label == ("executorch" if backend.runs_here else f"executorch-{backend.name}")
    assert set(backend.distributions) <= line.versions().keys()


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown backend 'opengl': the known ones are xnnpack, coreml, vulkan"):
        format_named("executorch").with_backend("opengl")


@pytest.mark.parametrize("name", [name for name, line in FORMATS.items() if line.backends is None])
def test_other_formats_have_no_backends(name: str) -> None:
    with pytest.raises(InputError, match="have no backends, only ExecuTorch files do"):
        format_named(name).with_backend("coreml")
