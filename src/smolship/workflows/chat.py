"""Chat: talk to an artefact on its own runtime, with the tokenizer and the template that ship in it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smolship.artefact import Artefact
from smolship.checkpoint.chat.template import render
from smolship.checkpoint.gguf.header import read_header
from smolship.checkpoint.gguf.metadata import read_model
from smolship.checkpoint.tokenizer import STANDARD_ROLES
from smolship.errors import InputError, RuntimeFailure
from smolship.quiet import quiet
from smolship.runtime_checks.runtimes import runtime_of

if TYPE_CHECKING:
    from smolship.runtime_checks.probe.backend import Backend

Message = dict[str, str]


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the logits."""

    temperature: float = 0.0
    """0 takes the most likely token"""
    top_p: float = 0.9
    """the smallest set of tokens that holds this much probability (nucleus sampling, arXiv 1904.09751)"""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise InputError(
                f"temperature {self.temperature}, top-p {self.top_p}: give a temperature from 0 and a top-p in (0, 1]"
            )


class Chat:
    """A conversation with one artefact, loaded in this process."""

    def __init__(self, artefact: Artefact, threads: int, sampling: Sampling) -> None:
        """`RuntimeFailure` if the runtime refuses the file, `InputError` if it is missing or a file was changed."""
        artefact.verify()
        runtime = runtime_of(artefact.manifest)
        runtime.require()
        self.context = artefact.manifest.context
        self._template, self._roles = _shipped(artefact)
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        self._title = runtime.title
        with self._translated(), quiet():
            module = import_module(f"smolship.runtime_checks.probe.{runtime.backend}")
            self._backend: Backend = module.Backend(str(artefact.folder.resolve()), self.context, threads)
            self._ends = {self._backend.tokenize(token)[0] for token in _end_tokens(artefact, self._roles)}

    def answer(self, messages: Sequence[Message], longest: int) -> Iterator[str]:
        """The answer's text piece by piece, at most `longest` tokens; a base model completes the last message.

        `InputError` if the conversation leaves no room in the context.
        """
        if self._template is None:
            prompt = messages[-1]["content"]
        else:
            now = datetime.now()  # noqa: DTZ005 - the local time without a zone, as transformers tells a template
            prompt = render(self._template, messages, self._roles, add_generation_prompt=True, now=now)
        tokens = self._backend.tokenize(prompt)
        room = self.context - len(tokens)
        if not tokens or room < 1:
            raise InputError(
                f"the conversation is {len(tokens)} tokens long and the artefact holds from 1 to {self.context - 1}: "
                "say something, start a new chat, or build with a larger --context"
            )
        yield from self._stream(tokens, min(longest, room))

    def _stream(self, tokens: list[int], count: int) -> Iterator[str]:
        new: list[int] = []
        shown = ""
        with self._translated():
            logits = self._backend.prefill(tokens)
        while len(new) < count:
            token = draw(logits, self._sampling, self._random)
            if token in self._ends:
                break
            new.append(token)
            with self._translated():
                text = self._backend.detokenize(new).decode("utf-8", "replace")
            whole = text.rstrip("\ufffd")  # the rest of a character may come with the next token
            yield whole[len(shown) :]
            shown = whole if len(whole) > len(shown) else shown
            if len(new) < count:
                with self._translated():
                    logits = self._backend.decode(token)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each runtime's C++ binding raises classes of its own
            raise RuntimeFailure(f"{self._title} failed: {error}") from error


def draw(logits: NDArray[np.float32], sampling: Sampling, random: np.random.Generator) -> int:
    """One token id from logits [vocab]: the most likely at temperature 0, else by nucleus sampling."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    scaled = logits.astype(np.float64) / sampling.temperature
    probability = np.exp(scaled - scaled.max())
    probability /= probability.sum()
    order = np.argsort(-probability, kind="stable")
    kept = order[: int(np.searchsorted(probability[order].cumsum(), sampling.top_p)) + 1]
    return int(random.choice(kept, p=probability[kept] / probability[kept].sum()))


def _end_tokens(artefact: Artefact, roles: Mapping[str, str]) -> tuple[str, ...]:
    """What ends an answer, in this artefact or one made before manifests said it."""
    return artefact.manifest.source.end_tokens or (roles["eos_token"],)


def _shipped(artefact: Artefact) -> tuple[str | None, Mapping[str, str]]:
    """The chat template and the tokens it may name, out of the files that ship."""
    if artefact.manifest.format == "gguf":
        header = read_header(artefact.model_path)
        _, tokenizer, _ = read_model(header, "model")
        return tokenizer.chat_template, tokenizer.roles
    config = json.loads(_config(artefact.folder).read_text(encoding="utf-8"))
    return config.get("chat_template"), {role: config[role] for role in STANDARD_ROLES if role in config}


def _config(folder: Path) -> Path:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        raise InputError(f"{folder} has no {path.name}: build the artefact again")
    return path
