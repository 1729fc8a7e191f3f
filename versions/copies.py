"""A folder that is a copy of a repository in an object store.

Triton, the gateway and everything that looks at versions work on it. It is changed only by
bringing it to what the store says; changes are made in a work folder, and are in the store first.
Fetching an engine takes minutes, and what a roll-back names is here already; so files are brought
under one lock, and named under another.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from versions import aliases, configs, downloads, durable, locks, manifest
from versions.aliases import Aliases
from versions.catalogue import COPY
from versions.errors import Declined
from versions.index import TEXTS, File, Index, is_own, stored_in, texts_in
from versions.manifest import DIGITS_SHOWN, Report, silent
from versions.objects import Objects


@dataclass(frozen=True)
class Held:
    """What a copy was brought to."""

    url: str = ""
    etag: str = ""
    """Of the index in the store; empty where not all of it is here."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The sha256 of each file, by its path."""


class Copy:
    """The copy in `folder`; what it needs besides lies in a folder of that, for one volume.

    It may be behind: it then names fewer versions than the store does, and none that is not here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._beside = folder / COPY

    @contextmanager
    def locked(self, purpose: str = "names") -> Iterator[None]:
        """No other process or thread changes what the copy names meanwhile; that takes a moment.

        Args:
            purpose: ``files`` for bringing files, which takes longer, and comes first; ``work``
                for making a work folder.
        """
        self._beside.mkdir(parents=True, exist_ok=True)
        with (self._beside / f"{purpose}.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def held(self) -> Held:
        """What the copy was brought to last."""
        try:
            return Held(**json.loads((self._beside / "held.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Held()

    def lacking(self, index: Index) -> dict[str, File]:
        """The files of `index` that are not here, by their paths."""
        held = self.held().files
        return {
            path: file
            for path, file in index.files.items()
            if held.get(path) != file.sha256 or not (self.folder / path).is_file()
        }

    def fetch(
        self,
        objects: Objects,
        index: Index,
        report: Report = silent,
        near: Path | None = None,
    ) -> None:
        """Bring the files that are lacking; nothing names them yet. Hold the lock of files.

        Args:
            near: a folder that may have them.

        Raises:
            NotFound: an object is gone.
            Declined: an object is not what the index says; nothing is changed then.
            Unavailable: the store does not answer, or there is no room.
        """
        lacking = self.lacking(index)
        incoming = self._beside / "incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir()
        _fetch(objects, lacking, incoming, report, near)
        with self.locked():
            self._install(incoming, lacking)
            here = {path: file.sha256 for path, file in lacking.items()}
            self._note(Held(files={**self.held().files, **here}))
        shutil.rmtree(incoming, ignore_errors=True)

    def name(self, index: Index) -> None:
        """Name what `index` names, as far as it is here. Hold the lock of names."""
        away = {
            (str(aliases.path_of(Path(), model)), version)
            for model, version, *_ in (path.split("/") for path in self.lacking(index))
        }
        there, texts = texts_in(self.folder), dict(index.texts)
        for name in {of for of, _ in away} & set(texts):
            versions = {version for of, version in away if of == name}
            here = _as_far(aliases.from_text(texts[name]), versions)
            # As it was, for as long as the champion is not here.
            texts[name] = here or there.get(name, "")
        self._write_texts({name: text for name, text in texts.items() if text})

    def settle(self, index: Index, url: str, etag: str) -> None:
        """Be what `index` says, whose files are all here. Hold both locks.

        Readers see a version before an alias names it, and lose it after the last one has.
        """
        self._write_texts(index.texts)
        gone = set(stored_in(self.folder)) - set(index.files)
        in_use = self._in_use() if gone else set()
        used = {path for path in gone if path.rpartition("/")[0] in in_use}
        self._remove(gone - used)
        # Until those are gone as well, another look is to find that something changed.
        digests = {path: file.sha256 for path, file in index.files.items()}
        self._note(Held(url, "" if used else etag, digests))

    @contextmanager
    def staged(self, index: Index, objects: Objects, *, whole: bool) -> Iterator[Path]:
        """A work folder with what `index` says; gone after the block.

        It shares the files of versions with the copy: they never change.

        Args:
            whole: all files are here, and the lock of files is held until the folder is there.
                Otherwise manifests are fetched, and an empty file of its size stands for any other.
        """
        with self._work_folder() as folder:
            lacking = {} if whole else self.lacking(index)
            for path, file in index.files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                if path not in lacking:
                    os.link(self.folder / path, folder / path)
                elif path.endswith(f"/{manifest.FILE}"):
                    objects.download(file.key, folder / path, file.size)
                else:
                    with (folder / path).open("wb") as standing_in:
                        standing_in.truncate(file.size)
            for path, text in index.texts.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text, encoding="utf-8")
            yield folder

    @contextmanager
    def _work_folder(self) -> Iterator[Path]:
        """An empty folder that nobody else removes; gone after the block."""
        work = self._beside / "work"
        with ExitStack() as held:
            # Until it is held, another command would take it for that of one who was killed.
            with self.locked("work"):
                work.mkdir(exist_ok=True)
                _clear(work)
                folder = work / secrets.token_hex(8)
                folder.mkdir()
                held.enter_context(_alive(folder))
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            yield folder

    def _note(self, held: Held) -> None:
        durable.write_json(self._beside / "held.json", asdict(held))

    def _in_use(self) -> set[str]:
        """Folders of versions that renders in flight may need: Triton drops what has no files."""
        if not locks.is_followed(self.folder):
            return set()
        networks = ((network, configs.held(self.folder, network)) for network in aliases.VERSIONED)
        return {f"{network}/{version}" for network, held in networks for version in held}

    def _install(self, incoming: Path, paths: Collection[str]) -> None:
        """Put what came in its place; a new version's folder at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in sorted({path.rpartition("/")[0] for path in paths}):
            target = self.folder / name
            if target.exists():
                for path in (incoming / name).iterdir():
                    path.replace(target / path.name)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                (incoming / name).rename(target)
            durable.sync_folder(target.parent)

    def _write_texts(self, texts: Mapping[str, str]) -> None:
        there = texts_in(self.folder)
        changed = [name for name in TEXTS if there.get(name) != texts.get(name)]
        # A command looks at all aliases together.
        with aliases.locked_for_writing(self.folder):
            for name in changed:
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if name in texts:
                    durable.write_text(path, texts[name])
                else:
                    durable.remove(path)

    def _remove(self, paths: Collection[str]) -> None:
        for name in {path.rpartition("/")[0] for path in paths}:
            folder = self.folder / name
            gone = {path for path in paths if path.rpartition("/")[0] == name}
            if {f"{name}/{path.name}" for path in folder.iterdir()} == gone:
                # At once for whoever looks.
                aside = folder.with_name(f".{folder.name}.retired")
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)
            else:
                for path in gone:
                    (self.folder / path).unlink()


