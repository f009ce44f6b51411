"""The model card: only what was measured, whatever the checkpoint is called, and examples that run."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from card_examples import examples, run_cpp, run_python
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from measured import measured
from tiny import write_tiny_checkpoint

from smolship.artefact import CARD_LINE, Artefact, Manifest, SourceRecord
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.quantize.orders import SOLVERS
from smolship.quantize.rounding import ROUNDINGS
from smolship.runtime_checks.card import card as module
from smolship.runtime_checks.card import own_readme, render_card, write_card
from smolship.runtime_checks.card.quoting import literal, plain, slug
from smolship.runtime_checks.measurements import Failure, Fidelity
from smolship.runtime_checks.runtimes import RUNTIMES
from smolship.workflows.build import Order, build

HOSTILE = 'a"b: #\n---\n| <script>`x`</script> *y* _z_ & [q](r) \\ $HOME 😀'


@pytest.fixture(scope="module")
def manifest(tiny_artefact: Artefact) -> Manifest:
    return tiny_artefact.manifest


def of_source(manifest: Manifest, **changes: object) -> Manifest:
    source = SourceRecord.model_validate(manifest.source.model_dump() | changes)
    return manifest.model_copy(update={"source": source})


def of_format(manifest: Manifest, name: str) -> Manifest:
    return manifest.model_copy(update={"format": name, "versions": {"executorch": "1.5.1"}})


@pytest.mark.parametrize(
    ("kind", "location", "base_model", "licence"),
    [
        ("embedded", "x.gguf", "HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
        ("hub", "HuggingFaceTB/SmolLM2-360M", "HuggingFaceTB/SmolLM2-360M", "apache-2.0"),
        ("hub", "HuggingFaceTB/SmolLM2-360M", "HuggingFaceTB/SmolLM2-360M", None),
        ("hub", "somebody/their-smollm2", "somebody/their-smollm2", None),
        ("hub", "somebody/their-smollm2", "somebody/their-smollm2", "mit"),
        ("hub", HOSTILE, HOSTILE, None),
        ("folder", "SmolLM2-135M-Instruct", None, None),
        ("folder", "SmolLM2-135M-Instruct", None, "cc-by-nc-4.0"),
        ("gguf", "SmolLM2-135M.gguf", None, None),
        ("gguf", "SmolLM2-135M.gguf", None, "apache-2.0"),
    ],
)
def test_the_hub_reads_the_head_and_only_a_licence_that_the_checkpoint_names(
    manifest: Manifest,
    tiny_checkpoint: Checkpoint,
    kind: str,
    location: str,
    base_model: str | None,
    licence: str | None,
) -> None:
    made_from = of_source(manifest, kind=kind, location=location, name=HOSTILE)
    text = render_card(made_from, replace(tiny_checkpoint, licence=licence))
    head = vars(ModelCard(text).data)
    assert (head.get("base_model"), head.get("license")) == (base_model, licence)
    assert head["pipeline_tag"] == "text-generation"
    assert head["tags"] == ["smollm2", "smolship", "gguf"]
    assert ("its makers say" in text) == (licence is None)
    family = licence == "apache-2.0" and kind in ("embedded", "hub")
    assert ("is a model of the SmolLM2 family" in text) == family
    assert (f"names its licence as *{plain(licence or '')}*" in text) == (licence is not None and not family)
    assert "https://www.apache.org/licenses/LICENSE-2.0" in text
    assert "the weights were quantised" in text


def test_a_licence_that_is_no_name_of_the_hubs_is_another(manifest: Manifest, tiny_checkpoint: Checkpoint) -> None:
    text = render_card(manifest, replace(tiny_checkpoint, licence="My *own* licence: v1"))
    head = vars(ModelCard(text).data)
    assert (head["license"], head["license_name"]) == ("other", "my-own-licence-v1")
    assert r"names its licence as *My \*own\* licence: v1*" in text


def test_a_hostile_name_is_shown_as_it_is(manifest: Manifest, tiny_checkpoint: Checkpoint) -> None:
    made_from = of_source(manifest, name=HOSTILE, kind="folder", location=HOSTILE)
    body = ModelCard(render_card(made_from, tiny_checkpoint)).text
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(body)
    opened = next(i for i, token in enumerate(tokens) if token.type == "heading_open")
    heading = "".join(child.content for child in tokens[opened + 1].children or ())
    assert heading == " ".join(HOSTILE.split()) + ", q8, GGUF"
    inline = [child for token in tokens for child in token.children or ()]
    assert not [child for child in inline if child.type in ("html_inline", "image")]
    assert all(str(child.attrs["href"]).startswith("https://") for child in inline if child.type == "link_open")
    fields = ["".join(c.content for c in token.children or ()) for token in tokens if token.type == "inline"]
    assert f"{' '.join(HOSTILE.split())}, float32 weights, from the folder {' '.join(HOSTILE.split())}" in fields


def test_nothing_is_foreseen(manifest: Manifest, tiny_checkpoint: Checkpoint) -> None:
    foreseen = manifest.model_copy(update={"predicted_divergence": 0.123456})
    text = render_card(foreseen, tiny_checkpoint)
    assert "0.123" not in text
    assert "Nothing yet. `smolship check`" in text
    assert "tok/s" not in text
    assert text == render_card(foreseen, tiny_checkpoint)


def test_what_was_measured_stands_there_with_its_conditions(manifest: Manifest, tiny_checkpoint: Checkpoint) -> None:
    found = Fidelity(
        positions=4096,
        windows=8,
        kl_mean=0.004,
        kl_p99=0.02,
        kl_max=0.08,
        top1=0.96,
        perplexity=21,
        reference_perplexity=20,
    )
    text = render_card(manifest, tiny_checkpoint, measured().model_copy(update={"fidelity": found}))
    for words in (
        "| mean KL divergence | 0.004 nats |",
        "| 99th percentile KL divergence | 0.02 nats |",
        "| top-1 agreement | 96.0 % |",
        "| perplexity ratio | 1.05 x |",
        "| prefill of 512 tokens | 853.3 tok/s |",
        "| decode | 128.0 tok/s |",
        "| time to first token after a prompt of 64 tokens | 0.1 s |",
        "| load time | 0.2 s |",
        "| peak memory | 271.0 MB |",
        "Some CPU",
        "Threads: 2",
        "smolship's evaluation text: 4,096 tokens in 8 windows of 512",
        measured().measured_at.strftime("%Y-%m-%d"),
    ):
        assert words in text
    assert "Nothing yet" not in text


def test_what_was_not_measured_is_left_out(manifest: Manifest, tiny_checkpoint: Checkpoint) -> None:
    failure = Failure(stage="decode", message="ended by SIGILL\n| here")
    half = measured().model_copy(update={"decode": None, "fidelity": None, "failure": failure})
    text = render_card(manifest, tiny_checkpoint, half)
    assert "| decode |" not in text
    assert "KL divergence" not in text
    assert "**The runtime failed** at decode: ended by SIGILL \\| here" in text


def test_it_warns_of_a_checkpoint_that_was_already_quantised(manifest: Manifest, tiny_checkpoint: Checkpoint) -> None:
    warning = "was itself already quantised"
    assert warning not in render_card(manifest, tiny_checkpoint)
    quantised = of_source(manifest, already_quantised=True, stored_as="Q4_1")
    assert f"{warning}** (Q4_1)" in render_card(quantised, tiny_checkpoint)


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_format_says_how_to_run_it_everywhere(manifest: Manifest, tiny_checkpoint: Checkpoint, name: str) -> None:
    text = render_card(of_format(manifest, name), tiny_checkpoint)
    for language in ("python", "kotlin", "swift"):
        assert examples(text, language)
    for place in ("Android", "iOS", "Raspberry Pi"):
        assert any(line.startswith("### ") and place in line for line in text.splitlines())


def test_every_rounding_has_its_words() -> None:
    assert module.ROUNDINGS.keys() == ROUNDINGS.keys() | SOLVERS.keys()


def test_literals_say_what_the_text_says(tmp_path: Path) -> None:
    text = 'a "quoted" \\ back\nnew\ttab\r $HOME \\(x) \x01 é 😀'
    assert ast.literal_eval(literal(text, "python")) == text
    program = f"#include <cstdio>\nint main() {{ std::fputs({literal(text, 'cpp')}, stdout); }}\n"
    assert run_cpp(program, tmp_path, tmp_path).decode() == text
    assert literal('"$x\x01', "kotlin") == '"\\"\\$x\\u0001"'
    assert literal("\\(x)\x01", "swift") == '"\\\\(x)\\u{1}"'
    assert plain("Q4_1 and q4-e8") == "Q4_1 and q4-e8"
    assert slug("Mein Modell; rm -rf /") == "mein-modell-rm-rf"


def test_a_readme_of_somebody_else_s_is_left_alone(
    manifest: Manifest, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    first, second = (render_card(manifest, tiny_checkpoint, found) for found in (None, measured()))
    readme = tmp_path / "README.md"
    assert write_card(tmp_path, first)
    assert write_card(tmp_path, second)
    assert readme.read_text() == second
    edited = second.replace(CARD_LINE, "")
    readme.write_text(edited)
    assert own_readme(tmp_path)
    assert not write_card(tmp_path, first)
    assert readme.read_text() == edited
    assert list(tmp_path.iterdir()) == [readme]


def test_the_examples_for_llama_cpp_run_and_agree(tiny_artefact: Artefact, tmp_path: Path) -> None:
    card = (tiny_artefact.folder / "README.md").read_text()
    (python,), (cpp,) = examples(card, "python"), examples(card, "cpp")
    said = run_cpp(cpp, tiny_artefact.folder, tmp_path).decode("utf-8", "ignore").strip()
    assert said
    # llama-cpp-python goes on for a few tokens where the last one ends inside of a character
    assert run_python(python, tiny_artefact.folder).strip().startswith(said)


def test_the_examples_of_a_base_model_complete_a_text(tmp_path: Path) -> None:
    base = open_checkpoint(str(write_tiny_checkpoint(tmp_path / "TinyLM2", instruct=False)))
    folder = build(base, tmp_path, Order(("q8",), ("gguf",), 256))[0].artefact.folder
    card = (folder / "README.md").read_text()
    assert "The capital of France is" in card
    assert "<|im_start|>" not in card
    (python,) = examples(card, "python")
    assert run_python(python, folder).strip()


def test_prompts_that_tell_a_date_say_so(manifest: Manifest, tiny_checkpoint: Checkpoint) -> None:
    template = "It is {{ strftime_now('%d %B %Y') }}. {{ messages[-1].content }}"
    tokenizer = replace(tiny_checkpoint.tokenizer, chat_template=template)
    text = render_card(manifest, replace(tiny_checkpoint, tokenizer=tokenizer))
    assert "the prompts spelled out here have\n2026-01-01, and an app renders the template anew." in text
    assert "It is 01 January 2026." in text
    assert "the context and the text that ends" in text
    assert "2026-01-01" not in render_card(manifest, tiny_checkpoint)
    assert "the context, the chat template and the text that ends" in render_card(manifest, tiny_checkpoint)


def test_a_template_without_system_messages_is_asked_without(manifest: Manifest, tiny_checkpoint: Checkpoint) -> None:
    refusal = "{% if m['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
    template = "{% for m in messages %}" + refusal + "[{{ m['content'] }}]{% endfor %}"
    tokenizer = replace(tiny_checkpoint.tokenizer, chat_template=template)
    text = render_card(manifest, replace(tiny_checkpoint, tokenizer=tokenizer))
    assert '"[What is the capital of France?]"' in text
    assert '"role": "system"' not in text
    assert "setSystemPrompt" not in text


def test_examples_stop_at_every_token_that_ends_an_answer(manifest: Manifest, tiny_checkpoint: Checkpoint) -> None:
    two = replace(tiny_checkpoint, architecture=replace(tiny_checkpoint.architecture, end_ids=(2, 0)))
    onnx = render_card(of_format(manifest, "onnx"), two)
    for line in ("if token in (2, 0):", "if (token in setOf(2L, 0L)) break", "if [2, 0].contains(token) { break }"):
        assert line in onnx
    both = '"<|im_end|>", "<|endoftext|>"'
    executorch = render_card(of_format(manifest, "executorch"), two)
    for line in (f"for end in ({both}):", f"listOf({both})", f"let ends = [{both}]", f"end : {{{both}}})"):
        assert line in executorch
    for text in (onnx, executorch):
        for code in examples(text, "python"):
            ast.parse(code)
