"""One environment's share of the zoo: run by `make.py`, with that environment's Python."""

import shutil
import sys
from pathlib import Path

import torch

from zoo.answers import write_answers
from zoo.bench import Bench
from zoo.makers import MAKERS, UNANSWERED
from zoo.renderings import write_renderings


def main(environment: str, work: Path, only: list[str]) -> None:
    """Make the members of an environment below `work`, and have its transformers answer for each."""
    torch.set_num_threads(1)
    bench = Bench(work)
    (work / "members" / "renderings").mkdir(parents=True, exist_ok=True)
    named = bench.tokenizer(
        "instruct", tokenizer_class="PreTrainedTokenizerFast", extra_special_tokens={"image_token": "<file_sep>"}
    )
    write_renderings(named, work / "members" / "renderings" / f"{environment}.json")
    for name, make in MAKERS[environment].items():
        if only and name not in only:
            continue
        sys.stderr.write(f"{name}\n")
        folder = work / "members" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(bench, folder)
        if name not in UNANSWERED:
            write_answers(folder, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
