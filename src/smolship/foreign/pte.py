"""ExecuTorch programs of `export_llm` and optimum-executorch: what their constant methods return."""

from collections.abc import Mapping
from pathlib import Path

from smolship.errors import InputError
from smolship.foreign.foreign_file import ForeignFile, choose_context, name_of, tokenizer_files
from smolship.foreign.pte_header import read_constants

MADE_BY = "an ExecuTorch export"
NOT_READ = (
    "the grids of a .pte made elsewhere are not read: bits per weight are its size over the weights of the checkpoint"
)
_SHAPES = {
    "vocabulary": "get_vocab_size",
    "layers": "get_n_layers",
    "kv_heads": "get_n_kv_heads",
}
CONTEXT_METHODS = ("get_max_context_len", "get_max_seq_len")
"""what says how many tokens the cache holds: export_llm's name, and optimum-executorch's"""


def open_pte(path: Path, context: int | None) -> ForeignFile:
    """A program with a KV cache; `InputError` if it is none or has no tokenizer beside it."""
    name = name_of(path)
    constants = read_constants(path)
    if constants.get("use_kv_cache") is False:
        raise InputError(f"{path.name} was exported without a KV cache: export it with one (model.use_kv_cache=True)")
    chosen, notes = choose_context(name, _capacity(path, constants), context)
    return ForeignFile(
        name=name,
        folder=path.parent,
        format="executorch",
        made_by=MADE_BY,
        model_file=path.name,
        context=chosen,
        shapes={shape: constants[method] for shape, method in _SHAPES.items() if method in constants},
        other_files=tokenizer_files(path.parent, path.name),
        notes=(*notes, NOT_READ),
    )


def _capacity(path: Path, constants: Mapping[str, int]) -> int:
    for method in CONTEXT_METHODS:
        if constants.get(method, 0) > 0:
            return constants[method]
    raise InputError(
        f"{path.name} has no method {' or '.join(CONTEXT_METHODS)} that says how many tokens it takes: "
        "give a program of ExecuTorch's export_llm or of optimum-executorch"
    )
