"""Decoders in ONNX: folders of ONNX Runtime GenAI's model builder and of Optimum, and files laid out like these."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from smolship.checkpoint.folder.config import read_config, require_smollm2
from smolship.checkpoint.folder.json_file import read_object
from smolship.errors import InputError
from smolship.foreign.foreign_file import (
    ForeignFile,
    choose_context,
    name_of,
    require_files,
    shapes_of,
    tokenizer_files,
)
from smolship.foreign.onnx_graph import Graph, read_graph

GENAI_CONFIG = "genai_config.json"
CONFIG = "config.json"
ONE_ROW = "its graph gives logits of the last position alone: for the fidelity, its text was decoded token by token"
_FED = {"input_ids", "attention_mask", "position_ids"}
"""inputs that the probe has something for, beside the cache"""
_PAST = "past_key_values."
_SHAPES = {
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "hidden": "hidden_size",
    "head_dim": "head_size",
}
"""of genai_config.json's decoder"""


def open_onnx(path: Path, context: int | None) -> ForeignFile:
    """The decoder in an .onnx file, with its configuration beside it (or above it, in a folder called `onnx`)."""
    folder = path.parent
    if folder.name == "onnx" and not (folder / CONFIG).is_file():
        folder = folder.parent
    if (folder / GENAI_CONFIG).is_file():
        opened = open_genai(folder, context)
        if opened.model_file != path.name:
            raise InputError(
                f"{path.name} is not the model that {GENAI_CONFIG} beside it names ({opened.model_file}): "
                "give that one, or a folder for each"
            )
        return opened
    if not (folder / CONFIG).is_file():
        raise InputError(
            f"{path.name} has neither {GENAI_CONFIG} nor {CONFIG} beside it: give the folder of ONNX Runtime GenAI or "
            "of Optimum as it was written"
        )
    return _open_optimum(path, folder, context)


def open_genai(folder: Path, context: int | None) -> ForeignFile:
    """A folder of ONNX Runtime GenAI: the model that its configuration names."""
    config = read_object(folder / GENAI_CONFIG)
    model = _entry(config, "model", dict, folder)
    decoder = _entry(model, "decoder", dict, folder)
    file = _entry(decoder, "filename", str, folder)
    name = folder.resolve().name
    chosen, notes = choose_context(name, _entry(model, "context_length", int, folder), context)
    shapes = {shape: _entry(decoder, entry, int, folder) for shape, entry in _SHAPES.items()}
    found = ForeignFile(
        name=name,
        folder=folder,
        format="onnx",
        made_by="ONNX Runtime GenAI",
        model_file=file,
        context=chosen,
        shapes={"vocabulary": _entry(model, "vocab_size", int, folder), **shapes},
        other_files=(GENAI_CONFIG, *tokenizer_files(folder, file)),
        notes=notes,
    )
    return _with_graph(found)


def _open_optimum(path: Path, folder: Path, context: int | None) -> ForeignFile:
    """A decoder exported by Optimum, `config.json` and the tokenizer in `folder`."""
    config = read_object(folder / CONFIG)
    require_smollm2(config, str(folder))
    architecture = read_config(config, str(folder))
    whole = folder.resolve().name
    name = whole if path.stem == "model" else f"{whole}-{name_of(path)}"
    chosen, notes = choose_context(name, architecture.max_positions, context)
    found = ForeignFile(
        name=name,
        folder=folder,
        format="onnx",
        made_by="Optimum or another ONNX exporter",
        model_file=path.relative_to(folder).as_posix(),
        context=chosen,
        shapes=shapes_of(architecture),
        other_files=(CONFIG, *tokenizer_files(folder, path.name)),
        notes=notes,
    )
    return _with_graph(found)


def _with_graph(found: ForeignFile) -> ForeignFile:
    """The same with what its graph says; `InputError` if the probe could not run that, or external data is missing."""
    require_files(found.folder, [found.model_file], found.name)
    graph = read_graph(found.folder / found.model_file)
    _require_decoder(found.model_file, graph)
    beside = Path(found.model_file).parent
    data = tuple((beside / file).as_posix() for file in graph.data)
    require_files(found.folder, data, found.model_file)
    for file, wanted in zip(data, graph.data.values(), strict=True):
        size = (found.folder / file).stat().st_size
        if size < wanted:
            raise InputError(f"{file} is cut short: {found.model_file} wants {wanted} bytes, it has {size}")
    notes = (*found.notes, ONE_ROW) if graph.one_row else found.notes
    return replace(found, data_files=data, coverage=graph.coverage, versions=graph.producer, notes=notes)


def _require_decoder(file: str, graph: Graph) -> None:
    if "use_cache_branch" in graph.inputs:
        raise InputError(
            f"{file} is Optimum's merged decoder, which has two graphs and a switch between them: "
            "export it again with a current Optimum, which writes one model.onnx"
        )
    if not any(name.startswith(_PAST) for name in graph.inputs) or "input_ids" not in graph.inputs:
        raise InputError(
            f"{file} takes no input_ids and {_PAST}…, so it is no decoder with a KV cache: "
            "export it as text-generation-with-past"
        )
    odd = [name for name in graph.inputs if name not in _FED and not name.startswith(_PAST)]
    if odd:
        raise InputError(
            f"{file} takes {', '.join(odd[:3])}, which nobody here knows what to give for: wanted "
            f"{', '.join(sorted(_FED))} and {_PAST}…"
        )


def _entry(config: dict[str, Any], entry: str, kind: type, folder: Path) -> Any:
    value = config.get(entry)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(
            f"{folder / GENAI_CONFIG} has {entry} {value!r}, wanted a decoder in one file, as ONNX Runtime GenAI's "
            "model builder writes it: build it again"
        )
    return value
