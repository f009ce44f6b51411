"""The verbs: parse, call a workflow, print.

Exit codes: 0 all well, 1 a budget is broken or was not measured, 2 bad input, 3 a runtime failed.
"""

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from smolship import __version__, device_verbs, gate_verbs, options
from smolship.errors import InputError, RuntimeFailure, SmolshipError
from smolship.gate_verbs import BROKEN, exit_as, tell_kept_readmes
from smolship.quiet import VERBOSE
from smolship.terminal import messages, output, showing_progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from smolship.text_file import TextFile

app = typer.Typer(
    help="SmolLM2 checkpoints to model files that an app can ship, each proved on its own runtime.",
    epilog="Exit codes: 0 all well, 1 a budget is broken or was not measured, 2 bad input, 3 a runtime failed.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _print_version(wanted: bool) -> None:
    if wanted:
        output().print(f"smolship {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the libraries underneath print.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if verbose:
        os.environ[VERBOSE] = "1"


@app.command()
def ship(
    checkpoint: options.Checkpoint = "embedded",
    *,
    out: options.Out = options.DEFAULT_OUT,
    recipe: options.Recipes = None,
    fit: options.Fit = None,
    distil: options.Distil = False,
    format: options.Formats = ["gguf", "onnx", "executorch"],  # noqa: A002, B006 - the option's name; typer copies it
    target: options.Targets = options.DEFAULT_TARGETS,
    budget: options.Budgets = None,
    allow_unmeasured: options.AllowUnmeasured = False,
    context: options.Context = 2048,
    revision: options.Revision = None,
    threads: options.Threads = options.DEFAULT_THREADS,
    repeats: options.Repeats = 5,
    timeout: options.Timeout = None,
    text: options.Text = "prose",
    calibration_text: options.CalibrationText = None,
    rebuild: options.Rebuild = False,
    as_json: options.Json = False,
) -> None:
    """Build, check and report: the main job."""
    from smolship import views
    from smolship.checkpoint import open_checkpoint
    from smolship.runtime_checks.check_artefact import Settings
    from smolship.workflows.blueprint import Order
    from smolship.workflows.fit import goal_by
    from smolship.workflows.gate import gate_of
    from smolship.workflows.ship import ship as run

    gate = gate_of(target, budget or [], allow_unmeasured=allow_unmeasured)
    gate.require(format)
    goals = goal_by(fit, gate.targets) if fit is not None else None
    recipes = _recipes(recipe, fit, distil=distil)
    order = Order(recipes, _once(format), context, rebuild, _read(calibration_text), goals=goals, distil=distil)
    with showing_progress() as progress:
        source = open_checkpoint(checkpoint, revision=revision, progress=progress)
        report = run(source, out, order, gate, Settings(threads, repeats, timeout), text=text, progress=progress)
    views.report(report, out).show(output(), as_json=as_json)
    tell_kept_readmes(out / one.subject.name_of_file for one in report.checked)
    exit_as(report)


@app.command()
def build(
    checkpoint: options.Checkpoint = "embedded",
    *,
    out: options.Out = options.DEFAULT_OUT,
    recipe: options.Recipes = None,
    fit: options.Fit = None,
    distil: options.Distil = False,
    format: options.Formats = ["gguf", "onnx", "executorch"],  # noqa: A002, B006 - the option's name; typer copies it
    target: options.FitTarget = "host",
    context: options.Context = 2048,
    revision: options.Revision = None,
    calibration_text: options.CalibrationText = None,
    rebuild: options.Rebuild = False,
    as_json: options.Json = False,
) -> None:
    """Write artefacts, one folder for each recipe and format; whole ones that would not change are kept."""
    from smolship import views
    from smolship.checkpoint import open_checkpoint
    from smolship.targets import load_target
    from smolship.workflows.blueprint import Order
    from smolship.workflows.build import build as build_recipes
    from smolship.workflows.fit import fit as build_fitted
    from smolship.workflows.fit import goal_by

    goals = goal_by(fit, [load_target(target)]) if fit is not None else None
    recipes = _recipes(recipe, fit, distil=distil)
    order = Order(recipes, _once(format), context, rebuild, _read(calibration_text), goals=goals, distil=distil)
    with showing_progress() as progress:
        source = open_checkpoint(checkpoint, revision=revision, progress=progress)
        built = (build_recipes if goals is None else build_fitted)(source, out, order, progress=progress)
    views.built(built).show(output(), as_json=as_json)


@app.command()
def plan(
    checkpoint: options.Checkpoint = "embedded",
    *,
    target: options.Targets = options.DEFAULT_TARGETS,
    budget: options.Budgets = None,
    context: options.Context = 2048,
    recipe: options.PlannedRecipes = None,
    format: options.Formats = ["gguf", "onnx", "executorch"],  # noqa: A002, B006 - the option's name; typer copies it
    revision: options.Revision = None,
    as_json: options.Json = False,
) -> None:
    """Predict every file's size, memory and speed limit, and say which to ship; builds nothing, reads no weights.

    Ends with 1 if no file fits one of the targets.
    """
    from smolship import views
    from smolship.checkpoint import open_outline
    from smolship.quantize import RECIPES
    from smolship.targets import load_target, with_budgets
    from smolship.workflows.plan import plan as run

    profiles = [with_budgets(load_target(name), budget or []) for name in _once(target)]
    with showing_progress() as progress:
        model = open_outline(checkpoint, revision=revision, progress=progress)
    made = run(model, profiles, _once(recipe or RECIPES), _once(format), context)
    views.planned(made).show(output(), as_json=as_json)
    if not made.all_fit:
        raise typer.Exit(BROKEN)


app.command()(gate_verbs.check)
app.command()(gate_verbs.report)
app.command()(gate_verbs.compare)
app.command()(device_verbs.smoke)
app.add_typer(device_verbs.device_app, name="device")


@app.command()
def inspect(
    artefact: Annotated[Path, typer.Argument(help="A folder that `build` wrote.")],
    *,
    tensors: Annotated[bool, typer.Option("--tensors", help="Every tensor's grid, bits and error.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show what an artefact is and how it was made, and verify the hash of every file."""
    from smolship import views
    from smolship.workflows.inspect import inspect as run

    views.inspected(run(artefact), every_tensor=tensors).show(output(), as_json=as_json)


@app.command()
def chat(
    artefact: Annotated[Path, typer.Argument(help="A folder that `build` wrote.")],
    *,
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="Ask this one thing and end.")] = None,
    system: Annotated[str | None, typer.Option(help="System message.", show_default="the template's own")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token.")] = 0.2,
    top_p: Annotated[float, typer.Option(help="Nucleus sampling.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
    threads: options.Threads = options.DEFAULT_THREADS,
) -> None:
    """Talk to an artefact on its own runtime; an empty line or Ctrl-D ends, /new starts afresh."""
    from smolship.artefact import Artefact
    from smolship.workflows.chat import Chat, Sampling

    conversation = Chat(Artefact.open(artefact), threads, Sampling(temperature, top_p, seed))
    opening = [{"role": "system", "content": system}] if system else []
    history = list(opening)
    while line := prompt or _ask():
        if line == "/new":
            history = list(opening)
            continue
        asked = {"role": "user", "content": line}
        try:
            said = _say(conversation.answer([*history, asked], max_tokens))
        except InputError as error:
            if prompt:
                raise
            messages().print(f"{error} (/new starts a new chat)", markup=False, soft_wrap=True)
            continue
        history += [asked, {"role": "assistant", "content": said}]
        if prompt:
            return


def _say(pieces: "Iterator[str]") -> str:
    """Print an answer as it comes; the whole of it."""
    said = ""
    for piece in pieces:
        said += piece
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return said


def _ask() -> str | None:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


@app.command()
def targets(
    name: Annotated[str | None, typer.Argument(help="One profile, or your own .toml file: show its budgets.")] = None,
    *,
    as_json: options.Json = False,
) -> None:
    """List the device profiles, or show one with its budgets and where every number comes from."""
    from smolship import views
    from smolship.targets import load_target, target_names

    view = views.target(load_target(name)) if name else views.targets([load_target(one) for one in target_names()])
    view.show(output(), as_json=as_json)


@app.command()
def recipes(*, as_json: options.Json = False) -> None:
    """List the recipes."""
    from smolship import views
    from smolship.quantize import RECIPES

    views.recipes(list(RECIPES.values())).show(output(), as_json=as_json)


@app.command()
def doctor(*, as_json: options.Json = False) -> None:
    """Show which runtimes, versions and processor features are here."""
    from smolship import views
    from smolship.workflows.doctor import doctor as look

    findings = look()
    views.doctor(findings).show(output(), as_json=as_json)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(BROKEN)


def _recipes(names: list[str] | None, fit: str | None, *, distil: bool) -> tuple[str, ...]:
    """The recipes to build; none if each tensor's grid is chosen instead."""
    if fit is None:
        if distil:
            raise InputError("--distil goes with --fit: without it, give a recipe whose name ends in -distilled")
        return _once(names or options.DEFAULT_RECIPES)
    if names:
        raise InputError("--recipe names the grids and --fit chooses them: give one of the two")
    return ()


def _read(calibration_text: Path | None) -> "TextFile | None":
    from smolship.text_file import read_text_file

    wanted = "give --calibration-text a plain text file"
    return None if calibration_text is None else read_text_file(calibration_text, wanted)


def _once(names: "Iterable[str]") -> tuple[str, ...]:
    """The names in the order given, a repeated one once."""
    return tuple(dict.fromkeys(names))


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM; not `KeyboardInterrupt`, which typer turns into exit code 1."""


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    for each in _STOPS:
        signal.signal(each, signal.SIG_IGN)  # a second one must not break the cleaning up after the first
    raise _Interrupted(number)


def main() -> None:
    """The console script: an error of ours is one sentence on stderr and its exit code; Ctrl-C and SIGTERM clean up."""
    for number in _STOPS:
        signal.signal(number, _interrupt)
    try:
        app()
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
