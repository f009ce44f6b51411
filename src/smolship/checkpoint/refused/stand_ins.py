"""Files that stand in for the one they are named as: a pointer of git-lfs, a web page that was saved."""

from pathlib import Path

from smolship.errors import InputError

_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGES = (b"<!doctype html", b"<html", b"<?xml")


def refuse_stand_in(path: Path) -> None:
    """`InputError` if the file holds git-lfs's pointer or a web page in place of what its name promises."""
    with path.open("rb") as file:
        start = file.read(256).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(_POINTER):
        raise InputError(
            f"{path} is only git-lfs's pointer to the file, wanted the file itself: run `git lfs pull` in that folder"
        )
    if start.lower().startswith(_PAGES):
        raise InputError(
            f"{path} is a web page saved under that name, wanted the file itself: fetch it again "
            "(on the hub by its download link, which has /resolve/ where the page has /blob/)"
        )
