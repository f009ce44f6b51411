"""Chat templates and what transformers renders of them: oracles of the sandbox, its switches and what it hands over."""

import json
from pathlib import Path
from typing import Any

from zoo.lesson import asked

TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "plain": TURNS,
    "generation tags": TURNS.replace("{{ m.content }}", "{% generation %}{{ m.content }}{% endgeneration %}"),
    "trimmed generation tags": TURNS.replace(
        "{{ m.content }}", "{%- generation -%}\n{{ m.content }}\n{%- endgeneration %}"
    ),
    "roles as tokens": "{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ pad_token }}" + TURNS,
    "roles that nothing plays": "{{ sep_token }}{{ cls_token ~ mask_token }}" + TURNS,
    "a token by a name of its own": "{{ image_token }}" + TURNS,
    "no tools": "{{ tools is none }}{{ tools is defined }}{{ documents is none }}" + TURNS,
    "a switch that is not given": "{% if enable_thinking is defined %}think{% else %}plain{% endif %}" + TURNS,
    "an unknown name": "{{ nobody }}{{ 'none' if not nobody }}" + TURNS,
    "a part of an unknown name": "{{ nobody.at_all }}" + TURNS,
    "JSON": "{{ {'b': 'é<&', 'a': [1, none]} | tojson }}{{ [1] | tojson(indent=2) }}" + TURNS,
    "break": "{% for m in messages %}{{ m.content }}{% break %}{% endfor %}",
    "continue": "{% for m in messages %}{% if m.role == 'user' %}{% continue %}{% endif %}{{ m.content }}{% endfor %}",
    "blocks on lines": "  {% if true %}\n  x\n  {% endif %}\n{{ messages[0].content }}\n\n",
    "a newline at the end": TURNS + "\n",
    "carriage returns": TURNS.replace("\n", "\r\n"),
    "text's own methods": "{{ messages[0].content.strip().split(' ')[0].upper() }}{{ messages[-1]['content'] | trim }}",
    "a namespace": "{% set c = namespace(n=0) %}{% for m in messages %}{% set c.n = c.n + 1 %}{% endfor %}{{ c.n }}",
    "content as parts": (
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}"
        "{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}{% endfor %}"
    ),
    "refuses": "{{ raise_exception('no') }}",
    "refuses a system message": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TURNS
    ),
    "changes what it is given": "{% set _ = messages.append({'role': 'x'}) %}" + TURNS,
    "adds a number to a text": "{{ messages[0].content + 1 }}",
    "malformed": "{% for m in messages %}",
    "an unknown tag": "{% do messages %}" + TURNS,
}
CONVERSATIONS = (
    asked(" Hi\n"),
    [{"role": "system", "content": "Be brief."}, *asked("1 < 2?", "Yes é."), *asked("Why?")],
)


def write_renderings(tokenizer: Any, path: Path) -> None:
    """What this environment's transformers renders of each template and conversation; null where it raises."""
    found: dict[str, list[str | None]] = {}
    for name, template in TEMPLATES.items():
        tokenizer.chat_template = template
        found[name] = [_rendered(tokenizer, messages) for messages in CONVERSATIONS]
    path.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _rendered(tokenizer: Any, messages: list[dict[str, str]]) -> str | None:
    import jinja2

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except (jinja2.TemplateError, TypeError):
        return None
