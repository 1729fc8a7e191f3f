"""Where a checkpoint comes from: a file or folder here, or a repository on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from tqdm import tqdm

from export.checkpoints.catalog import PUBLISHED
from export.files import PackError, require_room

HUB_ID = re.compile(
    r"(?P<repository>[\w.-]+/[\w.-]+?)(?:/(?P<inside>[^@]+))?(?:@(?P<revision>[\w./-]+))?"
)
COMMIT = re.compile(r"[0-9a-f]{40}")
UNKNOWN_LICENCE = "unknown: read the checkpoint's own page"


class ShownBar(tqdm):
    """A download's bar, shown even where the bars of everything else are switched off."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"disable": False, **kwargs})


class HiddenBar(tqdm):
    """The bar of what takes no time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "disable": True})


Choose = Callable[[list[str]], Iterable[str]]
"""From the names of all files to those that are wanted; PackError where one is missing."""


@dataclass(frozen=True)
class Source:
    """A checkpoint on this machine, and where it is from."""

    path: Path
    reference: str
    revision: str | None = None
    licence: str = UNKNOWN_LICENCE

    @property
    def from_hub(self) -> bool:
        """Whether it was published on the hub."""
        return self.revision is not None


def locate(reference: str, choose: Choose) -> Source:
    """The checkpoint that `reference` names, downloaded if it is not here yet.

    Args:
        reference: a path, or ``owner/name``, ``owner/name/inside`` or either with ``@revision``.
        choose: which of the files are needed; nothing else is downloaded.

    Raises:
        PackError: there is no such thing, it cannot be reached, or there is no room for it.
    """
    path = Path(reference).expanduser()
    if path.exists():
        return Source(path, reference)
    found = HUB_ID.fullmatch(reference)
    if not found or path.is_absolute() or reference.startswith("."):
        raise PackError(
            f"{reference} is neither here nor the id of a hub repository. Give a folder, a "
            "file, or an id such as lllyasviel/control_v11p_sd15_canny."
        )
    repository, inside = found["repository"], found["inside"]
    known = PUBLISHED.get(repository)
    revision = found["revision"] or (known.revision if known else "main")
    try:
        snapshot, commit = _snapshot(repository, revision, _within(inside, choose))
    except HFValidationError as error:
        raise PackError(
            f"there is no file or folder {repository} here, and the hub has no such ids."
        ) from error
    return Source(
        snapshot / inside if inside else snapshot,
        reference.split("@", maxsplit=1)[0],
        commit,
        known.licence if known else UNKNOWN_LICENCE,
    )


def _within(inside: str | None, choose: Choose) -> Choose:
    """`choose` for the file or folder `inside` a repository."""
    if not inside:
        return choose

    def chosen(names: list[str]) -> list[str]:
        if inside in names:
            return [inside]
        prefix = f"{inside}/"
        below = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        if not below:
            raise PackError(f"the repository has no {inside}. Look at its list of files.")
        return [prefix + name for name in choose(below)]

    return chosen


def _snapshot(repository: str, revision: str, choose: Choose) -> tuple[Path, str]:
    """The folder with the chosen files of `repository`, and its commit."""
    cached = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=repository, repo_type="model"))
    if COMMIT.fullmatch(revision) and _is_whole(cached / "snapshots" / revision, choose):
        return cached / "snapshots" / revision, revision
    try:
        return _download(repository, revision, choose)
    except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise PackError(
            f"there is no file or folder {repository} here, and {repository}@{revision} cannot be "
            "had from the hub: it does not exist, or asks who you are. Check the path or the id; "
            "if it is gated, accept its terms and set HF_TOKEN."
        ) from error
    except (
        HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx2.HTTPError, OSError
    ) as error:  # fmt: skip
        # A branch that was resolved before is as good as the commit it was then.
        known = cached / "refs" / revision
        if known.is_file() and _is_whole(cached / "snapshots" / known.read_text(), choose):
            return cached / "snapshots" / known.read_text(), known.read_text()
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PackError(
            f"{repository}@{revision} is not in {constants.HF_HUB_CACHE} and the hub did not give "
            f"it ({reason}). Try again when it can be reached: what has arrived is kept; or give a "
            "folder instead."
        ) from error


def _is_whole(snapshot: Path, choose: Choose) -> bool:
    """Whether the cache has all that is wanted: a file appears there when all of it has come."""
    try:
        list(choose([path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*")]))
    except PackError:
        return False
    return snapshot.is_dir()


def _download(repository: str, revision: str, choose: Choose) -> tuple[Path, str]:
    info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
    try:
        wanted = list(choose(list(sizes)))
    except PackError as error:
        raise PackError(f"{repository}@{revision}: {error}") from error
    files = snapshot_download(
        repository, revision=revision, allow_patterns=wanted, dry_run=True, tqdm_class=HiddenBar
    )
    missing = sum(sizes[file.filename] for file in files if file.will_download)
    require_room(Path(constants.HF_HUB_CACHE), missing, repository, "HF_HOME")
    # By the name that was asked for: so the cache keeps what commit it was.
    folder = snapshot_download(
        repository, revision=revision, allow_patterns=wanted, tqdm_class=ShownBar
    )
    return Path(folder), Path(folder).name
