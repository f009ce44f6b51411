"""From the probe's records to `Measurements`: what a check's records add to those of `performance`."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from smolship.checkpoint import Tokenizer
from smolship.checkpoint.chat import template as chat
from smolship.errors import InputError
from smolship.progress import Advance
from smolship.runtime_checks.fidelity import Accumulator
from smolship.runtime_checks.job import Asked
from smolship.runtime_checks.likelihoods import Likelihoods, likelihoods_from
from smolship.runtime_checks.measurements import Agreement, Answer, Failure
from smolship.runtime_checks.performance import Performance, Taker
from smolship.runtime_checks.run_probe import Record, one_line
from smolship.runtime_checks.windows import ReferenceWindows
from smolship.targets import Transport

SHOWN = 60
"""characters of a wrongly decoded text that are told"""


class Collector(Performance):
    """Takes every record of a check as it comes.

    `fields` are those of `Measurements` that are known so far; `failure` says what in the records makes the file
    unfit, where the probe itself had nothing to complain of.
    """

    def __init__(
        self,
        asked: Asked,
        tokenizer: Tokenizer,
        reference: ReferenceWindows,
        transport: Transport,
        template: str | None,
        advance: Advance,
        ids: Sequence[NDArray[np.int64]] = (),
    ) -> None:
        """What a job's records are held against.

        `ids` are the tokens whose likelihoods the job asks for, int64 [n, k] for each record of them in its order.
        `template` is the chat template in the artefact's own tokenizer files; a runtime may read another.
        """
        super().__init__(advance)
        self.fields |= {"answers": (), "text": reference.windows.text}
        self.template = template
        self.failure: Failure | None = None
        self.told: list[Likelihoods] = []
        """of every window, where the job asked for likelihoods"""
        self._asked, self._tokenizer, self._reference = asked, tokenizer, reference
        self._transport = transport
        self._fidelity, self._ids = Accumulator(), ids

    def generated(self, record: Record) -> None:
        question = {question.name: question for question in self._asked.questions}[record["name"]]
        if any(answer.name == question.name for answer in self.fields["answers"]):
            raise ValueError(f"{question.name} was answered before")
        text = self._tokenizer.decode(record["tokens"]) if record["text"] is None else record["text"]
        answer = Answer(
            name=question.name,
            prompt=question.shown,
            expected=question.expected,
            text=text,
            right=question.is_answered_by(text),
            stopped=record["stopped"],
            should_stop=question.ends,
        )
        self.fields["answers"] += (answer,)

    def tokenized(self, record: Record) -> None:
        ids = [tuple(each) for each in record["ids"]]
        decoded = [bytes.fromhex(each) for each in record["bytes"]]
        if record["name"] == "texts":
            same = [mine == theirs for mine, theirs in zip(ids, self._asked.text_ids, strict=True)]
            wrong = self._wrongly_decoded(ids, decoded, self._asked.texts)
            self.fields["tokenizer"] = _agreement(same, wrong, [repr(text) for text in self._asked.texts])
        elif self._asked.conversations:
            rendered = [self._render(list(each.messages)) for each in self._asked.conversations]
            pairs = zip(
                zip(ids, rendered, strict=True),
                zip(self._asked.rendered_ids, self._asked.rendered, strict=True),
                strict=True,
            )
            self.fields["chat_template"] = _agreement(
                [mine == theirs for mine, theirs in pairs],
                self._wrongly_decoded(ids, decoded, self._asked.rendered),
                [each.name for each in self._asked.conversations],
            )

    def logits(self, record: Record) -> None:
        """One window: fetched, held against the reference, removed; what is not finite is the file's failure."""
        index, shape = record["window"], tuple(record["shape"])
        tokens, expected = self._reference.windows.tokens[index], self._reference.log_probabilities[index]
        if record["dtype"] != "<f4" or shape != expected.shape or record["file"] != f"window-{index}.f32":
            raise ValueError(f"window {index}: {record['file']!r} of {record['dtype']!r} and shape {shape}")
        with tempfile.TemporaryDirectory(prefix="smolship-logits-") as folder:
            path = Path(folder) / "logits"
            self._transport.get(record["file"], path)
            found: NDArray[np.float32] = np.memmap(path, np.float32, "r", shape=shape)
            if self.failure is None and not np.isfinite(found).all():
                message = f"the runtime gave logits that are not finite, in window {index + 1}"
                self.failure = Failure(stage="windows", message=message)
            if self.failure is None:
                self._fidelity.add(list(tokens), expected, found)
            del found
        self._advance(1)
        if self.failure is None and index + 1 == len(self._reference.windows.tokens):
            self.fields["fidelity"] = self._fidelity.result()

    def likelihoods(self, record: Record) -> None:
        """One window's distributions in few numbers; the caller knows what to hold them against."""
        number = len(self.told)
        if record["window"] not in (number, 0):  # asked another way, the windows begin again
            raise ValueError(f"window {record['window']!r} where {number} was to come")
        self.told.append(likelihoods_from(record, self._ids[number]))
        self._advance(1)

    def unsupported(self, record: Record) -> None:
        """A step that this runtime cannot take there: said, and not measured."""
        self.fields.setdefault("unsupported", {})[one_line(record["step"])] = one_line(record["reason"])

    def _wrongly_decoded(
        self, ids: list[tuple[int, ...]], decoded: list[bytes], texts: Sequence[str]
    ) -> list[bytes | None]:
        """What the runtime made of each text's ids if it is not the text; texts with bytes no token has are let off."""
        return [
            found if found != text.encode() and self._tokenizer.decode(each) == text else None
            for each, found, text in zip(ids, decoded, texts, strict=True)
        ]

    def _render(self, messages: list[dict[str, str]]) -> str:
        """A conversation by the artefact's own template."""
        if self.template is None:
            return ""
        try:
            return chat.render(self.template, messages, self._tokenizer.roles, add_generation_prompt=True)
        except InputError:  # one that another tool wrote; what it cannot render, it renders otherwise
            return ""

    takers: ClassVar[Mapping[str, Taker]] = {
        **Performance.takers,
        "generated": generated,
        "tokenized": tokenized,
        "logits": logits,
        "likelihoods": likelihoods,
        "unsupported": unsupported,
    }
    """what each kind of record adds"""


def _agreement(same: list[bool], wrong: list[bytes | None], names: Sequence[str]) -> Agreement:
    """`same`: whether the ids are the reference's; `wrong`: what they decode to, if that is not the text again."""
    differences = [
        _difference(name, equal, decoded)
        for name, equal, decoded in zip(names, same, wrong, strict=True)
        if not equal or decoded is not None
    ]
    first = differences[0] if differences else None
    return Agreement(compared=len(same), identical=len(same) - len(differences), first_difference=first)


def _difference(name: str, same_ids: bool, decoded: bytes | None) -> str:
    if not same_ids or decoded is None:
        return name
    text = decoded.decode("utf-8", "replace")
    return f"{name}, of which decoding makes {text[:SHOWN]!r}{'…' if len(text) > SHOWN else ''}"