def _as_far(named: Aliases, away: Collection[str]) -> str:
    """The file of `named` without the versions that are `away`; empty where the champion is."""
    if str(named.champion) in away:
        return ""
    here = {alias: None if str(v) in away else v for alias, v in asdict(named).items()}
    return durable.json_text(here)


def copy_own_files(source: Path, target: Path) -> None:
    """Have in `target` what no store holds: Triton's Python models and configs, from `source`."""
    names = {path.relative_to(source) for path in source.glob("*/*") if path.is_file()}
    names |= {path.relative_to(source) for path in source.glob("*/*/*") if path.is_file()}
    for name in sorted(names):
        if is_own(name.as_posix()):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


def _fetch(
    objects: Objects,
    files: Mapping[str, File],
    folder: Path,
    report: Report,
    near: Path | None,
) -> None:
    """Have all of `files` in `folder`, each checked."""
    far: dict[str, File] = {}
    for path, file in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if near and (near / path).exists():
            os.link(near / path, folder / path)
        else:
            far[path] = file
    total = sum(file.size for file in far.values())
    downloads.require_room(objects.url, folder, total)
    before = 0
    for path, file in far.items():

        def told(doing: str, done: int, _size: int, before: int = before) -> None:
            report(doing, before + done, total)

        digest = objects.download(file.key, folder / path, file.size, told)
        if digest != file.sha256:
            raise Declined(
                f"{objects.url}/{file.key} is not {path} as it was published (sha256 "
                f"{digest[:DIGITS_SHOWN]}…, not {file.sha256[:DIGITS_SHOWN]}…). Restore that "
                "object, or retire the version."
            )
        before += file.size


@contextmanager
def _alive(folder: Path) -> Iterator[None]:
    """Others see that `folder` is in use. The kernel lets go for the dead."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with ExitStack() as held:
        held.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _clear(work: Path) -> None:
    """Remove the work folders of those who were killed."""
    for folder in work.iterdir():
        # Whoever is done with one removes it at any moment.
        with suppress(BlockingIOError, FileNotFoundError), _alive(folder):
            shutil.rmtree(folder, ignore_errors=True)
