"""The verb that talks to an artefact."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from smolship import options
from smolship.errors import InputError
from smolship.streams import ask
from smolship.terminal import messages


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
    if prompt == "":
        raise InputError("--prompt is empty: ask something, or leave it out to talk line by line")
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


def _say(pieces: Iterator[str]) -> str:
    """Print an answer as it comes; the whole of it."""
    said = ""
    for piece in pieces:
        said += piece
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return said


def _ask() -> str:
    """A line without the white space around it; nothing at the end."""
    return (ask("> " if sys.stdin.isatty() else "") or "").strip()
