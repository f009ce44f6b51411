"""The three clients that load one ONNX folder as it ships, each generating greedily with its own code."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tiny_decoder import padded

from smolship.checkpoint import Architecture
from smolship.quiet import quiet
from smolship.runtime_checks.probe.backend_onnx import Backend

THREADS = 2
Client = Callable[[Path, list[int], int, Architecture], list[int]]
"""(folder, prompt, tokens at most, architecture) to the tokens that follow, the end of the text left out"""


def by_probe(folder: Path, prompt: list[int], count: int, a: Architecture) -> list[int]:
    """Plain ONNX Runtime: the probe's backend and a loop."""
    backend = Backend(str(folder), len(prompt) + count, THREADS)
    logits, found = backend.prefill(prompt), list[int]()
    while len(found) < count and (token := int(logits.argmax())) != a.eos_id:
        found.append(token)
        logits = backend.decode(token)
    return found


def by_optimum(folder: Path, prompt: list[int], count: int, a: Architecture) -> list[int]:
    """`ORTModelForCausalLM.generate`."""
    return batch_by_optimum(folder, [prompt], count, a)[0]


def batch_by_optimum(folder: Path, prompts: list[list[int]], count: int, a: Architecture) -> list[list[int]]:
    """The same of a batch, padded on the left as transformers wants it."""
    with quiet():
        import torch
        from optimum.onnxruntime import ORTModelForCausalLM

        ids, mask = map(torch.from_numpy, padded(prompts, pad_id=a.pad_id))
        model = ORTModelForCausalLM.from_pretrained(folder)
        found = model.generate(ids, attention_mask=mask, max_new_tokens=count, do_sample=False)
    return [_to_end(row[ids.shape[1] :], a) for row in found.tolist()]


def by_genai(folder: Path, prompt: list[int], count: int, a: Architecture) -> list[int]:
    """ONNX Runtime GenAI as `genai_config.json` has it run."""
    return batch_by_genai(folder, [prompt], count, a)[0]


def batch_by_genai(
    folder: Path, prompts: list[list[int]], count: int, a: Architecture, **search: Any
) -> list[list[int]]:
    """The same of a batch, padded on the right as its tokenizer does it; `search` are further options."""
    import onnxruntime_genai as og

    ids, _ = padded(prompts, side="right", pad_id=a.pad_id)
    model = og.Model(str(folder))
    options = og.GeneratorParams(model)
    options.set_search_options(batch_size=len(prompts), max_length=ids.shape[1] + count, **search)
    generator = og.Generator(model, options)
    generator.append_tokens(ids.astype(np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    return [_to_end(generator.get_sequence(row)[ids.shape[1] :], a) for row in range(len(prompts))]


def _to_end(tokens: Sequence[int], a: Architecture) -> list[int]:
    found = [int(token) for token in tokens]
    return found[: found.index(a.eos_id)] if a.eos_id in found else found


CLIENTS: dict[str, Client] = {"onnxruntime": by_probe, "GenAI": by_genai, "Optimum": by_optimum}
