"""This project's .pte files beside those of ExecuTorch's exporters: speed, memory, size, fidelity; interleaved.

    python benchmarks/executorch_peers.py [--checkpoint embedded] [--work build/foreign] [--text prose|FILE]
        [--rounds 10] [--threads 2] [--json FILE] [--again] [--only NAME ...]

`executorch_makers` says what is measured and makes it, `executorch_files` what is said of a file apart from its speed;
`peers` does the rest. Bars are held against export_llm's file that has as many bits in the layers. Its 4-bit one has
the head in 4 bits, as `q4` has, and its embedding in 8: `q4-e8` has 12 MB more to read a token. Export_llm's have
ExecuTorch's own attention; ours have portable operators, and one of them is there with that attention too.
"""

from executorch_files import file_record
from executorch_makers import CONTEXT, candidates
from peers import Contest, main
from peers_ratios import Rivalry

BARS = {"decode": 1.1, "deep": 1.1, "prefill": 1.0}
RIVALS = {
    "q4": "export_llm 8da4w",
    "q4-e8": "export_llm 8da4w",
    "q4-e8 sdpa": "export_llm 8da4w",
    "q8": "export_llm 8da8w",
}
CONTEST = Contest(
    "executorch",
    CONTEXT,
    candidates,
    file_record,
    tuple(Rivalry(ours, (rival,), (), BARS) for ours, rival in RIVALS.items()),
    ("executorch", "torch", "torchao"),
    ("executorch",),
)

if __name__ == "__main__":
    main(CONTEST)
