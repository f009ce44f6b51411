"""Build: all is checked before anything is written; whole artefacts are kept, changed and damaged ones built again."""

import dataclasses
import json
from pathlib import Path

import pytest
from tiny import CHAT_TEMPLATE, tiny_config, tiny_weights, write_safetensors, write_tiny_checkpoint

from smolship.artefact import Artefact
from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.errors import InputError
from smolship.workflows.build import Order, build
from smolship.workflows.check import require_source


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_folder_for_each_recipe_and_format(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    built = build(tiny_checkpoint, tmp_path, Order(("q4", "q8"), ("gguf",), 256))
    names = [one.artefact.folder.name for one in built]
    assert names == ["TinyLM2-Instruct-q4-gguf", "TinyLM2-Instruct-q8-gguf"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for one in built:
        one.artefact.verify()
        assert Artefact.open(one.artefact.folder).manifest == one.artefact.manifest
        assert one.artefact.manifest.context == 256


def test_the_manifest_says_where_it_came_from_and_covers_every_tensor(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    manifest = build(tiny_checkpoint, tmp_path, Order(("q4-e8",), ("gguf",), 256))[0].artefact.manifest
    assert manifest.source.sha256 == tiny_checkpoint.source.sha256
    assert manifest.source.instruct
    assert {line.tensor: line.shape for line in manifest.coverage} == tiny_checkpoint.architecture.shapes()
    assert manifest.versions.keys() == {"smolship", "gguf", "numpy"}


def test_a_second_build_keeps_what_is_whole(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    first = build(tiny_checkpoint, tmp_path, Order(("q4",), ("gguf",), 256))
    second = build(tiny_checkpoint, tmp_path, Order(("q4",), ("gguf",), 256))
    assert not first[0].kept
    assert second[0].kept
    assert second[0].artefact == first[0].artefact


def test_rebuilding_gives_the_same_bytes(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    build(tiny_checkpoint, tmp_path, Order(("q4-e8",), ("gguf",), 256))
    before = tree(tmp_path)
    again = build(tiny_checkpoint, tmp_path, Order(("q4-e8",), ("gguf",), 256, rebuild=True))
    assert not again[0].kept
    assert tree(tmp_path) == before


def test_a_damaged_artefact_is_built_again(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = build(tiny_checkpoint, tmp_path, Order(("q4",), ("gguf",), 256))[0].artefact.model_path
    path.write_bytes(path.read_bytes()[:-100])
    again = build(tiny_checkpoint, tmp_path, Order(("q4",), ("gguf",), 256))
    assert not again[0].kept
    again[0].artefact.verify()


REPAIRS: dict[str, tuple[str, dict[str, object]]] = {
    "a chat template": ("tokenizer_config.json", {"chat_template": CHAT_TEMPLATE.replace("helpful", "kind")}),
    "an end": ("generation_config.json", {"eos_token_id": [2, 5]}),
    "a rotary base": ("config.json", {"rope_theta": 130000}),
    "positions": ("config.json", {"max_position_embeddings": 4096}),
}


@pytest.mark.parametrize("repair", REPAIRS)
def test_whatever_a_checkpoint_says_of_itself_makes_another_file(tmp_path: Path, repair: str) -> None:
    """The weights are the same, and a user who repairs a template must see the repair."""
    folder, (name, entries) = write_tiny_checkpoint(tmp_path / "tiny"), REPAIRS[repair]
    order = Order(("q8",), ("gguf",), 256)
    first = build(open_checkpoint(str(folder)), tmp_path / "out", order)[0]
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    repaired = open_checkpoint(str(folder))
    with pytest.raises(InputError, match="with another config, tokenizer or chat template: build it again"):
        require_source(first.artefact, repaired)
    again = build(repaired, tmp_path / "out", order)[0]
    assert not again.kept
    assert again.replaced is None
    require_source(again.artefact, repaired)


def test_other_code_makes_another_file(
    tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tiny_checkpoint, tmp_path, Order(("q4",), ("gguf",), 256))
    monkeypatch.setattr("smolship.workflows.blueprint.code_digest", lambda *_: "edited")
    assert not build(tiny_checkpoint, tmp_path, Order(("q4",), ("gguf",), 256))[0].kept


def test_an_artefact_of_a_namesake_gives_way_with_a_word(tmp_path: Path) -> None:
    order = Order(("q4",), ("gguf",), 256)
    folders = [write_tiny_checkpoint(tmp_path / run / "final", rms_norm_eps=1e-5) for run in "ab"]
    write_safetensors(folders[1] / "model.safetensors", tiny_weights(tiny_config(), seed=1))
    first, second = (build(open_checkpoint(str(folder)), tmp_path / "out", order)[0] for folder in folders)
    assert first.replaced is None
    assert second.replaced is not None
    assert "was of other weights" in second.replaced
    assert "give another --out to keep both" in second.replaced


def test_another_context_is_another_file(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    build(tiny_checkpoint, tmp_path, Order(("q4",), ("gguf",), 256))
    again = build(tiny_checkpoint, tmp_path, Order(("q4",), ("gguf",), 512))
    assert not again[0].kept
    assert again[0].artefact.manifest.context == 512


def test_weights_beside_the_model_are_another_artefact(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    beside = Order(("q4",), ("onnx",), 256, weights_beside=True)
    first, again = build(tiny_checkpoint, tmp_path, beside)[0], build(tiny_checkpoint, tmp_path, beside)[0]
    assert (first.kept, again.kept) == (False, True)
    files = [file.path for file in again.artefact.manifest.model_files]
    assert files == ["model.onnx", "model.onnx.data"]
    again.artefact.verify()
    inside = build(tiny_checkpoint, tmp_path, Order(("q4",), ("onnx",), 256))[0]
    assert not inside.kept
    assert [file.path for file in inside.artefact.manifest.model_files] == ["model.onnx"]


def test_weights_beside_are_refused_where_a_format_is_one_file(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="GGUF is one file"):
        build(tiny_checkpoint, tmp_path, Order(("q4",), ("onnx", "gguf"), 256, weights_beside=True))
    assert list(tmp_path.iterdir()) == []


def test_a_changed_checkpoint_is_built_again(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    build(open_checkpoint(str(folder)), tmp_path / "out", Order(("q4",), ("gguf",), 256))
    write_tiny_checkpoint(folder, dtype="bfloat16")
    again = build(open_checkpoint(str(folder)), tmp_path / "out", Order(("q4",), ("gguf",), 256))
    assert not again[0].kept


@pytest.mark.parametrize("context", [0, -5, 63, 8193])
def test_a_context_outside_the_model_s_is_refused(tiny_checkpoint: Checkpoint, tmp_path: Path, context: int) -> None:
    with pytest.raises(InputError, match="takes from 64 to 8192 tokens"):
        build(tiny_checkpoint, tmp_path, Order(("q4",), ("gguf",), context))


def test_nothing_is_written_if_one_of_several_is_wrong(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="executorch does not have"):
        build(tiny_checkpoint, out, Order(("q4", "q4_0"), ("gguf", "executorch"), 256))
    with pytest.raises(InputError, match="unknown format 'coreml'"):
        build(tiny_checkpoint, out, Order(("q4",), ("gguf", "coreml"), 256))
    assert not out.exists()


def test_a_place_that_holds_something_else_stops_the_whole_build(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    place = tmp_path / "TinyLM2-Instruct-q8-gguf"
    place.mkdir()
    (place / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="did not write"):
        build(tiny_checkpoint, tmp_path, Order(("q4", "q8"), ("gguf",), 256))
    assert tree(tmp_path) == {"TinyLM2-Instruct-q8-gguf/notes.txt": b"mine"}


def test_weights_that_are_not_finite_leave_nothing(tmp_path: Path) -> None:
    from tiny import tiny_config, tiny_weights, write_safetensors

    folder = write_tiny_checkpoint(tmp_path / "tiny")
    weights = tiny_weights(tiny_config())
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
    write_safetensors(folder / "model.safetensors", weights)
    with pytest.raises(InputError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        build(open_checkpoint(str(folder)), tmp_path / "out", Order(("q4",), ("gguf",), 256))
    assert not (tmp_path / "out").exists()


def test_the_source_decides_what_is_kept_not_the_name_alone(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    build(tiny_checkpoint, tmp_path, Order(("q4",), ("gguf",), 256))
    moved = dataclasses.replace(tiny_checkpoint, source=dataclasses.replace(tiny_checkpoint.source, sha256="0" * 64))
    assert not build(moved, tmp_path, Order(("q4",), ("gguf",), 256))[0].kept
