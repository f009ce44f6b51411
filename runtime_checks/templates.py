"""Jinja templates of a package here: an unknown name is an error, and lines of statements leave no lines behind."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates_of(package: str, *, html: bool = False, keep_trailing_newline: bool = False) -> Environment:
    """The templates in the folder `templates` of a package; values are escaped in HTML alone.

    Markdown is no HTML: its readers sanitise.
    """
    return Environment(
        loader=PackageLoader(package),
        autoescape=html,  # noqa: S701 - as said above
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=keep_trailing_newline,
    )
