"""How other tools make files of a checkpoint: each in an environment of its own, pinned here, kept below `env`.

| file | tool | environment |
| --- | --- | --- |
| the checkpoint itself, where it is a GGUF | llama.cpp's converter and quantiser, by whoever published it | – |
| Q8_0, Q4_K_M | llama.cpp's quantiser (of llama-cpp-python), without an importance matrix | this one |
| Optimum | optimum-onnx, float32 | this one |
| GenAI int4 | ONNX Runtime GenAI's model builder, its default | `genai` |
| GenAI int8, fused | the same, as `onnx_makers` asks | `genai` |
| export_llm 8da4w | ExecuTorch's export_llm, groups of 32, 8-bit embedding | `executorch` |
| optimum-executorch 8da4w | optimum-executorch, 8-bit embedding | `optimum-executorch` |

export_llm wants Meta's names and row order. Its own converter imports torchtune, whose last release (0.6.1) does not
import beside the torchao that ExecuTorch 1.5 needs (`No module named 'torchao.dtypes.nf4tensor'`): the same conversion
is written out in `meta_checkpoint`. Its tool writes no tokenizer, nor does optimum-executorch: the checkpoint's is put
beside their programs.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rescaled_copy import write_checkpoint

from smolship.checkpoint import Checkpoint
from smolship.checkpoint.architecture import EMBEDDING, FINAL_NORM
from smolship.checkpoint.embedded import EMBEDDED, embedded_path
from smolship.checkpoint.gguf.layout import rotary_heads, to_gguf_rows
from smolship.errors import SmolshipError
from smolship.quiet import quiet

ENVIRONMENTS = {
    "genai": (
        "onnxruntime-genai==0.18.0",
        "onnxruntime==1.32.0",
        "onnx==1.23.2",
        "onnx-ir==1.1.0",
        "torch==2.13.0",
        "transformers==5.24.0",
    ),
    "executorch": ("executorch==1.5.1", "torch==2.13.0", "torchao==0.18.0", "hydra-core==1.3.8"),
    "optimum-executorch": ("optimum-executorch==1.1.0", "executorch==1.5.1", "torch==2.13.0"),
}
CONTEXT = 2048
EXPORT_LLM = """
from executorch.extension.llm.export.config.llm_config import QuantizationConfig
if "8da8w" not in QuantizationConfig.QMODE_OPTIONS:
    QuantizationConfig.QMODE_OPTIONS.append("8da8w")
from executorch.extension.llm.export.export_llm import main
main()
"""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_META = {
    "input_layernorm": "attention_norm",
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
}


@dataclass(frozen=True)
class Workshop:
    """What makers work with."""

    checkpoint: Checkpoint
    source: Path
    """the checkpoint as a folder of safetensors in float32"""
    work: Path
    """where environments and intermediate files are"""

    def python(self, environment: str) -> Path:
        """The interpreter of an environment, which is made if it is not there as it is pinned."""
        folder = self.work / "env" / environment
        pinned, marker = "\n".join(ENVIRONMENTS[environment]), folder / "pinned.txt"
        if not marker.is_file() or marker.read_text() != pinned:
            shutil.rmtree(folder, ignore_errors=True)
            self.run([sys.executable, "-m", "venv", folder], f"venv-{environment}")
            self.run([folder / "bin" / "pip", "install", *ENVIRONMENTS[environment]], f"pip-{environment}")
            marker.write_text(pinned)
        return folder / "bin" / "python"

    def run(self, command: list[str | Path], name: str) -> None:
        """Run a tool, what it says in `logs/NAME.txt`; `SmolshipError` with its last lines if it fails."""
        log = self.work / "logs" / f"{name}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            end = subprocess.run(command, cwd=self.work, stdout=file, stderr=subprocess.STDOUT, check=False)
        if end.returncode != 0:
            said = " / ".join(log.read_text(errors="replace").splitlines()[-3:])
            raise SmolshipError(f"{name} ended with {end.returncode}: {said} (all of it in {log})")

    def made(self, name: str, make: "Maker") -> Path:
        """The file or folder of a maker under this name, from before if it is there whole."""
        folder = self.work / "files" / self.checkpoint.name / name
        told = folder.parent / f"{name}.txt"
        if not told.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            told.write_text(str(make(self, folder).relative_to(folder.parent)))
        return folder.parent / told.read_text()

    def with_tokenizer(self, program: Path) -> Path:
        """The same, with the checkpoint's tokenizer beside it."""
        for name in TOKENIZER_FILES:
            shutil.copy(self.source / name, program.parent)
        return program


def open_workshop(checkpoint: Checkpoint, work: Path) -> Workshop:
    """A workshop in that folder, the checkpoint in it as the tools want to read it."""
    source = work.resolve() / "source" / checkpoint.name
    if not source.is_dir():
        a = checkpoint.architecture
        write_checkpoint(checkpoint, {name: checkpoint.tensors.read(name) for name in a.shapes()}, source)
    return Workshop(checkpoint, source, work.resolve())


def checkpoint_itself(shop: Workshop, folder: Path) -> Path:
    """A link to the GGUF that the checkpoint is."""
    original = _gguf_of(shop)
    place = folder / original.name
    place.symlink_to(original)
    return place


def llama_cpp(kind: str) -> "Maker":
    """A maker of that type of file."""

    def make(shop: Workshop, folder: Path) -> Path:
        import llama_cpp as binding

        options = binding.llama_model_quantize_default_params()
        options.ftype, options.allow_requantize = getattr(binding, f"LLAMA_FTYPE_MOSTLY_{kind}"), True
        original = _gguf_of(shop)
        out = folder / f"{shop.checkpoint.name}.{kind}.gguf"
        with quiet():
            code = binding.llama_model_quantize(os.fsencode(original), os.fsencode(out), options)
        if code != 0:
            raise SmolshipError(f"llama.cpp's quantiser ended with {code}")
        return out

    return make


