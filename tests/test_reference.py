"""The reference forward, held against transformers' LlamaForCausalLM."""

from pathlib import Path

import pytest
import torch

from smolship.checkpoint import EMBEDDING, Checkpoint, open_checkpoint
from smolship.reference import Reference


def transformers_logits(checkpoint: Checkpoint, tokens: list[int]) -> torch.Tensor:
    """The same weights in transformers' own model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    a = checkpoint.architecture
    config = LlamaConfig(
        vocab_size=a.vocabulary,
        hidden_size=a.hidden,
        intermediate_size=a.intermediate,
        num_hidden_layers=a.layers,
        num_attention_heads=a.heads,
        num_key_value_heads=a.kv_heads,
        head_dim=a.head_dim,
        rope_theta=a.rope_theta,
        rms_norm_eps=a.norm_epsilon,
        max_position_embeddings=a.max_positions,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    weights = {name: torch.from_numpy(checkpoint.tensors.read(name)) for name in a.shapes()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing == ["lm_head.weight"]
    assert not unexpected
    model.tie_weights()
    model.eval()
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([tokens])).logits[0]
    return logits


def test_tiny_logits_are_those_of_transformers(tiny_checkpoint: Checkpoint) -> None:
    tokens = tiny_checkpoint.tokenizer.encode("The cat and the hat are in the house, 1234 times over.")
    logits = Reference.from_checkpoint(tiny_checkpoint).logits(tokens)
    expected = transformers_logits(tiny_checkpoint, tokens)
    assert logits.shape == (len(tokens), tiny_checkpoint.architecture.vocabulary)
    assert (logits - expected).abs().max() < 1e-4
    assert len(set(expected.argmax(-1).tolist())) > len(tokens) // 3, "the tiny model's answers are degenerate"


def test_checkpoint_with_heads_of_its_own_width(tmp_path: Path) -> None:
    from tiny import write_tiny_checkpoint

    checkpoint = open_checkpoint(str(write_tiny_checkpoint(tmp_path, rope_theta=130000, num_key_value_heads=4)))
    logits = Reference.from_checkpoint(checkpoint).logits(torch.arange(40))
    assert (logits - transformers_logits(checkpoint, list(range(40)))).abs().max() < 1e-4


def test_no_gradients_unless_asked_for(tiny_checkpoint: Checkpoint) -> None:
    reference = Reference.from_checkpoint(tiny_checkpoint)
    weights = {name: weight.requires_grad_() for name, weight in reference.weights.items()}
    reference = Reference(tiny_checkpoint.architecture, weights)
    assert not reference.logits([1, 2, 3]).requires_grad
    loss = reference.logits([1, 2, 3, 4], differentiable=True).logsumexp(-1).sum()
    loss.backward()
    assert all(weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in weights.values())


def test_hidden_states_times_the_embedding_are_the_logits(tiny_checkpoint: Checkpoint) -> None:
    reference = Reference.from_checkpoint(tiny_checkpoint)
    tokens = torch.tensor([5, 9, 200])
    assert torch.equal(reference.hidden(tokens) @ reference.weights[EMBEDDING].T, reference.logits(tokens))


@pytest.mark.real
def test_real_logits_are_those_of_transformers(embedded_checkpoint: Checkpoint) -> None:
    conversation = [{"role": "user", "content": "What is the capital of France?"}]
    tokens = embedded_checkpoint.tokenizer.encode(embedded_checkpoint.tokenizer.render_chat(conversation))
    logits = Reference.from_checkpoint(embedded_checkpoint).logits(tokens)
    assert (logits - transformers_logits(embedded_checkpoint, tokens)).abs().max() < 1e-3
    assert embedded_checkpoint.tokenizer.decode([int(logits[-1].argmax())]) == "The"
