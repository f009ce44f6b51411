"""The C++ program of docs/how-to/executorch.md: compiled by the page's command, and run on pages of 4 and of 16 KB."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from tiny import write_tiny_checkpoint

from smolship.checkpoint import Checkpoint, open_checkpoint
from smolship.export.executorch import pack
from smolship.export.executorch.pack import PROMPT_CHUNK
from smolship.export.executorch.program import PteFile
from smolship.export.executorch.size import ALIGNMENT
from smolship.quantize import quantize
from smolship.runtime_checks.probe.backend_executorch import Backend

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "executorch.md").read_text(encoding="utf-8")
CONTEXT = PROMPT_CHUNK + 32
TOKENS = [int(t) for t in np.random.default_rng(5).integers(0, 320, CONTEXT)]
LARGE_PAGE = 16384
NEEDED = 16
"""bytes: the `force_align` of ExecuTorch's program.fbs, and the `alignof(std::max_align_t)` of its program.cpp"""

LARGE_PAGES = r"""
// A system with pages of 16 KB, as far as a loader of files can tell: what it maps begins and ends at such a page, and
// what a kernel with such pages refuses ends the process.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 16384ul
#define NEXT(name) ((__typeof__(name)*)dlsym(RTLD_NEXT, #name))

static int mapped, unmapped;

__attribute__((destructor)) static void report(void) { fprintf(stderr, "mapped %d unmapped %d\n", mapped, unmapped); }

long sysconf(int name) { return name == _SC_PAGESIZE ? (long)PAGE : NEXT(sysconf)(name); }

void* mmap(void* where, size_t size, int protection, int flags, int file, off_t offset) {
    if (where || file < 0) return NEXT(mmap)(where, size, protection, flags, file, offset);
    if (offset % PAGE) abort();
    ++mapped;
    const size_t whole = (size + PAGE - 1) / PAGE * PAGE;
    char* room = NEXT(mmap)(NULL, whole + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return MAP_FAILED;
    char* start = room + (PAGE - (size_t)room % PAGE) % PAGE;
    if (start > room) NEXT(munmap)(room, start - room);
    NEXT(munmap)(start + whole, room + PAGE - start);
    return NEXT(mmap)(start, size, protection, flags | MAP_FIXED, file, offset);
}

int munmap(void* start, size_t size) {
    if ((size_t)start % PAGE) abort();
    ++unmapped;
    return NEXT(munmap)(start, size);
}
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(write_tiny_checkpoint(tmp_path_factory.mktemp("one") / "c", num_hidden_layers=1)))


@pytest.fixture(scope="module")
def folder(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one layer in 4 bits."""
    place = tmp_path_factory.mktemp("packed")
    pack(quantize(checkpoint, "q4", ("executorch",)), place, CONTEXT)
    return place


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page's command compiles, with every warning on top."""
    command = re.search(r"^    (ET=.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert command is not None
    place = tmp_path_factory.mktemp("compiled")
    (place / "build").mkdir()
    (place / "docs").symlink_to(ROOT / "docs")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    strict = command[1].replace("g++ ", "g++ -Wall -Wextra -Werror ").replace("-I", "-isystem")
    subprocess.run(["bash", "-euc", strict], cwd=place, env=os.environ | {"PATH": path}, check=True)
    return place / "build" / "executorch_generate"


@pytest.fixture(scope="module")
def backend(folder: Path) -> Backend:
    return Backend(str(folder), CONTEXT, 2)


def run(program: Path, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | more)


def generated(program: Path, folder: Path, limit: int, prompt: Iterable[int]) -> list[int]:
    done = run(program, folder / "model.pte", limit, *prompt)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.splitlines()]


def greedy(backend: Backend, limit: int, prompt: list[int], end: int) -> list[int]:
    """The most likely tokens, until `end`, `limit` or the end of the cache; each is in the cache when it is known."""
    answer, logits = list[int](), backend.prefill(prompt)
    while len(answer) < limit and (token := int(logits.argmax())) != end:
        answer.append(token)
        if len(prompt) + len(answer) > CONTEXT:
            break
        logits = backend.decode(token)
    return answer


@pytest.mark.parametrize("count", [1, 7, PROMPT_CHUNK, PROMPT_CHUNK + 3])
def test_it_generates_what_our_own_runner_does(program: Path, folder: Path, backend: Backend, count: int) -> None:
    wanted = greedy(backend, 12, TOKENS[:count], end=-1)
    assert len(set(wanted)) > 1
    assert generated(program, folder, 12, TOKENS[:count]) == wanted


def test_it_stops_at_the_token_that_ends_an_answer(
    program: Path, folder: Path, backend: Backend, checkpoint: Checkpoint
) -> None:
    end = checkpoint.architecture.eos_id
    answers = ((prompt, greedy(backend, 9, prompt, end)) for first in range(320) for prompt in ([first, 5], [first]))
    prompt, wanted = next((prompt, answer) for prompt, answer in answers if 0 < len(answer) < 9)
    assert generated(program, folder, 9, prompt) == wanted


def test_it_stops_when_the_cache_is_full(program: Path, folder: Path, backend: Backend) -> None:
    wanted = greedy(backend, 9, TOKENS[:-2], end=-1)
    assert len(wanted) == 3
    assert generated(program, folder, 9, TOKENS[:-2]) == wanted


def test_what_it_cannot_do_is_an_error(program: Path, folder: Path) -> None:
    for words, complaint in (
        ((folder / "model.pte", 1, *TOKENS, 1), f"prompts of 1 to {CONTEXT} tokens"),
        ((folder / "nothing.pte", 1, 1), "get_max_seq_len: Error::AccessFailed"),
        ((folder / "model.pte", 1), "usage: "),
    ):
        done = run(program, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert complaint in done.stderr


def test_segments_are_aligned_wherever_a_page_begins(folder: Path) -> None:
    """A loader maps whole pages and adds what it rounded off: an address keeps its offset's remainder."""
    pte = PteFile((folder / "model.pte").read_bytes())
    places = [pte.base + segment.offset for segment in pte.segments]
    assert LARGE_PAGE % ALIGNMENT == ALIGNMENT % NEEDED == 0
    assert not [place for place in places if place % NEEDED]
    assert len([place for place in places if place % ALIGNMENT]) <= 1  # the head's, which lies in the constants
    assert len({place // LARGE_PAGE for place in places}) < len(places)  # some share a page


def test_it_runs_on_pages_of_16_kb(program: Path, folder: Path, backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "pages.c").write_text(LARGE_PAGES)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", "pages.so", "pages.c", "-ldl"], cwd=tmp_path, check=True)
    done = run(program, folder / "model.pte", 12, *TOKENS[:7], LD_PRELOAD=str(tmp_path / "pages.so"))
    assert [int(line) for line in done.stdout.splitlines()] == greedy(backend, 12, TOKENS[:7], end=-1), done.stderr
    counted = re.search(r"mapped (\d+) unmapped (\d+)", done.stderr)
    assert counted is not None
    mapped, unmapped = map(int, counted.groups())
    assert mapped >= len(PteFile((folder / "model.pte").read_bytes()).segments)
    assert unmapped >= mapped - 2
