"""What tests of files made elsewhere share."""

from pathlib import Path

import pytest
from other_tools import write_program


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with optimum-executorch's interface, its tokenizer beside it."""
    return write_program(tmp_path_factory.mktemp("programs") / "every", every=True)
