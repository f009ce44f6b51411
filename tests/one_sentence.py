"""What every sentence about bad input is."""

from smolship.errors import InputError


def assert_one_sentence(error: InputError) -> None:
    """One line that says what to do, with the exit code of bad input."""
    message = str(error)
    assert "\n" not in message
    assert ": " in message, "it must say what to do"
    assert error.exit_code == 2
