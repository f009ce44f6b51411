"""Debian's headless Chromium, for tests of pages: unpacked into the tests' cache, so that nothing is installed here."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from board import packages
from board.cache import kept
from playwright.sync_api import Browser, sync_playwright

PACKAGES = ("chromium-headless-shell", "fonts-dejavu-core")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
"""what runs as root has no sandbox; and a browser that asks nobody for anything has requests of the page alone"""


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser of its own; `Unavailable` if the packages cannot be had."""
    root = kept(PACKAGES[0], [packages.__file__, __file__], _make)
    # Some libraries find their own private ones (libpulse's) by a path that is right only where they are installed.
    libraries = sorted({file.parent for file in root.rglob("*.so*")})
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "FONTCONFIG_SYSROOT": str(root),
    }
    program = root / "usr" / "lib" / "chromium" / PACKAGES[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, env=dict(environment), args=list(QUIET))
        yield browser
        browser.close()


def _make(root: Path, work: Path) -> None:
    packages.unpack(packages.download(PACKAGES, "amd64", work / "amd64"), root)
