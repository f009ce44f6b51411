"""Transports of every kind, for tests of what they have in common."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from smolship.targets import Local, Transport


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.device)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transport]:
    """The test's folder by every transport there is."""
    if request.param == "local":
        yield Local(tmp_path)
    else:
        with request.getfixturevalue("reach")(tmp_path) as ssh:
            yield ssh
