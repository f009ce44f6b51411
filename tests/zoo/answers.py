"""What transformers makes of a member: ids, logits in float32, continuations, a rendered conversation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.lesson import CHATS, LONGEST, SENTENCES, asked, ids_of

TEXTS = (
    "The harbour light turned 1234 times, and nobody counted.",
    "naïve — 漢字 🚢\n\n\tend  of   it's 3.14159, we'LL see\r\n  ",
    "<|im_start|>user\nHi <|im_end|>\n<|endoftext|><file_sep> x<|im_end|>",
    " 007 ½ ٣٤ x2y3 \u00a0\u2028a",
    "a   7  1999\n\n1874\n\n\n٣  ½",  # spaces before digits: where splitting digits first tells
)
LENGTH, KEPT = 24, (0, 8, 16, 23)
"""Tokens of the forward, and the positions whose logits are kept."""
PROMPTS = ("The capital of France", "The harbour light")
CONVERSATIONS: tuple[list[dict[str, str]], ...] = (
    asked(CHATS[0][0]),
    [{"role": "system", "content": "Be brief."}, *asked("  Hi\n", "Hello!"), *asked("And?")],
)


def write_answers(folder: Path, place: Path) -> None:
    """Write `place`.json and `place`.npz: what this environment's transformers computes of `folder`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, **{_dtype_entry(): torch.float32}).eval()
    texts = [*TEXTS, *(f"x{token} y{token}" for token in _unusual(tokenizer))]
    tokens = ids_of(tokenizer, "".join(SENTENCES) + TEXTS[1])[:LENGTH]
    chat = tokenizer.chat_template is not None
    prompts = [CHATS[0][0], CHATS[4][0]] if chat else list(PROMPTS)
    found = {
        "by": _versions(),
        "texts": [{"text": text, "ids": list(tokenizer(text)["input_ids"])} for text in texts],
        "tokens": tokens,
        "positions": KEPT,
        "continuations": [_continuation(model, tokenizer, prompt, chat) for prompt in prompts],
        "conversations": [
            {"messages": messages, "prompting": prompting, "text": _rendered(tokenizer, messages, prompting)}
            for messages in CONVERSATIONS
            for prompting in (True, False)
            if chat
        ],
    }
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0, list(KEPT)].numpy()
    place.with_suffix(".json").write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    np.savez_compressed(place.with_suffix(".npz"), logits=logits)


def _continuation(model: Any, tokenizer: Any, said: str, chat: bool) -> dict[str, Any]:
    """What `generate` appends, greedily, with each step's distance from the second choice."""
    prompt = _rendered(tokenizer, asked(said)) if chat else said
    ids = ids_of(tokenizer, prompt)
    told = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=LONGEST,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    new = told.sequences[0, len(ids) :].tolist()
    best = torch.stack(told.logits)[:, 0].topk(2).values
    margins = (best[:, 0] - best[:, 1]).tolist()
    return {
        "asked": said,
        "prompt": prompt,
        "ids": ids,
        "new": new,
        "margins": [round(margin, 3) for margin in margins],
    }


def _rendered(tokenizer: Any, messages: list[dict[str, str]], prompting: bool = True) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompting))


def _unusual(tokenizer: Any) -> list[str]:
    """Added tokens that SmolLM2 does not have."""
    known = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}
    added = sorted(tokenizer.added_tokens_decoder.items())
    return [token.content for _, token in added[17:] if token.content not in known][:3]


def _dtype_entry() -> str:
    from transformers import __version__

    return "torch_dtype" if __version__.startswith("4.") else "dtype"


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("transformers", "tokenizers", "torch")}
