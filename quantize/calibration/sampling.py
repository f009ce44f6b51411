"""Calibration text that the checkpoint writes itself: no download, no licence, the distribution it was trained on.

Data-free calibration as in LLM-QAT (arXiv 2305.17888, section 3.1), with openings of several kinds and several
temperatures, so that prose, questions, conversations and code are all among the samples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from smolship.checkpoint import EMBEDDING, FINAL_NORM, Tokenizer
from smolship.progress import Advance, Progress, Silent
from smolship.reference import Reference, heads, rotary, rotate

BATCH = 64
"""sequences written side by side: reading the weights costs less than using them, and the KV cache stays in 1.5 GB"""
_PART = 256
"""words whose odds are added up first"""


@dataclass(frozen=True)
class Opening:
    """How a sample begins, before the model goes on alone."""

    tokens: tuple[int, ...]
    temperature: float


TEMPERATURES = (1.0, 0.8)
DOCUMENTS = (
    *("", "The", "In", "#", "A", "Question:", "import", "def", "#include <", "He was born in", "How to", "It is"),
)
"""how a document of the pretraining kind begins"""
QUESTIONS = ("", "What", "Write", "How", "Explain", "I", "Can you", "```python\n")
"""how a user begins; the model writes the rest of the question and the answer"""


def openings(tokenizer: Tokenizer, count: int) -> list[Opening]:
    """`count` openings, two documents for each conversation.

    A base model has documents alone, and so has one whose chat template does not write a user's words as they are.
    """
    documents = [
        Opening(tuple(tokenizer.encode("<|endoftext|>" + text)), t) for t in TEMPERATURES for text in DOCUMENTS
    ]
    before = tokenizer.before_words
    if before is None:
        return [documents[i % len(documents)] for i in range(count)]
    questions = [Opening(tuple(tokenizer.encode(before + text)), t) for t in TEMPERATURES for text in QUESTIONS]
    return [
        questions[i // 3 % len(questions)] if i % 3 == 2 else documents[(i - i // 3) % len(documents)]
        for i in range(count)
    ]


def sample(
    reference: Reference,
    begun: list[Opening],
    length: int,
    seed: int,
    precision: torch.dtype,
    progress: Progress = Silent(),
) -> Tensor:
    """Sequences that begin with an opening and go on as the model samples: int64 [openings, length].

    Products are in `precision`. The same weights, arguments, thread count and device kind give the same tokens. Special
    tokens are text like any other: a document may end and the next begin.
    """
    with progress.task("sample calibration text", len(begun) * length) as advance, torch.no_grad():
        rows = [
            _write(_Batch(reference, begun[start : start + BATCH], length, seed + start, precision), advance)
            for start in range(0, len(begun), BATCH)
        ]
    return torch.cat(rows)


def _write(batch: "_Batch", advance: Advance) -> Tensor:
    """All of a batch's tokens [n, length]; its cache is gone before another batch makes its own."""
    length = batch.tokens.shape[1]
    for position in range(length - 1):
        batch.step(position)
        advance(len(batch.tokens))
    return batch.tokens


