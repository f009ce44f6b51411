"""Folders and hub repositories that are no checkpoint of transformers, recognised by the names of their files.

Each kind says what it is and what to do; a folder, the hub and the verbs that read them share this one table.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from smolship.errors import InputError

WEIGHTS = frozenset(("model.safetensors", "model.safetensors.index.json"))
"""The files of which a checkpoint has one."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
"""Suffixes of files that run code when they are loaded."""
OTHER_RUNTIMES = {
    ".onnx": "ONNX",
    ".pte": "ExecuTorch",
    ".tflite": "LiteRT",
    ".litertlm": "LiteRT-LM",
    ".task": "MediaPipe",
    ".mlpackage": "Core ML",
    ".mlmodelc": "Core ML",
    ".engine": "TensorRT",
    ".rkllm": "RKLLM",
}
"""Suffixes of models that were exported for a runtime, and its name."""

_EXPORTED = "give the checkpoint that it was exported from (`smolship check` measures .onnx, .pte and .gguf files)"
_SAVE_SAFELY = "save the model again with safe_serialization=True and give that folder"
_PICKLED = "holds its weights only as pickle ({first}), which runs code when it is loaded"
_ARTEFACT = "manifest.json"
_STATE = ("training_args.bin", "optimizer.*", "scheduler.*", "rng_state*", "scaler.*")
"""pickles of a training run that hold no weights"""


@dataclass(frozen=True)
class Kind:
    """Something that people give for a checkpoint."""

    files: tuple[str, ...]
    """patterns of paths, alternatives in one split by a bar: a file must match each"""
    what: str
    """what it is, after its place; `{first}`, `{last}` and `{names}` are the files of the first pattern, `{folder}` the
    last one's"""
    advice: str
    hub_advice: str | None = None
    """on the hub, where something in a repository has to be fetched to be given"""
    but: tuple[str, ...] = ()
    """patterns of files that do not count"""


