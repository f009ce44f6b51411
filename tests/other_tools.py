"""Files that other tools write of the tiny model, by those tools themselves; and programs with the interfaces of two
exporters for ExecuTorch that compute something else.
"""

import os
import shutil
from pathlib import Path

from tiny import write_tiny_tokenizer
from tiny_gguf import write_tiny_gguf

from smolship.quiet import quiet

CAPACITY = 640
"""tokens that the programs take"""


def quantised_by_llama_cpp(folder: Path, kind: str = "Q8_0") -> Path:
    """A GGUF that llama.cpp's own quantiser made of a float32 one, alone in a folder of its own."""
    import llama_cpp

    whole = write_tiny_gguf(folder / "tiny.F32.gguf")
    small = folder / "alone" / f"tiny.{kind}.gguf"
    small.parent.mkdir()
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    with quiet():
        assert llama_cpp.llama_model_quantize(os.fsencode(whole), os.fsencode(small), options) == 0
    return small


def exported_by_optimum(checkpoint: Path, folder: Path) -> Path:
    """The folder that Optimum writes of a checkpoint's folder."""
    with quiet():
        from optimum.exporters.onnx import main_export

        main_export(str(checkpoint), output=folder, task="text-generation-with-past", do_validation=False)
    return folder


def write_program(folder: Path, *, every: bool, **constants: int) -> Path:
    """A `.pte` of 320 tokens and its tokenizer: logits depend on the token and its position alone.

    With the interface of optimum-executorch (every token's position is given, every token's logits come back), or of
    export_llm (the first position, the last logits). `constants` are what further methods return.
    """
    with quiet():
        import torch
        from executorch.exir import to_edge

        class Lookup(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                torch.manual_seed(0)
                self.tokens = torch.nn.Parameter(torch.randn(320, 320))
                self.positions = torch.nn.Parameter(torch.randn(CAPACITY, 320))

            def forward(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
                if every:
                    return self.tokens[tokens] + self.positions[positions][None]
                return self.tokens[tokens[:, -1]] + self.positions[positions + tokens.shape[1] - 1]

        length = torch.export.Dim("length", min=1, max=CAPACITY - 1)
        example = torch.tensor([[1, 2, 3]]), torch.tensor([0, 1, 2] if every else [0])
        shapes = {1: length}, {0: length} if every else {}
        exported = torch.export.export(Lookup().eval(), example, dynamic_shapes=shapes, strict=False)
        methods = {"get_max_seq_len": CAPACITY, "get_vocab_size": 320, "use_kv_cache": True} | constants
        data = to_edge(exported, constant_methods=methods).to_executorch().buffer
    folder.mkdir()
    write_tiny_tokenizer(folder)
    (folder / "program.pte").write_bytes(data)
    return folder / "program.pte"


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and the time it was last written."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def beside(folder: Path, *files: Path) -> Path:
    """A folder with copies of files."""
    folder.mkdir(exist_ok=True)
    for file in files:
        shutil.copy(file, folder)
    return folder
