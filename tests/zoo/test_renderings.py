"""What transformers renders of a chat template, we render; what it refuses, we refuse with a sentence."""

import json
from dataclasses import replace

import pytest

from smolship.errors import InputError
from zoo.conftest import Open
from zoo.renderings import CONVERSATIONS, TEMPLATES
from zoo.table import BUILT, member_file

RENDERED = {
    version: json.loads(member_file(f"renderings/{version}.json").read_text(encoding="utf-8"))
    for version in ("transformers4", "transformers5")
}
(NAMED,) = (member for member in BUILT if member.name == "v5-named-token")


@pytest.mark.parametrize("version", RENDERED)
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_rendered_as_by_transformers(name: str, version: str, opened: Open) -> None:
    tokenizer = replace(opened(NAMED).tokenizer, chat_template=TEMPLATES[name])
    for messages, rendered in zip(CONVERSATIONS, RENDERED[version][name], strict=True):
        if rendered is None:
            with pytest.raises(InputError):
                tokenizer.render_chat(messages)
        else:
            assert tokenizer.render_chat(messages) == rendered