KINDS: tuple[Kind, ...] = (
    Kind(
        (_ARTEFACT, "model.gguf|model.onnx|model.pte"),
        "is an artefact that `smolship build` wrote",
        "give the checkpoint that it was made from, or the artefact to `smolship check`, `inspect` or `chat`",
    ),
    Kind(
        (f"*/{_ARTEFACT}", "*/model.gguf|*/model.onnx|*/model.pte"),
        "is a folder of artefacts that `smolship build` wrote",
        "give the checkpoint that they were made from, or one of them to `smolship check`, `inspect` or `chat`",
    ),
    Kind(
        ("snapshots/*/*",),
        "is the hub's cache of a repository",
        "give {folder} in it, or the repository's hub id",
    ),
    Kind(
        ("zero_to_fp32.py|global_step*/*|*_model_states.pt|*_optim_states.pt",),
        "is the state of a training run with DeepSpeed ({first}), its weights in parts",
        "run `python zero_to_fp32.py . whole --safe_serialization` there, put config.json and the tokenizer's files "
        "into that folder and give it",
    ),
    Kind(
        ("*.distcp|pytorch_model_fsdp_*/*",),
        "is the state of a training run with FSDP ({first}), its weights in parts",
        "run `accelerate merge-weights` on it, put config.json and the tokenizer's files into the folder that it "
        "writes and give that",
    ),
    Kind(
        ("checkpoint-*/*.safetensors|checkpoint-*/*config.json",),
        "holds the checkpoints of a training run, the newest in {folder}",
        "give {folder} in it",
        "fetch that with `hf download {place} --include '{folder}/*' --local-dir .` and give {folder}",
    ),
    Kind(
        ("adapters.safetensors|adapters.npz",),
        "is an adapter of mlx-lm ({first}), wanted a whole model or PEFT's adapter",
        "merge it into its base, dequantised, with mlx_lm.fuse and give the folder that it writes",
    ),
    Kind(
        ("adapter_model.safetensors",),
        "holds an adapter's weights (adapter_model.safetensors) without adapter_config.json",
        "fetch or copy that beside it",
    ),
    Kind(
        ("adapter_model.bin",),
        "holds its adapter only as pickle (adapter_model.bin), which runs code when it is loaded",
        "load it with PEFT, save it again with safe_serialization=True and give that folder",
    ),
    Kind(
        ("consolidated*.pth|consolidated*.safetensors",),
        "holds its weights in Meta's layout ({first})",
        "convert them with transformers' convert_llama_weights_to_hf.py and give the folder that it writes",
    ),
    Kind(("pytorch_model*.bin|pytorch_model.bin.index.json",), _PICKLED, _SAVE_SAFELY),
    Kind(("openvino_model*.xml|*/openvino_model*.xml",), "is a model for OpenVINO ({first})", _EXPORTED),
    Kind(("mlc-chat-config.json|ndarray-cache.json",), "is a model for MLC ({first})", _EXPORTED),
    Kind(
        ("*.gguf",),
        "holds its weights only as GGUF ({names})",
        "give the file itself, such as {place}/{last}",
        "fetch one with `hf download {place} {last} --local-dir .` and give that file",
    ),
    *(
        Kind((f"*{suffix}|*{suffix}/*",), f"is a model for {runtime} ({{first}})", _EXPORTED)
        for suffix, runtime in OTHER_RUNTIMES.items()
    ),
    Kind(("|".join(f"*{suffix}" for suffix in PICKLES),), _PICKLED, _SAVE_SAFELY, but=_STATE),
    Kind(
        ("tf_model*.h5",),
        "holds its weights only for TensorFlow ({first})",
        f"load it with from_tf=True, {_SAVE_SAFELY}",
    ),
    Kind(
        ("flax_model*.msgpack",),
        "holds its weights only for Flax ({first})",
        f"load it with from_flax=True, {_SAVE_SAFELY}",
    ),
    Kind(
        ("model-*-of-*.safetensors",),
        "holds parts of a checkpoint ({first}) and no model.safetensors.index.json, which says what lies in which",
        "fetch or copy that beside them",
    ),
    Kind(
        ("optimizer*|trainer_state.json",),
        "is the state of a training run ({first}) without the model's weights",
        "save the model with trainer.save_model() and give that folder",
    ),
    Kind(
        ("*/model.safetensors|*/model.safetensors.index.json",),
        "holds its checkpoint in {folder}",
        "give {folder} in it",
        "fetch that with `hf download {place} --include '{folder}/*' --local-dir .` and give {folder}",
    ),
    Kind(
        ("*.safetensors",),
        "holds weights as {names}, wanted as model.safetensors",
        "rename the file if it holds the whole model, or save the model with save_pretrained()",
    ),
)


def refuse_listing(files: Collection[str], place: str, *, on_hub: bool = False) -> None:
    """`InputError` that says what these files are, if they are of a kind that is known and no checkpoint.

    `files` are paths below `place`, a folder or a repository; to be asked once config.json or the weights are missing.
    """
    if WEIGHTS.intersection(files):
        return  # only its config is missing
    known = sorted(files, key=_natural)
    for kind in KINDS:
        counted = [file for file in known if not _matches(file, kind.but)]
        found = [[file for file in counted if _matches(file, one.split("|"))] for one in kind.files]
        if not all(found):
            continue
        named = ", ".join(found[0][:3])
        words = {"place": place, "first": found[0][0], "last": found[0][-1], "names": named}
        words["folder"] = found[0][-1].rpartition("/")[0]
        advice = kind.hub_advice if on_hub and kind.hub_advice else kind.advice
        raise InputError(f"{place} {kind.what.format(**words)}: {advice.format(**words)}")


def _matches(file: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(file, pattern) for pattern in patterns)


def _natural(name: str) -> list[int | str]:
    """Sorts checkpoint-500 before checkpoint-1000."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
