"""A model repository, wherever it lies: a folder, or an object store that a folder is a copy of."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from pipeline.errors import MaquetteError, NotFound, Unavailable
from versions import changes, fetching, history, operations
from versions.catalogue import members
from versions.changes import Outcome
from versions.copies import Copy
from versions.errors import Busy, Declined, disk_refuses
from versions.index import (
    KEY,
    File,
    Index,
    from_bytes,
    is_key,
    links_in,
    new_key,
    stored_in,
    texts_in,
)
from versions.manifest import Report, silent
from versions.objects import Changed, Objects

TRIES = 5
"""For what is done anew when somebody else was quicker."""
ABANDONED = timedelta(days=1)
"""Longer than any publish takes: what nothing names by then never will be."""

Result = TypeVar("Result")


class LocalRepository:
    """A repository that is a folder on this machine.

    Its `folder` is what Triton loads, and what ``versions`` reads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def pull(self, report: Report = silent) -> None:
        """Do nothing: the folder is the repository."""

    def sync_aliases(self) -> None:
        """Do nothing, likewise."""

    def change(self, do: Callable[[Path], Result], **_how: object) -> Result:
        """Do what changes versions to the folder; operations themselves keep others out."""
        return do(self.folder)


class ObjectStoreRepository:
    """A repository in an object store, and the folder that is its copy.

    Args:
        url: ``s3://bucket/prefix``.
        folder: for the copy; one process or many may use it.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self._objects = Objects(url)
        self.url = self._objects.url
        self._copy = Copy(folder)

    def pull(self, report: Report = silent) -> None:
        """Bring the copy to what the store says; what did not change is not fetched.

        Raises:
            NotFound: there is no repository.
            Declined: what is there is not whole; the folder stays as it was.
            Unavailable: it cannot be reached.
        """
        with _told(self.folder), self._copy.locked("files"):
            if self._look(unless=self._known()):
                self._bring(report)

    @property
    def is_whole(self) -> bool:
        """Whether the copy was brought to what the store said at some time, with all files."""
        return bool(self._known())

    def sync_aliases(self) -> None:
        """Have the copy name what the store does, as far as it is here."""
        with _told(self.folder), self._copy.locked():
            found = self._look(unless=self._known())
            if found:
                self._copy.name(found[0])

    def change(
        self,
        do: Callable[[Path], Result],
        *,
        dry_run: bool = False,
        patient: bool = False,
        whole: bool = False,
        report: Report = silent,
    ) -> Result:
        """Change versions in a work folder, send what is new, put it in force with one write.

        Args:
            do: an operation; it may be done more than once, each time from anew.
            dry_run: it changes nothing.
            patient: done anew where another change came first; otherwise that is Busy.
            whole: it runs engines, so they have to be here.

        Raises:
            Busy: another change came first.
            Unavailable: the repository cannot be reached.
        """
        sent: dict[str, File] = {}
        quicker: Index | None = None
        for _ in range(TRIES if patient else 1):
            with _told(self.folder), self._work(report, whole=whole) as (before, etag, work):
                result = do(work)
                if dry_run:
                    return result
                after = self._send(before, work, sent, report)
                quicker = None if after.same(before) else self._commit(after, etag)
                if quicker is None:
                    self._tidy(before, after, work if whole else None)
                    return result
        assert quicker  # noqa: S101 - or it would have ended
        raise Busy(f"{_last_change(quicker)}. Look at `maquette models list`, and decide anew.")

    def fill(self, source: Path, who: str, report: Report = silent) -> int:
        """Put the repository in the folder `source` into a store that has none; gives its bytes.

        Raises:
            NotFound: `source` is no exported repository.
            Declined: something lies in the store already, a file of `source` is a link, or its
                export did not finish.
            Unavailable: the store does not answer, or does not keep two writers apart.
        """
        with _told(source), changes.operation(source, who, f"upload to {self.url}", dry_run=False):
            if links := list(links_in(source)):
                raise Declined(
                    f"{source / links[0]} is a link, which no store keeps. Put the file there."
                )
            if not any(stored_in(source)):
                raise NotFound(f"{source} holds no engines. Give a folder that was exported to.")
            changes.require_finished(source)
            # What an upload left that was cut short does no harm.
            if any(not is_key(found.key) for found in self._objects.list()):
                raise Declined(f"{self.url} is not empty. Give another prefix.")
            self._require_conditions()
            index = self._send(Index({}, {}), source, {}, report)
            try:
                self._objects.write(KEY, index.to_bytes())
            except Changed as error:
                raise Declined(f"{self.url} was filled by somebody else meanwhile.") from error
            return sum(file.size for file in index.files.values())

    @contextmanager
    def _work(self, report: Report, *, whole: bool) -> Iterator[tuple[Index, str, Path]]:
        """What is there now, its ETag, and a folder to change it in."""
        with ExitStack() as held:
            with self._copy.locked("files") if whole else nullcontext():
                before, etag = self._bring(report) if whole else self._read()
                staged = self._copy.staged(before, self._objects, whole=whole)
                work = held.enter_context(staged)
            yield before, etag, work

    def _known(self) -> str:
        """The ETag of what all of the copy is."""
        held = self._copy.held()
        return held.etag if held.url == self.url else ""

    def _read(self) -> tuple[Index, str]:
        found = self._look()
        assert found  # noqa: S101 - it is asked for whatever it is
        return found

    def _look(self, unless: str = "") -> tuple[Index, str] | None:
        """The index and its ETag; None while that is `unless`."""
        try:
            found = self._objects.read(KEY, unless)
        except NotFound as error:
            raise NotFound(
                f"{self.url} holds no repository. `maquette models upload FOLDER --repository "
                f"{self.url}` puts one there."
            ) from error
        return (from_bytes(found.data, f"{self.url}/{KEY}"), found.etag) if found else None

    def _bring(self, report: Report, near: Path | None = None) -> tuple[Index, str]:
        """Bring the copy to what the store says; gives that. Hold the lock of files."""
        index, _ = self._read()
        while True:
            gone: NotFound | None = None
            try:
                self._copy.fetch(self._objects, index, report, near)
            except NotFound as error:
                # It may have been retired meanwhile.
                gone = error
            with self._copy.locked():
                newest, etag = self._read()
                if newest.commit == index.commit and gone is None:
                    self._copy.settle(index, self.url, etag)
                    return index, etag
            if newest.commit == index.commit:
                raise Declined(
                    f"{self.url} is not whole: {gone} Restore it, or retire the version."
                ) from gone
            index = newest

    def _send(self, before: Index, work: Path, sent: dict[str, File], report: Report) -> Index:
        """What `work` holds, with the files in the store that `before` had not.

        Args:
            sent: files that were sent already, by their sha256; grows.

        Raises:
            Unavailable: something is missing that nobody retired.
        """
        files = {}
        for path in stored_in(work):
            known = before.files.get(path)
            files[path] = known or self._sent(path, work / path, sent, report)
        after = Index(files, texts_in(work))
        _require_kept(before, after, work)
        return after

    def _sent(self, path: str, file: Path, sent: dict[str, File], report: Report) -> File:
        with file.open("rb") as reading:
            digest = hashlib.file_digest(reading, "sha256").hexdigest()
        if digest not in sent:
            key = new_key(path)
            if self._objects.upload(file, key, report) != digest:
                raise Unavailable(f"{file} changed while it was sent; nothing is changed.")
            sent[digest] = File(key, digest, file.stat().st_size)
        return sent[digest]

    def _commit(self, after: Index, etag: str) -> Index | None:
        """Put `after` in force; gives the index that came first, if one did."""
        try:
            self._objects.write(KEY, after.to_bytes(), instead_of=etag)
        except (Changed, Unavailable) as error:
            # The answer to a write that was done may have been lost.
            found, _ = self._read()
            if found.commit == after.commit:
                return None
            if isinstance(error, Unavailable):
                raise
            return found
        return None

    def _tidy(self, before: Index, after: Index, near: Path | None) -> None:
        """What comes after a change; where it fails, the next look or change makes up for it."""
        with suppress(MaquetteError, OSError):
            if before.files.keys() != after.files.keys():
                self._sweep(before, after)
            self.sync_aliases()
            if near:
                with self._copy.locked("files"):
                    self._bring(silent, near)
            elif not self._copy.lacking(after):
                self.pull()

    def _sweep(self, before: Index, after: Index) -> None:
        """Remove the objects of what was retired, and of what was sent and never put in force."""
        named = {file.key for file in after.files.values()}
        gone = {file.key for file in before.files.values()} - named
        there = list(self._objects.list())
        now = max(found.modified for found in there)
        left = {found.key for found in there if now - found.modified > ABANDONED}
        self._objects.delete(gone | {key for key in left - named if is_key(key)})

    def _require_conditions(self) -> None:
        """See that the store refuses to replace an object that is another one by now.

        Raises:
            Unavailable: it does not.
        """
        key = new_key("upload/0/probe")
        self._objects.write(key, b"")
        try:
            for etag in ("", '"0"'):
                with suppress(Changed):
                    self._objects.write(key, b"", instead_of=etag)
                    raise Unavailable(
                        f"The store of {self.url} replaces objects unconditionally (it knows no "
                        "If-Match or If-None-Match), so two operators would spoil each other's "
                        "work. Take another store."
                    )
        finally:
            self._objects.delete([key])


Repository = LocalRepository | ObjectStoreRepository
"""Where versions are looked at and changed."""


def opened(location: str | Path, folder: Path | None = None) -> Repository:
    """The repository at `location`, a folder or ``s3://bucket/prefix``.

    Args:
        folder: for the copy of a store; one in the user's cache otherwise.

    Raises:
        InvalidRequest: it is an address, but of no bucket.
    """
    if isinstance(location, str) and fetching.is_elsewhere(location):
        return ObjectStoreRepository(location, folder or _cache(location))
    return LocalRepository(Path(location))


def publish(
    repository: Repository,
    model: str,
    source: str,
    *,
    who: str,
    why: str = "",
    dry_run: bool = False,
    report: Report = silent,
) -> Outcome:
    """Publish from wherever `source` is; see ``versions.operations.publish``.

    Args:
        source: as in :func:`versions.fetching.fetched`. The history keeps an address.
    """
    members(model)
    source = fetching.resolved(source)
    origin = source if fetching.is_elsewhere(source) else ""
    with _told(Path(tempfile.gettempdir())), fetching.fetched(source, report) as folder:
        return repository.change(
            lambda into: operations.publish(
                into, model, folder, who=who, why=why, origin=origin, dry_run=dry_run, report=report
            ),
            dry_run=dry_run,
            patient=True,
            whole=True,
            report=report,
        )


def _cache(url: str) -> Path:
    """A folder for the copy of `url` that commands of one user share."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # Buckets of two servers may have one name.
    place = f"{os.environ.get('AWS_ENDPOINT_URL', '')} {url}"
    return home / "maquette" / hashlib.sha256(place.encode()).hexdigest()[:16]


