"""Ollama's `Modelfile`: which GGUF, which chat template in Go's syntax, where to stop.

Syntax: docs/modelfile.md of ollama/ollama and Go's text/template. The Go template stands for ChatML with SmolLM2's
default system message, so it is written only for a checkpoint whose own Jinja template renders exactly that.
"""

from smolship.checkpoint import Outline

_PROBE = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]


def modelfile(checkpoint: Outline, model_file: str, context: int) -> str:
    """The Modelfile's text for a GGUF beside it; a template this module cannot express is left out and said so."""
    lines = [f"FROM ./{model_file}", f"PARAMETER num_ctx {context}"]
    template = go_template(checkpoint)
    if template is None:
        lines.append("# No TEMPLATE: this checkpoint's chat template is not ChatML; Ollama reads it from the GGUF.")
    else:
        lines.append(f'TEMPLATE """{template}"""')
    if checkpoint.is_instruct:
        tokens = checkpoint.tokenizer.tokens
        lines += [f'PARAMETER stop "{tokens[index]}"' for index in checkpoint.architecture.end_ids]
    return "\n".join(lines) + "\n"


def go_template(checkpoint: Outline) -> str | None:
    """The checkpoint's chat template in Go's syntax, the bare prompt for a base model, `None` if it is not ChatML."""
    if not checkpoint.is_instruct:
        return "{{ .Prompt }}"
    render = checkpoint.tokenizer.render_chat
    system = render(_PROBE).removesuffix(_chatml(_PROBE))
    with_system = [{"role": "system", "content": "s"}, *_PROBE]
    if render(_PROBE) != system + _chatml(_PROBE) or render(with_system) != _chatml(with_system) or '"""' in system:
        return None
    default = f'{{{{ if and (eq $i 0) (ne .Role "system") }}}}{system}{{{{ end }}}}' if system else ""
    turn = "<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n"
    return f"{{{{ range $i, $_ := .Messages }}}}{default}{turn}{{{{ end }}}}<|im_start|>assistant\n"


def _chatml(messages: list[dict[str, str]]) -> str:
    turns = (f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return "".join(turns) + "<|im_start|>assistant\n"
