"""The console script in the tests' own process, which has loaded the runtimes already."""

import signal
import sys

import pytest

from smolship.cli import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run `smolship` with these arguments and return its exit code; the signals that it takes over are given back."""
    monkeypatch.setattr(sys, "argv", ["smolship", *map(str, arguments)])
    saved = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)
    return int(ended.value.code or 0)
