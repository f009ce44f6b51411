"""Plan: which files fit a target, which to ship, and that nothing predicted looks measured."""

import json
from pathlib import Path
from typing import Any

import pytest
from in_process import run

from smolship.checkpoint import Checkpoint, open_outline
from smolship.errors import InputError
from smolship.export import FORMATS
from smolship.quantize import RECIPES
from smolship.runtime_checks.runtimes import RUNTIMES
from smolship.targets import Target, load_target, target_names
from smolship.targets.target import parse_target
from smolship.workflows.build import Order, build
from smolship.workflows.plan import Plan, plan
from smolship.workflows.suiting import BY_ACTIVATIONS, BY_FIDELITY, WHILE_CHECKED

DEVICE = 'name = "bench"\ntitle = "a bench"\n[device]\narchitecture = "aarch64"\n'


def bench(device: str = 'runtimes = ["gguf", "onnx", "executorch"]', budgets: str = "") -> Target:
    """A target with these facts and `metric limit` lines."""
    text = DEVICE + device + "\n"
    for line in budgets.splitlines():
        metric, limit = line.split(maxsplit=1)
        text += f'[[budget]]\nmetric = "{metric}"\nlimit = "{limit}"\nsource = "this test"\n'
    return parse_target(text, "bench.toml")


def planned(checkpoint: Checkpoint, *targets: Target, recipes: tuple[str, ...] = tuple(RECIPES)) -> Plan:
    """In every format, at 256 tokens."""
    return plan(checkpoint, targets, recipes, tuple(FORMATS), 256)


def reasons(made: Plan, name: str) -> tuple[str, ...]:
    """Why a file does not fit the first target."""
    return made.targets[0].suits[[file.name for file in made.files].index(name)].reasons


def test_every_recipe_and_format_has_a_place_in_the_order_of_fidelity() -> None:
    assert BY_FIDELITY.keys() == RECIPES.keys()
    assert BY_ACTIVATIONS.keys() == FORMATS.keys() == RUNTIMES.keys()


def test_there_is_a_line_for_every_file_or_a_reason_why_not(tiny_checkpoint: Checkpoint) -> None:
    made = planned(tiny_checkpoint, bench())
    assert len(made.files) + len(made.refused) == len(RECIPES) * len(FORMATS)
    assert [(one.recipe, one.format) for one in made.refused] == [("q4_0", "executorch")]
    assert "executorch does not have; it has int4, int8" in made.refused[0].reason


