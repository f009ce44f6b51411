"""The Jinja environment of chat templates: what `transformers.utils.chat_template_utils` gives them, 4.57 and 5 alike.

A sandbox, trimmed blocks, loop controls, `{% generation %}`, a `tojson` that leaves HTML alone, `raise_exception`.
Jinja takes a while to import, so this module is imported where a template is rendered.
"""

import json
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment


class GenerationTags(Extension):
    """`{% generation %}` and `{% endgeneration %}` mark what training learns from; what is between them is rendered.

    That is a call block's body, as it is in transformers: a name set inside is not known outside.
    """

    tags = {"generation"}  # noqa: RUF012 - the attribute is Jinja's

    def parse(self, parser: Parser) -> nodes.Node:
        """Jinja calls this at the tag."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body, lineno=line)

    def _body(self, caller: Macro) -> str:
        return str(caller())


@lru_cache(maxsize=8)
def compiled(template: str) -> Template:
    """The template, ready to render; whatever Jinja and Python raise at one that is malformed."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTags, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(template)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    raise TemplateError(message)
