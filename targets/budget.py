"""`Budget`: a limit with a unit and a direction on one metric, for the artefacts that it selects."""

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from smolship.errors import InputError
from smolship.targets.metrics import METRICS, Metric, metric_named
from smolship.targets.units import parse_quantity, show

_LIMIT = re.compile(r"\s*(<=|>=)\s*(.+)")


def _one_or_more(value: object) -> object:
    """`"gguf"` is `["gguf"]`."""
    return (value,) if isinstance(value, str) else value


Format = Literal["gguf", "onnx", "executorch"]
Name = Annotated[str, Field(min_length=1)]
Formats = Annotated[tuple[Format, ...], BeforeValidator(_one_or_more), Field(min_length=1)]
Recipes = Annotated[tuple[Name, ...], BeforeValidator(_one_or_more), Field(min_length=1)]


class Budget(BaseModel):
    """One limit of a target, as its file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    limit: str
    """`<= 95 MB` or `>= 95 %`: the direction is the metric's own"""
    source: str = Field(min_length=1)
    """where the number comes from"""
    recipe: Recipes | None = None
    """only artefacts of this recipe, or of one of these; all, if absent"""
    format: Formats | None = None
    """only files of this format, or of one of these"""
    min_bits: float | None = Field(default=None, gt=0, strict=True, allow_inf_nan=False)
    """only files that store a weight in at least so many bits on average, whoever made them: 8 bits are harmless"""
    max_parameters: int | None = Field(default=None, gt=0, strict=True)
    """only models of at most so many weights: a size that suits the smallest cannot suit the largest"""
    max_context: int | None = Field(default=None, gt=0, strict=True)
    """only artefacts made for at most so many tokens: the KV cache's memory grows with them"""

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        return _as_value_error(lambda: metric_named(name).name)

    @model_validator(mode="after")
    def _limit_fits_metric(self) -> "Budget":
        _as_value_error(lambda: str(self.bound))
        return self

    @property
    def of(self) -> Metric:
        """The metric that is limited."""
        return METRICS[self.metric]

    @property
    def bound(self) -> float:
        """The limit in the metric's base unit; `InputError` if it is no limit, has no unit or points the wrong way."""
        match = _LIMIT.fullmatch(self.limit)
        wanted = "<=" if self.of.better == "lower" else ">="
        if not match:
            raise InputError(f"{self.limit!r} is no limit: write '{wanted}', a number and its unit")
        quantity = parse_quantity(match[2])
        if quantity.unit.dimension != self.of.unit.dimension:
            raise InputError(
                f"{self.limit!r} limits a {quantity.unit.dimension}; {self.metric} is in {self.of.unit.name}"
            )
        if match[1] != wanted:
            raise InputError(
                f"{self.limit!r} points the wrong way: of {self.metric}, {self.of.better} is better ({wanted})"
            )
        return quantity.value

    def applies_to(
        self,
        *,
        format: str,  # noqa: A002 - the word of the table
        recipe: str,
        bits: float,
        parameters: int,
        context: int,
    ) -> bool:
        """Whether an artefact is one that this budget is for; `bits` a weight, 0 if they are not known yet."""
        return (
            (self.format is None or format in self.format)
            and (self.recipe is None or recipe in self.recipe)
            and (self.min_bits is None or bits >= self.min_bits)
            and (self.max_parameters is None or parameters <= self.max_parameters)
            and (self.max_context is None or context <= self.max_context)
        )

    def holds(self, value: float) -> bool:
        """Whether a measured value (base unit) is within the limit."""
        return value <= self.bound if self.of.better == "lower" else value >= self.bound

    @property
    def scope(self) -> str:
        """The artefacts that it is for, in words for a table: `q8; gguf, onnx; up to 200M parameters`."""
        parts = [
            ", ".join(self.recipe or ()),
            ", ".join(self.format or ()),
            f"from {self.min_bits:g} bits a weight" if self.min_bits else "",
            f"up to {self.max_parameters / 1e6:,.12g}M parameters" if self.max_parameters else "",
            f"up to {self.max_context:,} tokens of context" if self.max_context else "",
        ]
        return "; ".join(filter(None, parts)) or "all"

    def __str__(self) -> str:
        sign = "<=" if self.of.better == "lower" else ">="
        return f"{sign} {show(self.bound, self.of.unit)}"


def _as_value_error(check: Callable[[], str]) -> str:
    """Pydantic collects `ValueError`s with the key they belong to; the sentence stays ours."""
    try:
        return check()
    except InputError as error:
        raise ValueError(str(error)) from error
