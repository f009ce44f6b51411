"""`Tokenizer`: SmolLM2's byte-level BPE, the same from a `tokenizer.json` as from a GGUF's metadata."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from smolship.checkpoint.chat import template as chat
from smolship.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
PRE_TOKENIZERS: dict[str, tuple[dict[str, Any], ...]] = {
    "smollm": ({"type": "Digits", "individual_digits": True}, _BYTE_LEVEL),
    "gpt-2": (_BYTE_LEVEL,),
}
"""How text is split before BPE, by llama.cpp's name for it: SmolLM2's own way, and GPT-2's, which keeps digits
together. Some tools write the second for a SmolLM2, and a fine-tune that was trained so is a model of that kind."""


STANDARD_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")
"""as transformers calls them"""


@dataclass(frozen=True)
class AddedToken:
    """A token matched in the text before BPE sees it; a special one steers the model and is no text."""

    id: int
    text: str
    special: bool


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Byte-level BPE, no normaliser, and nothing added to what it is given.

    Bytes that no token stands for are dropped, as by llama.cpp and transformers. SmolLM2 has none for 21 bytes: 13
    that UTF-8 never uses, two that begin only unassigned characters, and six control characters.
    """

    tokens: tuple[str, ...]
    """every token in id order, bytes spelled in GPT-2's printable alphabet"""
    merge_rules: tuple[str, ...]
    """`left right`, most important first"""
    added: tuple[AddedToken, ...]
    roles: Mapping[str, str]
    """the token that plays each of `STANDARD_ROLES`, or that a chat template knows by a name of its own"""
    chat_template: str | None
    max_length: int
    """positions the model was trained for"""
    pre: str = "smollm"
    """a key of `PRE_TOKENIZERS`"""
    spare: frozenset[int] = frozenset()
    """rows of the embedding that no text stands for; `tokens` has a placeholder there"""

    def encode(self, text: str) -> list[int]:
        """The ids of a text, special tokens in it parsed, nothing added before or after."""
        return list(self._engine.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens spelled out; bytes that are not UTF-8 become U+FFFD."""
        return str(self._engine.decode(list(ids), skip_special_tokens=False))

    def render_chat(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation (`role` and `content` each) as the model's text; `InputError` without a chat template.

        The same on every day: a template that asks for the time is told `chat.template.DAY`.
        """
        if self.chat_template is None:
            raise InputError(
                "this checkpoint has no chat template (it is a base model): "
                "give it text to complete, or use the Instruct checkpoint"
            )
        return chat.render(self.chat_template, messages, self.roles, add_generation_prompt=add_generation_prompt)

    def accepted(self, messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]] | None:
        """One of smolship's own conversations as the chat template takes it: without its system turns if need be.

        `None` if it takes neither, or if there is no template. What a user says is rendered as it is, or refused.
        """
        whole = [dict(message) for message in messages]
        for each in (whole, [message for message in whole if message["role"] != "system"]):
            if self.chat_template is not None and each and self.refusal(each) is None:
                return each
        return None

    def refusal(self, messages: Sequence[Mapping[str, str]]) -> str | None:
        """Why the chat template does not render a conversation, in its own words; `None` if it does."""
        try:
            self.render_chat(messages, add_generation_prompt=messages[-1]["role"] != "assistant")
        except chat.Unrenderable as error:
            return error.reason
        return None

    @cached_property
    def talks(self) -> bool:
        """Whether there is a chat template and it renders what a user says: base models have none."""
        return self.accepted(chat.ONE_TURN) is not None

    @cached_property
    def before_words(self) -> str | None:
        """The text before a user's words; `None` where no template writes them as they are."""
        words = "\0"
        if not self.talks:
            return None
        before, found, _ = self.render_chat([{"role": "user", "content": words}]).partition(words)
        return before if found else None

    @cached_property
    def tells_time(self) -> bool:
        """Whether the chat template looks at the clock, so that another day may give another text."""
        return self.chat_template is not None and any(
            chat.asks_for_time(self.chat_template, messages, self.roles)
            for messages in (chat.ONE_TURN, chat.SYSTEM_TURN, chat.THREE_TURNS)
        )

    @property
    def shipped_template(self) -> str | None:
        """The chat template as it ships, with every token that it names set at its beginning.

        But for `bos_token` and `eos_token`: llama.cpp gives a template no others, and transformers 4 none by a name of
        the checkpoint's own.
        """
        if self.chat_template is None:
            return None
        known = ("bos_token", "eos_token")
        used = [role for role in self.roles if role not in known and re.search(rf"\b{role}\b", self.chat_template)]
        unset = [role for role in used if f"set {role} = " not in self.chat_template]
        first = "".join(f"{{% set {role} = {json.dumps(self.roles[role])} %}}" for role in unset)
        return first + ("\n" if first else "") + self.chat_template  # a block takes the newline after it away

    def vocabulary(self) -> list[str]:
        """Every token in id order, bytes spelled in GPT-2's printable alphabet."""
        return list(self.tokens)

    def merges(self) -> list[str]:
        """The merge rules `left right`, most important first."""
        return list(self.merge_rules)

    def special_ids(self) -> frozenset[int]:
        """The ids of the tokens that steer the model and are no text."""
        return frozenset(token.id for token in self.added if token.special)

    def files(self) -> dict[str, bytes]:
        """`tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json`: same tokenizer, same bytes."""
        roles = {role: token for role, token in self.roles.items() if role in STANDARD_ROLES}
        config = {
            "add_bos_token": False,
            "add_prefix_space": False,
            "added_tokens_decoder": {
                str(token.id): {key: value for key, value in _added_entry(token).items() if key != "id"}
                for token in self.added
            },
            "additional_special_tokens": [token.text for token in self.added if token.special],
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],  # else AutoTokenizer adds token_type_ids
            "model_max_length": self.max_length,
            # Not GPT2Tokenizer: transformers 5 rebuilds that one's pre-tokenizer and loses the digit-by-digit split.
            "tokenizer_class": "PreTrainedTokenizerFast",
            **roles,
        }
        if self.shipped_template is not None:
            config["chat_template"] = self.shipped_template
        return {
            "tokenizer.json": _json_bytes(self._definition),
            "tokenizer_config.json": _json_bytes(config),
            "special_tokens_map.json": _json_bytes(roles),
        }

    @cached_property
    def _definition(self) -> dict[str, Any]:
        """`tokenizer.json` of the tokenizers library, merges as strings: every reader knows that older spelling."""
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [_added_entry(token) for token in self.added],
            "normalizer": None,  # null: ExecuTorch's reader refuses an empty sequence
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(PRE_TOKENIZERS[self.pre])},
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": {token: index for index, token in enumerate(self.tokens) if index not in self.spare},
                "merges": list(self.merge_rules),
            },
        }

    @cached_property
    def _engine(self) -> "Engine":
        from tokenizers import Tokenizer as Engine

        return Engine.from_str(json.dumps(self._definition))


def _added_entry(token: AddedToken) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token.id, "content": token.text, **flags, "special": token.special}


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
