"""A repository of the Hugging Face hub, fetched into the hub's own local cache, which is a folder."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from smolship.checkpoint.chat.files import FILES
from smolship.checkpoint.licence import README
from smolship.checkpoint.refused.recognised import WEIGHTS, refuse_listing
from smolship.errors import InputError
from smolship.progress import Progress, Silent

OUTLINE = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    *FILES,
    "model.safetensors.index.json",
    README,
    "adapter_config.json",
    "adapter_model.safetensors",
)
"""What says all of a model but its weights: the index has their names. An adapter's own say its vocabulary."""
FETCHED = (*OUTLINE, "model*.safetensors")
"""All that is fetched of a repository: no pickles, no code, no other formats."""


def fetch(repository: str, *, revision: str | None = None, weights: bool, progress: Progress = Silent()) -> Path:
    """The folder of a hub repository (`owner/name`) at a branch, tag or commit, in the cache, named by its commit.

    Honours `HF_HUB_OFFLINE`, `HF_HOME`, `HF_ENDPOINT` and the login of huggingface_hub; without a connection,
    what is in the cache is taken. Raises `InputError` if the repository or revision does not exist, is gated, is out of
    reach, or holds something else than a checkpoint or an adapter. Without `weights` none of a whole model are fetched.
    """
    return _snapshot(repository, revision, FETCHED if weights else OUTLINE, progress)


def _snapshot(repository: str, revision: str | None, names: tuple[str, ...], progress: Progress) -> Path:
    """The folder of the fetched files in the cache, named by the commit; `names` are patterns."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    named = f"{repository} at {revision}" if revision else repository
    try:
        listed = _listed(repository, revision)
        _require_checkpoint(named, listed, weights=names == FETCHED)
        size = None if listed is None else _download_size(listed, names)
        with _reported(repository, size, progress):
            folder = snapshot_download(
                repository, revision=revision, allow_patterns=list(names), local_files_only=size is None
            )
    except HFValidationError as error:
        raise InputError(
            f"{repository!r} is no hub id ({error}): give one such as HuggingFaceTB/SmolLM2-360M-Instruct"
        ) from error
    except GatedRepoError as error:
        raise InputError(
            f"{named} is gated on the hub, wanted one open to you: accept its terms there and run `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"{repository} is not on the hub, or private: check the spelling, or run `hf auth login` if it is yours"
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(
            f"{repository} has no revision {revision!r}: give one of its branches, tags or commits"
        ) from error
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"{named} is not in the local cache and the hub cannot be reached: connect (and unset HF_HUB_OFFLINE), "
            "or give a folder, a GGUF file or 'embedded'"
        ) from error
    except (
        OSError
    ) as error:  # connections that break and disks that fill: huggingface_hub lets both through as they are
        raise InputError(
            f"{named} could not be fetched ({_first_line(error)}): free space or connect, and run again"
        ) from error
    return Path(folder)


def _listed(repository: str, revision: str | None) -> dict[str, int] | None:
    """The repository's files and their bytes, or `None` if the hub cannot be reached and only the cache is left."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from requests.exceptions import ConnectionError as NoConnection
    from requests.exceptions import Timeout

    try:
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError):
        raise
    except (OfflineModeIsEnabled, NoConnection, Timeout, HfHubHTTPError):
        return None
    return {file.rfilename: file.size or 0 for file in info.siblings or ()}


def _require_checkpoint(named: str, listed: dict[str, int] | None, *, weights: bool) -> None:
    """`InputError` says what a repository holds that is no checkpoint, before anything of it is fetched."""
    if listed is None or {"adapter_config.json", "adapter_model.safetensors"} <= listed.keys():
        return
    if "config.json" not in listed or (weights and not WEIGHTS.intersection(listed)):
        refuse_listing(listed, named, on_hub=True)


def _download_size(listed: dict[str, int], names: tuple[str, ...]) -> int:
    return sum(size for file, size in listed.items() if any(fnmatch(file, name) for name in names))


@contextmanager
def _reported(repository: str, size: int | None, progress: Progress) -> Iterator[None]:
    """Show the cache growing as one task, in place of huggingface_hub's own bars."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if size is None:
        yield
        return
    blobs = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model") / "blobs"
    restore = not are_progress_bars_disabled()
    if restore:
        disable_progress_bars()
    done = threading.Event()
    with progress.task(f"Fetching {repository}", size) as advance:

        def watch() -> None:
            seen = 0
            while not done.wait(0.25):
                now = min(_bytes_in(blobs), size)
                advance(now - seen)
                seen = now

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            if restore:
                enable_progress_bars()


def _bytes_in(folder: Path) -> int:
    """The bytes of the files in a folder that others write into: one that goes away meanwhile counts nothing."""
    total = 0
    for file in folder.glob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _first_line(error: OSError) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
