"""The code that made a result, as a part of its identity: whoever changes it need not remember to say so."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("smolship.quantize", "smolship.export")
ROOMS = (*PACKAGES, "smolship.reference")
"""whose modules decide numbers and bytes; checkpoints are told by their content"""


@cache
def code_digest(*modules: str) -> str:
    """The sha256 of the sources of modules and of all in `ROOMS` that they import, directly or not."""
    sources = {name: _source(name) for name in _closure(modules)}
    return hashlib.sha256("".join(f"{name}\n{sources[name]}" for name in sorted(sources)).encode()).hexdigest()


def _closure(modules: Iterable[str]) -> set[str]:
    found, waiting = set[str](), list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imported(ast.parse(_source(name)))
    return found


def _imported(tree: ast.AST) -> list[str]:
    """The modules of `ROOMS` that a source imports anywhere in it; imports are absolute here."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith(ROOMS) and name not in PACKAGES and _origin(name) is not None]


def _source(module: str) -> str:
    origin = _origin(module)
    return "" if origin is None else origin.read_text(encoding="utf-8")


def _origin(module: str) -> Path | None:
    """The file of a module; `None` if it is no module (a function that was imported from one).

    Only its room is looked up: a finder would import what the module lies in, and with it torch or ExecuTorch.
    """
    smolship, room, *inner = module.split(".")
    spec = find_spec(f"{smolship}.{room}")
    if spec is None or not inner:
        return None if spec is None or spec.origin is None else Path(spec.origin)
    place = Path(*(spec.submodule_search_locations or ("nowhere",))[:1], *inner)
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)
