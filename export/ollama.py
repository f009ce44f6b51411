"""Ollama's `Modelfile`: which GGUF, which chat template in Go's syntax, where to stop.

Syntax: docs/modelfile.md of ollama/ollama and Go's text/template. The Go template stands for ChatML with SmolLM2's
default system message, so it is written only for a checkpoint whose own Jinja template renders exactly that.
"""

from smolship.checkpoint import Outline
from smolship.checkpoint.chat.chatml import default_system, unlike_chatml


def modelfile(checkpoint: Outline, model_file: str, context: int) -> str:
    """The Modelfile's text for a GGUF beside it; a template this module cannot express is left out and said so."""
    lines = [f"FROM ./{model_file}", f"PARAMETER num_ctx {context}"]
    template = go_template(checkpoint)
    if template is None:
        lines.append(
            f"# No TEMPLATE: this checkpoint's chat template {_obstacle(checkpoint)}; "
            "Ollama takes one of its own that is like the GGUF's, or none."
        )
    else:
        lines.append(f'TEMPLATE """{template}"""')
    if checkpoint.is_instruct:
        tokens = checkpoint.tokenizer.tokens
        lines += [f'PARAMETER stop "{tokens[index]}"' for index in checkpoint.architecture.end_ids]
    return "\n".join(lines) + "\n"


def go_template(checkpoint: Outline) -> str | None:
    """The chat template in Go's syntax, the bare prompt for a base model, `None` if Go's syntax cannot say the same."""
    if not checkpoint.is_instruct:
        return "{{ .Prompt }}"
    if _obstacle(checkpoint) is not None:
        return None
    system = default_system(checkpoint.tokenizer)
    default = f'{{{{ if and (eq $i 0) (ne .Role "system") }}}}{system}{{{{ end }}}}' if system else ""
    turn = "<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n"
    return f"{{{{ range $i, $_ := .Messages }}}}{default}{turn}{{{{ end }}}}<|im_start|>assistant\n"


def _obstacle(checkpoint: Outline) -> str | None:
    """What Go's syntax, or the quotes of a Modelfile, cannot say of the chat template."""
    unlike = unlike_chatml(checkpoint.tokenizer)
    system = default_system(checkpoint.tokenizer) if unlike is None else ""
    return next((f"has {quote} in its system message" for quote in ('"""', "{{") if quote in system), unlike)