class _Batch:
    """Side-by-side decoding; the KV cache is in the precision of the products."""

    def __init__(
        self, reference: Reference, begun: list[Opening], length: int, seed: int, precision: torch.dtype
    ) -> None:
        a = reference.architecture
        self.reference, self.generator = reference, torch.Generator().manual_seed(seed)
        self.precision = precision
        self.weights = {name: w.to(precision) if w.ndim == 2 else w for name, w in reference.weights.items()}
        self.device = self.weights[EMBEDDING].device
        self.cosines, self.sines = rotary(a, length, self.device)
        shape = (a.layers, 2, len(begun), a.kv_heads, length, a.head_dim)
        self.cache = torch.zeros(shape, dtype=precision, device=self.device)
        self.temperatures = torch.tensor([opening.temperature for opening in begun], device=self.device)
        self.tokens = torch.zeros((len(begun), length), dtype=torch.long)
        self.given = torch.tensor([min(len(opening.tokens), length) for opening in begun])
        for row, opening in enumerate(begun):
            self.tokens[row, : self.given[row]] = torch.tensor(opening.tokens[:length])

    def step(self, position: int) -> None:
        """Feed the tokens at `position` and draw the next ones, where the opening does not give them."""
        logits = self._logits(self.tokens[:, position].to(self.device), position).float()
        chance = torch.rand(len(logits), generator=self.generator).to(self.device)
        found = draw(logits.div_(self.temperatures[:, None]), chance).cpu()
        keep = self.given > position + 1
        self.tokens[:, position + 1] = torch.where(keep, self.tokens[:, position + 1], found)

    def _logits(self, ids: Tensor, position: int) -> Tensor:
        """[n, vocabulary] after one token per sequence; writes its keys and values to the cache."""
        cos, sin = self.cosines[position : position + 1], self.sines[position : position + 1]
        x = functional.embedding(ids, self.weights[EMBEDDING]).float()
        for layer in range(self.reference.architecture.layers):
            p = f"model.layers.{layer}."
            x = x + self._attention(
                p + "self_attn.", self._norm(x, p + "input_layernorm.weight"), layer, position, cos, sin
            )
            y = self._norm(x, p + "post_attention_layernorm.weight")
            y = functional.silu(self._linear(y, p + "mlp.gate_proj.weight")) * self._linear(y, p + "mlp.up_proj.weight")
            x = x + self._linear(y, p + "mlp.down_proj.weight")
        return self._linear(self._norm(x, FINAL_NORM), self.reference.architecture.head)

    def _attention(self, p: str, y: Tensor, layer: int, position: int, cos: Tensor, sin: Tensor) -> Tensor:
        a = self.reference.architecture
        q, k, v = (self._linear(y, f"{p}{which}_proj.weight")[:, None] for which in "qkv")  # [n, 1, out]
        q, k = rotate(heads(q, a.heads), cos, sin), rotate(heads(k, a.kv_heads), cos, sin)
        self.cache[layer, 0, :, :, position] = k[:, :, 0]
        self.cache[layer, 1, :, :, position] = heads(v, a.kv_heads)[:, :, 0]
        keys, values = self.cache[layer, :, :, :, : position + 1]
        shared = q.reshape(len(y), a.kv_heads, -1, a.head_dim).to(keys.dtype)  # query heads beside their KV head
        attended = functional.scaled_dot_product_attention(shared, keys, values)
        return self._linear(attended.reshape(len(y), -1), p + "o_proj.weight")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x.to(self.precision), self.weights[name])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return functional.rms_norm(
            x.float(), (x.shape[-1],), self.weights[name], self.reference.architecture.norm_epsilon
        )


def draw(logits: Tensor, chance: Tensor) -> Tensor:
    """One word for each row of `logits` float32 [n, vocabulary] by `chance` in [0, 1) [n]: int64 [n].

    The sums are taken in two steps, of parts of the vocabulary and within one part: a running sum over all of it takes
    longer than the product that made the logits.
    """
    n, vocabulary = logits.shape
    part = _PART if vocabulary % _PART == 0 else vocabulary
    odds = (logits - logits.amax(-1, keepdim=True)).exp_().view(n, -1, part)
    upto = odds.sum(-1).cumsum(-1)  # [n, parts]
    wanted = chance[:, None] * upto[:, -1:]
    which = torch.searchsorted(upto, wanted, right=True).clamp_max(upto.shape[1] - 1)  # [n, 1]
    within = odds.gather(1, which[..., None].expand(-1, 1, part))[:, 0].cumsum(-1)  # [n, part]
    before = torch.where(which > 0, upto.gather(1, (which - 1).clamp_min(0)), 0)
    at = torch.searchsorted(within, wanted - before, right=True).clamp_max(part - 1)
    return (which * part + at)[:, 0]
