"""Make the git-ignored link tree `.links/smolship` that shows type checkers and editors the package as it is installed.

The rooms are top-level folders that `pyproject.toml` maps into `smolship`; tools that read files instead of importing
them cannot see that map. The tree holds one link for each entry of `src/smolship` and one for each mapped room.
"""

import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def mapped_folders(root: Path) -> dict[str, Path]:
    """Dotted package name to folder, as `[tool.setuptools.package-dir]` in `root / "pyproject.toml"` says."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return {name: root / folder for name, folder in settings["tool"]["setuptools"]["package-dir"].items()}


def wanted_links(root: Path) -> dict[Path, Path]:
    """Link to target, for the whole tree: the anchor's entries and the rooms beside them."""
    folders = mapped_folders(root)
    anchor = root / ".links" / "smolship"
    links = {anchor / entry.name: entry for entry in folders.pop("smolship").iterdir() if entry.name != "__pycache__"}
    for name, folder in folders.items():
        links[anchor.joinpath(*name.split(".")[1:])] = folder
    return links


def link_packages(root: Path) -> Path:
    """Bring the link tree of `root` up to date and return its folder; a tree that is right already is left alone."""
    wanted = wanted_links(root)
    tree = root / ".links"
    found = {path: path.resolve() for path in tree.glob("smolship/*")}
    if found != {link: target.resolve() for link, target in wanted.items()}:
        shutil.rmtree(tree, ignore_errors=True)
        for link, target in wanted.items():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
    return tree


if __name__ == "__main__":
    link_packages(ROOT)