def _require_kept(before: Index, after: Index, work: Path) -> None:
    """See that only files of retired versions are gone; a folder may vanish under its user.

    Raises:
        Unavailable: something else is gone.
    """
    gone = {path.rpartition("/")[0] for path in before.files.keys() - after.files.keys()}
    if gone - _retired(work) or before.texts.keys() - after.texts.keys():
        raise Unavailable(f"{work} was taken away meanwhile; nothing is changed. Try again.")


def _retired(work: Path) -> set[str]:
    """The folders of all versions that were ever retired; no number is given again."""
    return {
        f"{name}/{entry.from_version}"
        for entry in history.read(work)
        if entry.action == "retire"
        for name in members(entry.model)
    }


def _last_change(index: Index) -> str:
    """Who changed what last, for who came second."""
    lines = index.texts.get(history.FILE, "").splitlines()
    try:
        entry = history.Entry.from_dict(json.loads(lines[-1]))
    except (IndexError, TypeError, ValueError, AttributeError):
        # There is none, or a newer maquette wrote it.
        return "Somebody else changed versions meanwhile"
    return f"{entry.who} was quicker with {entry.action} of {entry.model}, at {entry.time}"


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What the disk refuses is one sentence."""
    try:
        yield
    except OSError as error:
        raise disk_refuses(error, folder) from error
