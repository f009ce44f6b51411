"""The code that made a result, as a part of its identity: whoever changes it need not remember to say so."""

import ast
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOMS = ("smolship.quantize", "smolship.reference")
"""whose modules decide numbers; checkpoints are told by their content"""


@cache
def code_digest(module: str) -> str:
    """The sha256 of the sources of a module and of all in `ROOMS` that it imports, directly or not."""
    sources = {name: _source(name) for name in _closure(module)}
    return hashlib.sha256("".join(f"{name}\n{sources[name]}" for name in sorted(sources)).encode()).hexdigest()


def _closure(module: str) -> set[str]:
    found, waiting = set[str](), [module]
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
    return [name for name in names if name.startswith(ROOMS) and name != ROOMS[0] and _origin(name) is not None]


def _source(module: str) -> str:
    origin = _origin(module)
    return "" if origin is None else origin.read_text(encoding="utf-8")


def _origin(module: str) -> Path | None:
    """The file of a module; `None` if it is no module (a function that was imported from one)."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)