def test_what_is_predicted_of_a_file_is_what_its_manifest_says(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    made = plan(tiny_checkpoint, [bench()], ("q4", "q8"), ("gguf",), 256)
    for file, one in zip(
        made.files, build(tiny_checkpoint, tmp_path, Order(("q4", "q8"), ("gguf",), 256)), strict=True
    ):
        manifest = one.artefact.manifest
        assert (file.sizes.model, file.sizes.all) == (manifest.model_bytes, manifest.bytes)
        assert file.bits_per_weight == pytest.approx(manifest.bits_per_weight, abs=1e-9)


def test_the_most_faithful_recipe_is_shipped_and_a_better_one_that_fails_is_named(tiny_checkpoint: Checkpoint) -> None:
    everything = planned(tiny_checkpoint, bench())
    assert everything.targets[0].chosen == everything.files[0]
    assert everything.files[0].name == "q8 gguf"  # onnx is as faithful and takes more memory
    assert everything.targets[0].better is None
    sizes = {file.name: file.sizes.all for file in everything.files}
    limit = sizes["q4-e8 gguf"]
    made = planned(tiny_checkpoint, bench(budgets=f"size <= {limit} B"))
    on_target = made.targets[0]
    assert on_target.chosen is not None
    assert on_target.chosen.name == "q4-e8-distilled gguf"
    assert on_target.better is not None
    assert on_target.better.name == "q8 gguf"
    assert [file.name for file, suit in zip(made.files, on_target.suits, strict=True) if suit.fits] == [
        name for name, size in sizes.items() if size <= limit
    ]


LIMITS = [
    ("", "size <= 1 kB", "size "),
    ("", "model_size <= 1 kB", "model size "),
    ("", "peak_memory <= 1 MB", "peak memory "),
    ("", "anonymous_memory <= 1 MB", "anonymous memory "),
    ("", "model_memory <= 1 MB", "model memory "),
    ('bandwidth = { value = "1 B/s", source = "slow" }', "decode >= 1 tok/s", "decode at most "),
    ('bandwidth = { value = "1 B/s", source = "slow" }', "sustained >= 1 tok/s", "sustained at most "),
    ('memory_for_app = { value = "1 MB", source = "narrow" }', "", "peak memory "),
    (
        'memory_counts = "anonymous"\nmemory_for_app = { value = "1 MB", source = "narrow" }',
        "",
        "anonymous memory ",
    ),
    ('address_space = { value = "1 MB", source = "a few bits" }', "", "peak memory "),
    ('storage_limit = { value = "1 kB", source = "a floppy" }', "", "size "),
]


@pytest.mark.parametrize(("facts", "budget", "reason"), LIMITS)
def test_every_limit_that_can_be_predicted_is_held(
    tiny_checkpoint: Checkpoint, facts: str, budget: str, reason: str
) -> None:
    device = facts + '\nruntimes = ["gguf"]'
    made = planned(tiny_checkpoint, bench(device, budget))
    assert made.targets[0].chosen is None
    assert not made.all_fit
    found = reasons(made, "q8 gguf")
    assert len(found) == 1
    assert found[0].startswith(reason)
    assert ">" in found[0] or "<" in found[0]
    assert reasons(made, "q8 onnx") == ("no onnx runtime",)


def test_what_cannot_be_predicted_is_not_judged(tiny_checkpoint: Checkpoint) -> None:
    made = planned(tiny_checkpoint, bench(budgets="kl_mean <= 0 nats\nprefill_512 >= 1000000 tok/s\ndecode >= 9 tok/s"))
    assert all(suit.fits and suit.ceiling is None for suit in made.targets[0].suits)


def test_a_ceiling_is_bandwidth_over_the_weights_and_the_cache(tiny_checkpoint: Checkpoint) -> None:
    device = 'bandwidth = { value = "1 GB/s", source = "round" }\nruntimes = ["gguf", "onnx"]'
    made = planned(tiny_checkpoint, bench(device))
    a = tiny_checkpoint.architecture
    for file, suit in zip(made.files, made.targets[0].suits, strict=True):
        if file.format == "executorch":
            assert suit.ceiling is None
            continue
        token = 2 * a.layers * a.kv_heads * a.head_dim * (2 if file.format == "gguf" else 4)
        assert file.read_per_token(0) == file.sizes.weights
        assert suit.ceiling == pytest.approx(1e9 / (file.sizes.weights + WHILE_CHECKED * token))
        assert suit.ceiling_full == pytest.approx(1e9 / (file.sizes.weights + 256 * token))


def test_every_profile_can_be_planned_for(tiny_checkpoint: Checkpoint) -> None:
    made = planned(tiny_checkpoint, *(load_target(name) for name in target_names()))
    assert all(one.chosen for one in made.targets)


@pytest.mark.parametrize(
    ("recipes", "formats", "context", "message"),
    [
        (("q3",), ("gguf",), 256, "unknown recipe 'q3'"),
        (("q8",), ("coreml",), 256, "unknown format 'coreml'"),
        (("q8",), ("gguf",), 9000, "takes from 64 to 8192 tokens"),
        (("q4_0",), ("executorch",), 256, "nothing of this can be built: executorch: .* asks for q4_0"),
    ],
)
def test_bad_input(
    tiny_checkpoint: Checkpoint, recipes: tuple[str, ...], formats: tuple[str, ...], context: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        plan(tiny_checkpoint, [bench()], recipes, formats, context)


def data_of(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """What `plan --json` prints."""
    run(monkeypatch, "plan", *arguments, "--json")
    return json.loads(capfd.readouterr().out)


def test_the_command_line_says_predicted_of_everything(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ("plan", tiny_folder, "-t", "host", "-t", "raspberry-pi-5", "--context", "256")
    assert run(monkeypatch, *asked) == 0
    shown = capfd.readouterr().out
    assert "Predicted for TinyLM2-Instruct at 256 tokens" in shown
    assert "Predicted: what fits" in shown
    assert "Predicted for host: ship q8 gguf (0.1" in shown
    assert "Predicted for raspberry-pi-5: ship q8 gguf (" in shown
    assert "host: no ceilings, for the target does not say what its bandwidth is" in shown
    assert "q4_0 executorch cannot be built" in shown
    assert "measured" not in shown
    assert "All of this is predicted" in shown


def test_json_has_the_figures_in_base_units(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = data_of(
        monkeypatch, capfd, tiny_folder, "-t", "raspberry-pi-5", "-r", "q8", "-f", "gguf", "--context", "256"
    )
    made = plan(open_outline(str(tiny_folder)), [load_target("raspberry-pi-5")], ("q8",), ("gguf",), 256)
    file, suit = made.files[0], made.targets[0].suits[0]
    assert [one["predicted"]["size"] for one in data["files"]] == [file.sizes.all]
    assert data["files"][0]["predicted"]["kv_cache"] == file.cache == 2 * 2 * 2 * 16 * 256 * 2
    (on_target,) = data["targets"]
    assert on_target["ship"] == {"recipe": "q8", "format": "gguf"}
    assert on_target["files"][0]["predicted"]["memory"] == suit.memory
    assert on_target["files"][0]["predicted"]["ceiling"] == suit.ceiling
    assert "measured" not in json.dumps(data)


def test_no_file_that_fits_is_exit_code_1_and_says_what_fails(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ("plan", tiny_folder, "-t", "raspberry-pi-5", "-t", "host", "--budget", "size <= 1 kB")
    assert run(monkeypatch, *asked) == 1
    shown = capfd.readouterr().out
    assert "Predicted for raspberry-pi-5: no file fits; q4 gguf comes nearest, and fails: size 0.0" in shown
    assert run(monkeypatch, *asked[:4], "-f", "gguf") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-t", "nokia-3310"), "unknown target 'nokia-3310'"),
        (("-r", "q3"), "unknown recipe 'q3'"),
        (("--budget", "size <= 5"), "has no unit"),
        (("--context", "9000"), "takes from 64 to 8192"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tiny_folder: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "plan", tiny_folder, *arguments) == 2
    captured = capfd.readouterr()
    assert message in captured.err
    assert captured.out == ""
