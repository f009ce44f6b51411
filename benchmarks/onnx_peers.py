"""This project's ONNX files beside other tools' of the same checkpoint: speed, memory, size, fidelity; interleaved.

    python benchmarks/onnx_peers.py [--checkpoint embedded] [--work build/foreign] [--text prose|FILE] [--rounds 10]
        [--threads 2] [--json FILE] [--again] [--only NAME ...]

`onnx_makers` says what is measured and makes it, `onnx_files` what is said of a file apart from its speed; `peers` does
the rest. Bars are held against files with the same bits in the matrices and, but for int8, which ONNX Runtime GenAI's
builder cannot tie, in the embedding.
"""

from onnx_files import file_record
from onnx_makers import CONTEXT, candidates
from peers import Contest, main
from peers_ratios import Rivalry

INT4, INT8 = ("genai-int4", "genai-int4-fused"), ("genai-int8", "genai-int8-fused")
BARS4 = {"decode": 1.15, "prefill": 1.1, "peak": 0.85}
BARS8 = {"decode": 1.3, "prefill": 1.1, "peak": 0.85}
CONTEST = Contest(
    "onnx",
    CONTEXT,
    candidates,
    file_record,
    (
        Rivalry("q4", INT4, ("optimum-4bit",), BARS4),
        Rivalry("q4 beside", INT4, (), BARS4),
        Rivalry("q4-e8", (), (*INT4, "optimum-4bit")),
        Rivalry("q8", INT8, (), BARS8),
        Rivalry("q8 beside", INT8, (), BARS8),
    ),
    ("onnxruntime", "optimum", "optimum-onnx"),
    ("genai",),
)

if __name__ == "__main__":
    main(CONTEST)
