"""What a checkpoint's chat template means for the files that are made, in a sentence for each thing."""

from smolship.checkpoint.chat.chatml import unlike_chatml
from smolship.checkpoint.chat.template import DAY, ONE_TURN, SYSTEM_TURN, THREE_TURNS, parted_roles
from smolship.checkpoint.tokenizer import Tokenizer


def chat_notes(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The sentences; none for a base model, and for a template that takes all that smolship asks of one."""
    if tokenizer.chat_template is None:
        return ()
    if (reason := tokenizer.refusal(ONE_TURN)) is not None:
        how = "it is passed on as it is, and the files are made and checked as a base model's"
        return (f"the chat template does not render what a user says ({reason}): {how}",)
    notes = []
    if (reason := tokenizer.refusal(SYSTEM_TURN)) is not None:
        notes.append(f"the chat template refuses a system message ({reason}): smolship's own chats go without theirs")
    if (reason := tokenizer.refusal(THREE_TURNS)) is not None:
        notes.append(
            f"the chat template refuses a conversation of three turns ({reason}): smolship's own chats of several "
            "turns are left out"
        )
    if tokenizer.before_words is None:
        notes.append(
            "the chat template does not write a user's words as they are: text to calibrate on is sampled as documents "
            "alone"
        )
    if tokenizer.tells_time:
        notes.append(
            f"the chat template tells the time: smolship's own chats are rendered as on {DAY:%Y-%m-%d}, on every day"
        )
    if parted := parted_roles(tokenizer.chat_template, tuple(sorted(tokenizer.roles.items()))):
        named = ", ".join(sorted(parted))
        notes.append(f"the chat template wants content as a list of parts (of {named}): it is given one part of text")
    if (reason := unlike_chatml(tokenizer)) is not None:
        notes.append(f"the chat template {reason}: Ollama's Modelfile (GGUF) gets no TEMPLATE")
    return tuple(notes)
