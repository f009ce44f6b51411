"""The command line: the verbs of `smolship.verbs` under one name, and how it ends.

Exit codes: 0 all well, 1 a budget is broken or was not measured, 2 bad input, 3 a runtime failed.
"""

import os
import signal
import sys
import traceback
from contextlib import suppress
from types import FrameType
from typing import Annotated, NoReturn

import typer

from smolship import __version__
from smolship.errors import InputError, RuntimeFailure, SmolshipError
from smolship.quiet import VERBOSE
from smolship.streams import READER_GONE, ReaderGone, guard_streams, let_go, require_text
from smolship.terminal import QUIET, messages, output
from smolship.verbs import build, chat, compare, devices, gate, look, mobile

app = typer.Typer(
    help="SmolLM2 checkpoints to model files that an app can ship, each proved on its own runtime.",
    epilog="Exit codes: 0 all well, 1 a budget is broken or was not measured, 2 bad input, 3 a runtime failed.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
_VERBS = (
    build.ship,
    build.build,
    build.plan,
    gate.check,
    gate.report,
    compare.compare,
    devices.smoke,
    look.inspect,
    chat.chat,
    mobile.mobile,
    look.targets,
    look.recipes,
    look.doctor,
)
"""in the order of the help"""
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _print_version(wanted: bool) -> None:
    if wanted:
        output().print(f"smolship {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the libraries underneath print.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing about progress.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if verbose:
        os.environ[VERBOSE] = "1"
    if quiet:
        os.environ[QUIET] = "1"


for _verb in _VERBS:
    app.command()(_verb)
app.add_typer(devices.device_app, name="device")


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM; not `KeyboardInterrupt`, which typer turns into exit code 1."""


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    for each in _STOPS:
        signal.signal(each, signal.SIG_IGN)  # a second one must not break the cleaning up after the first
    raise _Interrupted(number)


def main() -> None:
    """The console script: an error of ours is one sentence on stderr and its exit code; Ctrl-C and SIGTERM clean up.

    Output that nobody reads any more ends it as SIGPIPE would, with 141, unless all was done but the writing.
    """
    for number in _STOPS:
        signal.signal(number, _interrupt)
    guard_streams()
    try:
        _run()
    except ReaderGone:
        sys.exit(READER_GONE)
    finally:
        let_go()


def _run() -> None:
    try:
        for argument in sys.argv[1:]:
            require_text(argument, "the argument")
        try:
            app()
        finally:
            with suppress(ReaderGone):  # all was done but the writing: the verb's own exit code stands
                sys.stdout.flush()
    except SmolshipError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:  # a file that may not be read, a folder that vanished: what the user named
        _fail(str(error), InputError.exit_code)
    except _Interrupted as interrupted:
        _fail("interrupted; nothing half-written is left", 128 + interrupted.args[0])
    except Exception:  # noqa: BLE001 - whatever it is, it must not end in 1, which says that a budget failed
        traceback.print_exc()
        _fail("this is a defect of smolship: please report the lines above", RuntimeFailure.exit_code)


def _fail(sentence: str, code: int) -> NoReturn:
    messages().print(f"smolship: {sentence}", style="red", markup=False, soft_wrap=True)
    sys.exit(code)