def optimum(shop: Workshop, folder: Path) -> Path:
    """Optimum's export to float32."""
    code = (
        "import sys; from optimum.exporters.onnx import main_export\n"
        "main_export(sys.argv[1], output=sys.argv[2], task='text-generation-with-past', do_validation=False)"
    )
    shop.run([sys.executable, "-c", code, shop.source, folder], "optimum")
    return folder


def genai(precision: str, *extra: str) -> "Maker":
    """A maker by ONNX Runtime GenAI's builder for CPU: its default at that precision but for the options `extra`."""

    def make(shop: Workshop, folder: Path) -> Path:
        builder: list[str | Path] = [shop.python("genai"), "-m", "onnxruntime_genai.models.builder"]
        places: list[str | Path] = ["-i", shop.source, "-o", folder, "-c", shop.work / "cache"]
        options = ["--extra_options", *extra] if extra else []
        shop.run([*builder, *places, "-p", precision, "-e", "cpu", *options], folder.name)
        return folder

    return make


def export_llm(qmode: str = "8da4w", *, embedding: str = "8,0", group: int = 32, context: int = CONTEXT) -> "Maker":
    """A maker by ExecuTorch's export_llm, with the options of its SmolLM2 and Llama recipes but for these.

    `embedding` is bits and group size, 0 for a whole row, as is `group`. The tool has `8da8w` and refuses its name: it
    is put on the list of names first.
    """

    def make(shop: Workshop, folder: Path) -> Path:
        weights, parameters = meta_checkpoint(shop)
        program = folder / f"export_llm-{qmode}.pte"
        order = {
            "base.model_class": "smollm2",
            "base.checkpoint": weights,
            "base.params": parameters,
            "model.use_kv_cache": True,
            "model.use_sdpa_with_kv_cache": True,
            "model.dtype_override": "fp32",
            "quantization.qmode": qmode,
            "quantization.group_size": group,
            "quantization.embedding_quantize": f'"{embedding}"',
            "backend.xnnpack.enabled": True,
            "backend.xnnpack.extended_ops": True,
            "export.max_seq_length": context,
            "export.max_context_length": context,
            "export.output_name": program,
            "hydra.run.dir": shop.work / "logs",
        }
        arguments: list[str | Path] = [f"{name}={value}" for name, value in order.items()]
        shop.run([shop.python("executorch"), "-c", EXPORT_LLM, *arguments], folder.name)
        return shop.with_tokenizer(program)

    return make


def optimum_executorch(context: int = CONTEXT) -> "Maker":
    """A maker by optimum-executorch with ExecuTorch's own attention and cache."""

    def make(shop: Workshop, folder: Path) -> Path:
        tool = shop.python("optimum-executorch").with_name("optimum-cli")
        quantised: list[str | Path] = ["--qlinear", "8da4w", "--qlinear_group_size", "32", "--qembedding", "8w"]
        attention: list[str | Path] = ["--use_custom_sdpa", "--use_custom_kv_cache", "--max_seq_len", str(context)]
        target: list[str | Path] = ["--task", "text-generation", "--recipe", "xnnpack", "--output_dir", folder]
        export: list[str | Path] = [tool, "export", "executorch", "--model", shop.source]
        shop.run([*export, *target, *attention, *quantised], folder.name)
        (folder / "model.pte").rename(folder / "optimum-executorch-8da4w.pte")
        return shop.with_tokenizer(folder / "optimum-executorch-8da4w.pte")

    return make


Maker = Callable[[Workshop, Path], Path]
MAKERS: dict[str, Maker] = {
    "checkpoint": checkpoint_itself,
    "Q8_0": llama_cpp("Q8_0"),
    "Q4_K_M": llama_cpp("Q4_K_M"),
    "optimum": optimum,
    "genai-int4": genai("int4"),
    "export_llm": export_llm(),
    "optimum-executorch": optimum_executorch(),
}


def _gguf_of(shop: Workshop) -> Path:
    if shop.checkpoint.source.kind != EMBEDDED:
        raise SmolshipError(f"{shop.checkpoint.name} is not the GGUF that comes with the package")
    return embedded_path()


def meta_checkpoint(shop: Workshop) -> tuple[Path, Path]:
    """The weights under Meta's names, q and k in its row order, which is GGUF's, and the numbers of the model."""
    import torch

    a = shop.checkpoint.architecture
    weights = {}
    for name in a.shapes():
        rows = to_gguf_rows(shop.checkpoint.tensors.read(name), rotary_heads(name, a))
        layer, _, rest = name.removeprefix("model.layers.").removesuffix(".weight").partition(".")
        outer = {EMBEDDING: "tok_embeddings", FINAL_NORM: "norm"}
        meta = outer[name] if name in outer else f"layers.{layer}.{_META[rest]}"
        weights[f"{meta}.weight"] = torch.from_numpy(np.array(rows))
    weights["output.weight"] = weights["tok_embeddings.weight"]
    parameters = {
        "dim": a.hidden,
        "ffn_dim_multiplier": 1,
        "hidden_dim": a.intermediate,
        "n_heads": a.heads,
        "n_kv_heads": a.kv_heads,
        "n_layers": a.layers,
        "norm_eps": a.norm_epsilon,
        "rope_theta": a.rope_theta,
        "use_scaled_rope": False,
        "vocab_size": a.vocabulary,
        "use_hf_rope": False,
        "attention_qkv_bias": False,
    }
    folder = shop.work / "meta" / shop.checkpoint.name
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(weights, folder / "weights.pth")
    (folder / "parameters.json").write_text(json.dumps(parameters))
    return folder / "weights.pth", folder / "parameters.json"
