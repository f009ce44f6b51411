"""Whether a chat template is ChatML, and the system turn that it puts before a conversation that has none."""

from collections.abc import Sequence

from smolship.checkpoint.chat.template import SYSTEM_TURN, THREE_TURNS
from smolship.checkpoint.tokenizer import Tokenizer


def default_system(tokenizer: Tokenizer) -> str:
    """The text before the first turn of a conversation without a system message, for a template that is ChatML."""
    return tokenizer.render_chat(THREE_TURNS).removesuffix(_chatml(THREE_TURNS))


def unlike_chatml(tokenizer: Tokenizer) -> str | None:
    """What the chat template does and ChatML with one default system turn does not, as a predicate; `None`: nothing."""
    with_system = [*SYSTEM_TURN, *THREE_TURNS[1:]]
    for messages, what in ((THREE_TURNS, "a conversation"), (with_system, "a system message")):
        if (reason := tokenizer.refusal(messages)) is not None:
            return f"refuses {what} ({reason})"
    if tokenizer.tells_time:
        return "tells the time"
    if not tokenizer.render_chat(THREE_TURNS).endswith(_chatml(THREE_TURNS)):
        return "is not ChatML"
    return None if tokenizer.render_chat(with_system) == _chatml(with_system) else "is not ChatML"


def _chatml(messages: Sequence[dict[str, str]]) -> str:
    turns = (f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return "".join(turns) + "<|im_start|>assistant\n"
