"""A chat template rendered as transformers renders it: Jinja in a sandbox, with the same switches and helpers."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from smolship.errors import InputError


def render(
    template: str, messages: Sequence[Mapping[str, str]], tokens: Mapping[str, str], *, add_generation_prompt: bool
) -> str:
    """The text of a conversation; `tokens` are `bos_token` and its like, which a template may name.

    The environment is that of `transformers.utils.chat_template_utils`: sandbox, trimmed blocks, loop controls.
    Raises `InputError` if the template is malformed, steps out of its sandbox or refuses the conversation.
    """
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    try:
        return environment.from_string(template).render(
            messages=[dict(message) for message in messages],
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **tokens,
        )
    except jinja2.TemplateError as error:
        raise InputError(
            f"the chat template cannot render this conversation ({error}): "
            "give messages it accepts, or repair the checkpoint's template"
        ) from error


def _to_json(value: object, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _refuse(message: str) -> None:
    import jinja2

    raise jinja2.TemplateError(message)
