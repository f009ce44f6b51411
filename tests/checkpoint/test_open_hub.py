"""Hub ids, against a server on this machine that answers as the hub does."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tiny import write_tiny_checkpoint
from tiny_adapter import write_lora

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/TinyLM2-Instruct"

OPEN = """
import sys
from smolship.checkpoint import open_checkpoint
from smolship.errors import InputError

class Shown:
    total = done = 0
    def task(self, description, total=None):
        self.total += total
        return self
    def __enter__(self):
        return self.advance
    def __exit__(self, *exc):
        return None
    def advance(self, amount):
        self.done += amount

shown = Shown()
try:
    checkpoint = open_checkpoint(sys.argv[1], revision=sys.argv[2] or None, progress=shown)
except InputError as error:
    sys.exit(f"InputError: {error}")
source = checkpoint.source
shape = checkpoint.tensors.read("model.norm.weight").shape
print(checkpoint.name, source.kind, source.location, source.revision, shape)
assert 0 < shown.done <= shown.total
"""


OUTLINE = """
import sys
from smolship.checkpoint import open_outline
print(open_outline(sys.argv[1], revision=sys.argv[2] or None).name)
"""

LICENCE = """
import sys
from smolship.checkpoint import open_checkpoint, open_outline
print(open_outline(sys.argv[1]).licence, open_checkpoint(sys.argv[1]).licence)
"""


NOTES = """
import sys
from smolship.checkpoint import open_outline
print(*open_outline(sys.argv[1], revision=sys.argv[2] or None).notes)
"""


class Hub(BaseHTTPRequestHandler):
    """The three requests that fetching a repository takes."""

    folder: Path

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0].removeprefix("/api/models")
        if path.startswith("/someone/gated"):
            self.send(403, b"{}", body, {"X-Error-Code": "GatedRepo"})
        elif not path.startswith(f"/{REPOSITORY}"):
            self.send(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})
        elif "/resolve/" in path:
            file = self.folder / path.rsplit("/", 1)[-1]
            headers = {"ETag": f'"{file.name}-1"', "X-Repo-Commit": COMMIT}
            self.send(200, file.read_bytes(), body, headers)
        elif path.endswith(("/revision/main", "/revision/v2", COMMIT, REPOSITORY)):
            files = [{"rfilename": file.name, "size": file.stat().st_size} for file in self.folder.iterdir()]
            listing = [*files, {"rfilename": "pytorch_model.bin", "size": 10**12}]
            self.send(200, json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": listing}).encode(), body, {})
        else:
            self.send(404, b"{}", body, {"X-Error-Code": "RevisionNotFound"})

    def send(self, status: int, data: bytes, body: bool, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, form: str, *values: object) -> None:
        """Say nothing: the tests' output is theirs."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a hub that has `folder` as its one repository."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Hub,), {"folder": folder}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def opened(
    cache: Path, endpoint: str, name: str = REPOSITORY, revision: str = "", program: str = OPEN, **environment: str
) -> str:
    """What opening prints, or its `InputError`, in a process of its own: the hub's client reads its settings once."""
    settings = {"HF_HOME": str(cache), "HF_ENDPOINT": endpoint, "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, name, revision],
        env={**inherited, **settings, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if run.returncode == 0:
        assert run.stderr == "", "the hub's own bars and notes must not reach the user"
        return run.stdout.strip()
    assert run.stderr.startswith("InputError: "), run.stderr
    return run.stderr.strip()


def test_fetched_once_then_opened_offline(tmp_path: Path, tiny_folder: Path) -> None:
    expected = f"TinyLM2-Instruct hub {REPOSITORY} {COMMIT} (64,)"
    with served(tiny_folder) as hub:
        assert opened(tmp_path, hub) == expected
    assert not list(tmp_path.rglob("pytorch_model.bin"))
    assert opened(tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1") == expected


def test_an_outline_fetches_no_weights(tmp_path: Path, tiny_folder: Path) -> None:
    with served(tiny_folder) as hub:
        assert opened(tmp_path, hub, program=OUTLINE) == "TinyLM2-Instruct"
    assert list(tmp_path.rglob("tokenizer.json"))
    assert not list(tmp_path.rglob("*.safetensors"))
    assert opened(tmp_path, "http://127.0.0.1:9", program=OUTLINE, HF_HUB_OFFLINE="1") == "TinyLM2-Instruct"


def test_the_licence_is_fetched_too(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    with served(folder) as hub:
        assert opened(tmp_path / "cache", hub, program=LICENCE) == "mit mit"
    assert opened(tmp_path / "cache", "http://127.0.0.1:9", program=LICENCE, HF_HUB_OFFLINE="1") == "mit mit"


def test_an_outline_of_shards_knows_by_their_index_that_there_is_a_head(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", tie_word_embeddings=False, shards=2)
    config = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config))
    with served(folder) as hub:
        said = opened(tmp_path / "cache", hub, program=NOTES)
    assert said.startswith("config.json says tie_word_embeddings true, and model.safetensors.index.json lists lm_head")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("name", "revision", "sentence"),
    [
        ("someone/nothing", "", "someone/nothing is not on the hub, or private: check the spelling"),
        (REPOSITORY, "v9", "has no revision 'v9': give one of its branches, tags or commits"),
        ("someone/gated", "", "someone/gated is gated on the hub, wanted one open to you: accept its terms"),
        ("some--one/x", "", "'some--one/x' is no hub id"),
    ],
)
def test_what_the_hub_refuses(tmp_path: Path, tiny_folder: Path, name: str, revision: str, sentence: str) -> None:
    with served(tiny_folder) as hub:
        assert sentence in opened(tmp_path, hub, name, revision)


def test_a_repository_of_something_else_is_named_and_not_fetched(tmp_path: Path, tiny_folder: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    with served(folder) as hub:
        said = opened(tmp_path / "cache", hub)
    assert f"{REPOSITORY} holds its weights only as pickle (pytorch_model.bin), which runs code" in said
    assert not list(tmp_path.glob("cache/**/config.json"))


def test_an_adapter_is_fetched_and_merged(tmp_path: Path, tiny_folder: Path) -> None:
    folder = write_lora(tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(tiny_folder)}))
    with served(folder) as hub:
        assert opened(tmp_path / "cache", hub) == f"TinyLM2-Instruct hub {REPOSITORY} {COMMIT} (64,)"
        assert opened(tmp_path / "other", hub, program=OUTLINE) == "TinyLM2-Instruct"
    assert not list(tmp_path.glob("cache/**/pytorch_model.bin"))


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {}])
def test_offline_and_not_in_the_cache(tmp_path: Path, environment: dict[str, str]) -> None:
    message = opened(tmp_path, "http://127.0.0.1:9", **environment)
    assert f"{REPOSITORY} is not in the local cache and the hub cannot be reached: connect" in message


def test_a_pinned_revision(tmp_path: Path, tiny_folder: Path) -> None:
    with served(tiny_folder) as hub:
        assert COMMIT in opened(tmp_path, hub, revision="v2")
        assert COMMIT in opened(tmp_path, hub, revision=COMMIT)
