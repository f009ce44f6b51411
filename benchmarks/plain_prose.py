"""Raw WikiText made plain prose again: the text on which this project's files stand beside other tools'.

    python benchmarks/plain_prose.py wiki.valid.raw[.gz] plain.txt

WikiText sets spaces around punctuation and writes ` @-@ ` for a hyphen inside of a word; a model that was trained on
ordinary text finds that strange. Headings and paragraphs under 200 characters are left out, paragraphs are separated
by an empty line, and a last paragraph that was cut short stays.
"""

import argparse
import gzip
import re
from pathlib import Path

SHORTEST = 200
"""characters of a paragraph: shorter ones are mostly lists"""

RULES: tuple[tuple[str, str], ...] = (
    (r" @([-,.])@ ", r"\1"),
    (r" ([,.;:!?%)\]]|'s\b|(?<=s )'(?=\s)|n't\b|°)", r"\1"),
    (r"([(\[$£]) ", r"\1"),
    (r"(?<=\d) ([–-]) (?=\d)", r"\1"),
    (r" / ", "/"),
)
"""what each pattern becomes, in this order; quotation marks come after, two by two"""


def plain(text: str) -> str:
    """The paragraphs of raw WikiText as they were written."""
    paragraphs = (line.strip() for line in text.splitlines())
    kept = (line for line in paragraphs if len(line) >= SHORTEST and not line.startswith("= "))
    return "\n\n".join(_plain_paragraph(line) for line in kept) + "\n"


def _plain_paragraph(line: str) -> str:
    for pattern, replacement in RULES:
        line = re.sub(pattern, replacement, line)
    return re.sub(r'" ([^"]*?) ?"', r'"\1"', line)


def main() -> None:
    """Parse, read, write."""
    parser = argparse.ArgumentParser(description="raw WikiText made plain prose")
    parser.add_argument("raw", type=Path, help="UTF-8, or .gz of it; a character cut in half at the end is left out")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    data = options.raw.read_bytes()
    text = (gzip.decompress(data) if options.raw.suffix == ".gz" else data).decode("utf-8", errors="ignore")
    options.out.write_text(plain(text), encoding="utf-8")


if __name__ == "__main__":
    main()
