"""The errors a user can meet, as one small tree; each carries the exit code that the command line returns."""


class SmolshipError(Exception):
    """A check or budget did not hold (exit code 1), and the root of every error raised on purpose."""

    exit_code = 1


class InputError(SmolshipError):
    """What was given cannot be used (exit code 2): the message says what was found, what was wanted and what to do."""

    exit_code = 2


class RuntimeFailure(SmolshipError):
    """A runtime crashed, was killed or refused a file (exit code 3)."""

    exit_code = 3


class LinkLost(RuntimeFailure):
    """The connection to a device broke or fell silent before it had said how the work there ended (exit code 3)."""


def unknown_name(kind: str, name: str, known: list[str] | tuple[str, ...]) -> InputError:
    """The error for a name that is not in a table: it lists the names that are."""
    return InputError(f"unknown {kind} {name!r}: the known ones are {', '.join(known)}")
