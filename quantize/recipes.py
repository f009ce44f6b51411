"""Recipes: what a user asks for, as a literal table; what a recipe means in a format is in `formats`."""

from dataclasses import dataclass

from smolship.errors import unknown_name


@dataclass(frozen=True)
class Recipe:
    """Which width each kind of tensor gets and how it is rounded; widths are keys of `formats.FORMAT_GRIDS`."""

    name: str
    linear: str
    """the projections of attention and MLP"""
    embedding: str
    """the embedding and the head, which are one matrix as a rule"""
    rounding: str
    """a key of `rounding.ROUNDINGS`, `CALIBRATED` or `DISTILLED`"""
    summary: str
    cost: str = "seconds"
    """for the 135M model on two cores"""

    @property
    def calibrated(self) -> bool:
        """Whether its codes come from calibration."""
        return self.rounding in (CALIBRATED, DISTILLED)


CALIBRATED = "calibrated"
"""codes of the tensors below 8 bits from calibration (`solving.solve`), the others rounded to nearest"""
DISTILLED = "distilled"
"""the same codes; their scales and the norms' gains from self-distillation (`distillation.distil`)"""
_MINUTES = "ten to twenty minutes, then from the cache"
_TENS = "fifty minutes, then from the cache"

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("q8", "int8", "int8", "nearest", "8 bits everywhere: harmless, twice the size"),
        Recipe("q4-e8", "int4", "int8", "nearest", "4 bits, embedding and head in 8, rounded to nearest"),
        Recipe(
            "q4-e8-calibrated",
            "int4",
            "int8",
            CALIBRATED,
            "the same size, codes from calibration: the default",
            _MINUTES,
        ),
        Recipe(
            "q4-e8-distilled",
            "int4",
            "int8",
            DISTILLED,
            "the same codes, scales and gains trained to say what the checkpoint says",
            _TENS,
        ),
        Recipe("q4", "int4", "int4", "nearest", "4 bits everywhere, embedding and head too: the smallest"),
        Recipe("q4-calibrated", "int4", "int4", CALIBRATED, "the same size, codes from calibration", _MINUTES),
        Recipe("q4-distilled", "int4", "int4", DISTILLED, "the same codes, scales and gains trained", _TENS),
        Recipe("q4_0", "q4_0", "q4_0", "llama.cpp", "llama.cpp's own signed 4-bit rounding; GGUF and ONNX only"),
    )
}


def recipe_named(name: str) -> Recipe:
    """The recipe of that name; `InputError` lists the known ones."""
    if name not in RECIPES:
        raise unknown_name("recipe", name, list(RECIPES))
    return RECIPES[name]
