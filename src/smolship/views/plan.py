"""What `plan` shows: predicted figures, and never without that word."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from smolship.targets.units import UNITS, show, show_number
from smolship.terminal import table
from smolship.views.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from smolship.workflows.plan import OnTarget, Plan
    from smolship.workflows.planned import PlannedFile
    from smolship.workflows.suiting import Suit

_MB, _SPEED = UNITS["MB"], UNITS["tok/s"]
_NOTE = (
    "All of this is predicted. Memory is a process's peak with the context full; budgets on memory and speed are held "
    "against what `check` would measure; tokens a second are what the memory's bandwidth allows, not what to expect. "
    "Fidelity, prefill and load time are not predicted: build, and `smolship check`."
)


def planned(made: "Plan") -> View:
    """The files, how they suit each target, and which to ship."""
    tables = (_files(made), _suits(made))
    notes = [f"{one.recipe} {one.format} cannot be built: {one.reason}" for one in made.refused]
    notes += [
        f"{one.target.name}: no ceilings, for the target does not say what its bandwidth is"
        for one in made.targets
        if one.target.device.bandwidth is None
    ]
    notes += [_sentence(made, one) for one in made.targets]
    return View(tables, _data(made), (*notes, _NOTE))


def _files(made: "Plan") -> "Table":
    rows = [
        (
            file.recipe.name,
            file.format,
            f"{file.bits_per_weight:.2f}",
            *(show_number(count, _MB) for count in (file.sizes.model, file.sizes.all, file.cache)),
            _range([one.suits[index].memory for one in made.targets]),
            show_number(file.read_per_token(file.context), _MB),
        )
        for index, file in enumerate(made.files)
    ]
    figures = (
        "bits/\nweight",
        "model\nfile, MB",
        "all that\nships, MB",
        "KV\ncache, MB",
        "memory,\nMB",
        "read a\ntoken, MB",
    )
    title = f"Predicted for {made.model} at {made.context:,} tokens, the context full"
    return table(title, ("recipe", "format", *figures), rows, figures)


def _range(memories: "Sequence[dict[str, float] | None]") -> str:
    """The peak on all targets that run the file: they differ by the processor and the probe's process."""
    values = [memory["peak_memory"] for memory in memories if memory]
    if not values:
        return "–"
    low, high = show_number(min(values), _MB), show_number(max(values), _MB)
    return low if low == high else f"{low}–{high}"


def _suits(made: "Plan") -> "Table":
    from smolship.workflows.suiting import WHILE_CHECKED

    rows = [
        (file.recipe.name, file.format, *(_cell(one.suits[index]) for one in made.targets))
        for index, file in enumerate(made.files)
    ]
    title = f"Predicted: what fits, and the most tokens a second with {WHILE_CHECKED} tokens in the cache (with all)"
    return table(title, ("recipe", "format", *(one.target.name for one in made.targets)), rows)


def _cell(suit: "Suit") -> str:
    told = suit.reasons[0] if suit.reasons else "fits"
    if suit.ceiling is None or suit.ceiling_full is None:
        return told
    return f"{told}\n≤ {suit.ceiling:.3g} ({suit.ceiling_full:.3g}) tok/s"


def _sentence(made: "Plan", one: "OnTarget") -> str:
    """Which file to ship to a target, and why; or what stands in the way."""
    place = f"Predicted for {one.target.name}"
    if one.chosen is None:
        file, suit = min(zip(made.files, one.suits, strict=True), key=lambda pair: _distance(*pair))
        return f"{place}: no file fits; {file.name} comes nearest, and fails: {'; '.join(suit.reasons)}"
    suit = one.suits[made.files.index(one.chosen)]
    figures = [show(one.chosen.sizes.all, _MB)]
    if suit.memory_counted is not None:
        kind = "anonymous memory" if one.target.device.memory_counts == "anonymous" else "memory"
        figures.append(f"{show(suit.memory_counted, _MB)} of {kind}")
    if suit.ceiling is not None:
        figures.append(f"at most {show(suit.ceiling, _SPEED)}")
    fitting = sum(each.fits for each in one.suits)
    why = f"the most faithful of {fitting} files that fit" if fitting > 1 else "the only file that fits"
    if one.better is not None:
        why += f" ({one.better.name} does not: {one.suits[made.files.index(one.better)].reasons[0]})"
    rounding = one.chosen.recipe.cost
    return f"{place}: ship {one.chosen.name} ({', '.join(figures)}), {why}; rounding 135M takes {rounding}"


def _distance(file: "PlannedFile", suit: "Suit") -> tuple[bool, int, int]:
    """How far a file is from fitting: without a runtime farthest, then by the limits it breaks, then by its size."""
    return suit.memory is None, len(suit.reasons), file.sizes.all


def _data(made: "Plan") -> dict[str, Any]:
    """The same figures in bytes and tokens a second, each below the word `predicted`."""
    return {
        "model": made.model,
        "parameters": made.parameters,
        "context": made.context,
        "files": [
            {
                **_name(file),
                "predicted": {
                    "bits_per_weight": file.bits_per_weight,
                    "model_size": file.sizes.model,
                    "size": file.sizes.all,
                    "kv_cache": file.cache,
                    "read_per_token": file.read_per_token(file.context),
                },
            }
            for file in made.files
        ],
        "refused": [asdict(one) for one in made.refused],
        "targets": [
            {
                "target": one.target.name,
                "files": [
                    {**_name(file), "predicted": {**asdict(suit), "fits": suit.fits}}
                    for file, suit in zip(made.files, one.suits, strict=True)
                ],
                "ship": None if one.chosen is None else _name(one.chosen),
                "sentence": _sentence(made, one),
            }
            for one in made.targets
        ],
    }


def _name(file: "PlannedFile") -> dict[str, str]:
    return {"recipe": file.recipe.name, "format": file.format}
