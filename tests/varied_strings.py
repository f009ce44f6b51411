"""Varied text for tokenizers: digits, code, emoji, scripts, whitespace runs, control characters, special tokens."""

import random

PIECES = (
    "0", "7", "10", "2024", "3.14159", "1,234,567", "0xDEADBEEF", "1e-05", "٣٤٥", "१२३", "Ⅳ", "½", "²", "①",
    "二〇二四", "\U0001d7dc\U0001d7da", "a", "The", "cat", "don't", "we'll", "I'VE", "it's", "they're",
    "O'Neill", "''s", "naïve", "café", "cafe\u0301", "Straße", "ﬁne", "İstanbul", "ǅ", "Ⴀ", "\u210c",
    "Привет", "мир", "Γειά", "שלום", "مرحبا", "नमस्ते", "ไทย", "한국어", "日本語", "中文", "ქართული",
    "አማርኛ", "😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇫🇷", "❤️", "✓", "→", "€", "£", "∑", "…", "—",
    "“quoted”", "«»", "¿", "·", " ", "  ", "   ", "\t", "\t\t", "\n", "\n\n", "\r\n", " \n", "\n ", "\u00a0",
    "\u2003", "\u3000", "\u2028", "\u0085", "\x0b", "\x0c", "\x00", "\x01", "\x07", "\x08", "\x1b[0m", "\x7f",
    "\x80", "\u200b", "\u200d", "\u2060", "\ufeff", "\ufffd", "\U000e0041", "def f(x):\n    return x**2\n",
    "if (a && b || !c) { i++; }", "SELECT * FROM t;", "<div class=\"x\">", "</a>", "$HOME/.cache",
    "https://example.org/?q=1&r=2#s", "user@example.org", "foo_bar", "camelCase", "__init__",
    "#include <stdio.h>", "\\n", "%d", "a+b=c", "!!!", "???", "...", "---", "==>", "{}", "[]", "()", "::",
    "", "~~", "`code`", "'s", "'", '"', "''", "' s", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
    "<repo_name>", "<file_sep>", "<gh_stars>", "<jupyter_code>", "<empty_output>", "<|im_start", "|im_end|>",
    "<|im_ end|>", "<filename>x", "<reponame><repo_name>", "<|im_end|><|im_end|>", "<|", "|>",
)  # fmt: skip
"""What strings are made of; SmolLM2 has tokens for all bytes in them."""


def varied_strings(count: int = 600) -> list[str]:
    """Each piece alone and between letters, then random runs of pieces; the same list every time."""
    choose = random.Random(2)
    strings = [*PIECES, *(f"a{piece}b {piece} 1{piece}2" for piece in PIECES)]
    while len(strings) < count:
        joint = choose.choice(["", "", " ", "\n"])
        strings.append(joint.join(choose.choices(PIECES, k=choose.randint(2, 12))))
    return list(dict.fromkeys(strings))
