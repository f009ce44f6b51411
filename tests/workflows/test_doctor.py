"""What `doctor` finds on this machine, which has everything, and on one that lacks a package."""

from importlib.metadata import PackageNotFoundError, version

import pytest

from smolship.export import FORMATS
from smolship.workflows import doctor


def test_all_is_here_where_the_tests_run() -> None:
    findings = doctor.doctor()
    assert all(finding.ok for finding in findings)
    assert {line.title for line in FORMATS.values()} < {finding.subject for finding in findings}


def test_what_devices_take_and_is_missing_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def version_but_of_zig(name: str) -> str:
        if name == "ziglang":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor, "version", version_but_of_zig)
    finding = next(one for one in doctor.doctor() if one.subject == "Devices over SSH")
    assert not finding.ok
    assert finding.found == "ziglang not installed"
    assert finding.advice == "pip install 'smolship[device]'"
