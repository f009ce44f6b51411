"""Write `requirements.lock`: the exact versions installed in this environment that `smolship[all,dev]` asks for.

Run it with the environment's own python after the tests have passed there; the lock then says what was tested. Local
version parts (`+cpu`) are left out, because which build of torch suits a machine is that machine's own choice.
"""

import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
HEADER = """\
# The versions that smolship is tested with, on Python 3.11 (written by scripts/lock.py; used by the Makefile):
#   pip install --constraint requirements.lock --editable '.[all,dev]'
"""


def requirements_of(name: str, extras: frozenset[str]) -> list[Requirement]:
    """What the installed distribution `name` asks for on this machine, with these extras; raises if it is missing."""
    asked = [Requirement(text) for text in metadata.requires(name) or []]
    environments = [{"extra": extra} for extra in extras or {""}]
    return [ask for ask in asked if ask.marker is None or any(ask.marker.evaluate(each) for each in environments)]


def closure(name: str, extras: frozenset[str]) -> dict[str, Version]:
    """Every distribution that `name[extras]` needs, itself left out: canonical name to installed version.

    Raises:
        SystemExit: an installed version is not one that was asked for.
    """
    versions: dict[str, Version] = {}
    seen = {(canonicalize_name(name), extras)}
    waiting = list(seen)
    while waiting:
        for ask in requirements_of(*waiting.pop()):
            key = (canonicalize_name(ask.name), frozenset(ask.extras))
            found = Version(metadata.version(ask.name))
            if not ask.specifier.contains(found, prereleases=True):
                sys.exit(f"{ask.name} {found} is installed, {ask} is asked for: install that first")
            versions[key[0]] = found
            if key not in seen:
                seen.add(key)
                waiting.append(key)
    return {package: version for package, version in versions.items() if package != canonicalize_name(name)}


def lock_text() -> str:
    """What `requirements.lock` should say in this environment."""
    versions = closure("smolship", frozenset({"all", "dev"}))
    return HEADER + "".join(f"{name}=={versions[name].public}\n" for name in sorted(versions))


if __name__ == "__main__":
    LOCK.write_text(lock_text(), encoding="utf-8")
