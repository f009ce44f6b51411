"""Multiple-choice rows: a query, its choices, the right one; and the token sequences they become."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from smolship.checkpoint import Tokenizer
from smolship.errors import InputError


class Row(BaseModel):
    """One question. `" " + choices[i]` goes on from `query`; `gold` is the index of the right choice."""

    model_config = ConfigDict(frozen=True)

    id: str
    query: str = Field(min_length=1)
    choices: tuple[str, ...] = Field(min_length=2)
    gold: int = Field(ge=0)

    @model_validator(mode="after")
    def _gold_is_a_choice(self) -> "Row":
        if self.gold >= len(self.choices):
            raise ValueError(f"gold is {self.gold}, and there are {len(self.choices)} choices")
        return self


@dataclass(frozen=True)
class Continuation:
    """A query with one of its choices as token ids; the choice begins at `start`."""

    tokens: tuple[int, ...]
    start: int


def read_rows(path: Path, limit: int | None = None) -> list[Row]:
    """The first `limit` rows of a file of JSON lines (`.gz` is unpacked), or all.

    `InputError` names the line that is no such row, or says that there are none.
    """
    try:
        data = path.read_bytes()
        lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text ({error}): give a file of JSON lines") from error
    rows = list[Row]()
    for number, line in enumerate(lines, start=1):
        if limit is not None and len(rows) == limit:
            break
        if not line.strip():
            continue
        try:
            rows.append(Row.model_validate_json(line))
        except ValidationError as error:
            raise InputError(
                f"{path}, line {number}: {error.errors()[0]['msg']}; a row is "
                '{"id": text, "query": text, "choices": [text, ...], "gold": index}'
            ) from error
    if not rows:
        raise InputError(f"{path} has no rows: give a file of JSON lines")
    return rows


def continuations(tokenizer: Tokenizer, row: Row) -> tuple[Continuation, ...]:
    """A continuation for each choice.

    Query and choice are encoded together, and what is longer than the query's own encoding is the choice's, as
    lm-evaluation-harness does it (arXiv 2405.14782).
    """
    start = len(tokenizer.encode(row.query))
    found = []
    for choice in row.choices:
        tokens = tuple(tokenizer.encode(f"{row.query} {choice}"))
        found.append(Continuation(tokens, min(start, len(tokens) - 1)))
    return tuple(found)
