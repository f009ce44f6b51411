"""The verb that writes what an app on a phone takes."""

from pathlib import Path
from typing import Annotated

import typer

from smolship import options
from smolship.terminal import output, showing_progress


def mobile(
    artefact: Annotated[Path, typer.Argument(help="A folder that `build` wrote with -f onnx.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The new folder to write.")],
    threads: options.Threads = options.DEFAULT_THREADS,
    as_json: options.Json = False,
) -> None:
    """Write an ONNX artefact for a phone: model.ort, and the operators of a reduced ONNX Runtime that runs it."""
    from smolship import views
    from smolship.workflows.mobile import mobile as run

    with showing_progress() as progress:
        made = run(artefact, out, threads, progress=progress)
    views.mobile(made).show(output(), as_json=as_json)
