"""Memory that is predicted beside what was measured: the arithmetic is exact, the rest within what the docs say."""

import pytest

from smolship.checkpoint import Architecture
from smolship.runtime_checks.footprint import PYTHON, Memory, Stored, Use, cache_bytes, checked, full, memory_on
from smolship.targets import Target, load_target
from smolship.targets.target import parse_target

MIB = 1 << 20
COMMON = {"vocabulary": 49152, "norm_epsilon": 1e-5, "max_positions": 8192, "bos_id": 1, "end_ids": (2,), "pad_id": 2}
MODELS = {
    name: Architecture(hidden=h, intermediate=i, layers=n, heads=q, kv_heads=kv, head_dim=64, rope_theta=1e5, **COMMON)  # type: ignore[arg-type]
    for name, h, i, n, q, kv in (
        ("135M", 576, 1536, 30, 9, 3),
        ("360M", 960, 2560, 32, 15, 5),
        ("1.7B", 2048, 8192, 24, 32, 32),
    )
}
"""SmolLM2's three sizes, as their config.json on the hub has them"""

DEMO = [
    # `make demo`, two cores of an AMD EPYC: context, model file, peak, anonymous memory at the peak
    ("q8", "gguf", 2048, 144_810_784, 279_064_576, 105_373_696),
    ("q8", "onnx", 2048, 143_239_276, 387_973_120, 346_353_664),
    ("q8", "executorch", 1024, 136_240_000, 482_226_176, 352_546_816),
    ("q4-e8", "gguf", 2048, 91_726_624, 285_732_864, 165_064_704),
    ("q4-e8", "onnx", 2048, 90_158_739, 309_420_032, 267_841_536),
    ("q4-e8", "executorch", 1024, 89_017_088, 428_351_488, 298_835_968),
]
RESIDENT = {"executorch": 87_300_000}
"""bytes of the libraries that were resident in those runs before a model was loaded, where less than usual"""
ROWS = 6 * 576 * 30 + 1536 * 30 * 2  # of 135M's matrices, the embedding's apart: what `int8-row` has scales for
LAYERS, EMBEDDING = 106_168_320, 28_311_552


def stored(recipe: str, fmt: str, file: int) -> Stored:
    """The matrices of 135M by grid."""
    eight = "int8-row" if fmt == "executorch" else "int8-b32"
    embedding = EMBEDDING + 4 * 49152 if fmt == "executorch" else EMBEDDING * 17 // 16
    if recipe == "q8":
        layers = LAYERS + 4 * ROWS if fmt == "executorch" else LAYERS * 17 // 16
        return Stored(file, {eight: layers + embedding}, embedding)
    return Stored(file, {"int4-b32": LAYERS * 9 // 16, eight: embedding}, embedding)


def on(target: Target, recipe: str, fmt: str, use: Use, file: int = 0) -> Memory:
    """The memory of 135M on a target."""
    return memory_on(target, fmt, stored(recipe, fmt, file), MODELS["135M"], use)


def a_board(features: str) -> Target:
    """A device with a processor of these features."""
    return parse_target(
        'name = "board"\ntitle = "a board"\n[device]\narchitecture = "aarch64"\n'
        f'cpu_features = [{features}]\nruntimes = ["gguf", "executorch"]\n',
        "board.toml",
    )


@pytest.mark.parametrize(("model", "mebibytes"), [("135M", 180), ("360M", 320), ("1.7B", 1536)])
def test_the_cache_of_8192_tokens(model: str, mebibytes: int) -> None:
    assert cache_bytes(MODELS[model], "gguf", 8192) == mebibytes * MIB
    assert cache_bytes(MODELS[model], "executorch", 8192) == mebibytes * MIB
    assert cache_bytes(MODELS[model], "onnx", 8192) == 2 * mebibytes * MIB  # in float32


@pytest.mark.parametrize(("recipe", "fmt", "context", "file", "peak", "anonymous"), DEMO)
def test_the_peak_is_within_three_per_cent_of_what_was_measured(
    recipe: str, fmt: str, context: int, file: int, peak: int, anonymous: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("smolship.runtime_checks.footprint.processor", lambda: ("AMD EPYC", ["avx2"]))
    found = on(load_target("host"), recipe, fmt, checked(context), file).metrics()
    less = PYTHON[fmt].file - RESIDENT.get(fmt, PYTHON[fmt].file)
    assert found["peak_memory"] - less == pytest.approx(peak, rel=0.03)
    assert found["anonymous_memory"] == pytest.approx(anonymous, rel=0.03)
    assert found["peak_memory"] == found["anonymous_memory"] + found["file_memory"]


def test_what_a_processor_repacks_is_held_twice() -> None:
    use = full(2048)
    plain, dot = (on(a_board(features), "q8", "gguf", use) for features in ('"asimd"', '"asimd", "asimddp"'))
    assert dot.anonymous - plain.anonymous == sum(stored("q8", "gguf", 0).matrices.values())
    four, dotted = (on(a_board(features), "q4-e8", "gguf", use) for features in ('"asimd"', '"asimd", "asimddp"'))
    assert dotted.anonymous > four.anonymous


def test_llama_cpp_rounds_the_context_up_and_the_others_do_not() -> None:
    def anonymous(fmt: str, context: int) -> int:
        return on(a_board(""), "q8", fmt, Use(context, 64, 64)).anonymous

    assert anonymous("gguf", 257) == anonymous("gguf", 512) > anonymous("gguf", 256)
    step = cache_bytes(MODELS["135M"], "executorch", 1)
    assert anonymous("executorch", 257) - anonymous("executorch", 256) == step


def test_only_onnx_runtime_s_cache_grows_as_it_is_filled() -> None:
    host = load_target("host")
    for fmt, grows in (("gguf", False), ("onnx", True), ("executorch", False)):
        filled, while_checked = (on(host, "q8", fmt, use(8192)).anonymous for use in (full, checked))
        assert (filled > while_checked) is grows


def test_a_device_runs_executorch_without_python() -> None:
    assert on(a_board(""), "q8", "executorch", full(256)).before.anonymous < 1_000_000
    assert on(load_target("host"), "q8", "executorch", full(256)).before.anonymous > 100_000_000
