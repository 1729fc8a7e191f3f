"""Objects in an S3-compatible store.

Where it is and who asks say the usual variables: ``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION`` and so on. Nobody looks for credentials elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore.store import S3Store

from pipeline.errors import InvalidRequest, NotFound, Unavailable
from versions import downloads
from versions.manifest import Report, silent

if TYPE_CHECKING:
    from obstore import GetOptions, UpdateVersion
    from obstore.store import ClientConfig, RetryConfig

SCHEME = "s3://"
# An endpoint that is written with http:// means it.
CLIENT: ClientConfig = {"connect_timeout": "5s", "timeout": "60s", "allow_http": True}
RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
CHUNK = 8 << 20
"""Bytes that are asked for or sent together."""
SENT_TOGETHER = 2
"""Parts on their way at a time: on a slow line more would not be through before the timeout."""
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
    "AWS_SKIP_SIGNATURE",
)
"""Each says who asks, or where to find that out."""
TIMES = re.compile(r" in [0-9.]+[nµm]?s(?:, after [^-]*[^ -])?")
"""How long it took, so that what goes wrong twice is told in the same words."""
SHOWN = 200
"""Characters of what the store's library says."""


class Changed(Exception):
    """The object is another one by now."""


@dataclass(frozen=True)
class Listed:
    """An object, without what is in it."""

    key: str
    """Below the prefix."""
    size: int
    modified: datetime


@dataclass(frozen=True)
class Object:
    """A small object as it was read."""

    data: bytes
    etag: str


class Objects:
    """Objects below a prefix of a bucket. Every method raises Unavailable when the store fails.

    Args:
        url: ``s3://bucket/prefix``.

    Raises:
        InvalidRequest: `url` names no bucket.
        Unavailable: the environment's settings for it are wrong, or do not say who asks.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        # Whoever writes how they sign in before the bucket has a colon there.
        plain = not (parts.query or parts.fragment or set("@:") & set(parts.netloc))
        if parts.scheme != "s3" or not parts.netloc or not plain:
            raise InvalidRequest("store", discreet(url), "s3://bucket/prefix", "Name a bucket.")
        self.url = url.rstrip("/")
        # Without any the library would ask the cloud's metadata address, as whom this machine is.
        if not any(map(os.environ.get, CREDENTIALS)):
            raise Unavailable(
                f"{self.url} cannot be used without credentials. Set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY (AWS_SKIP_SIGNATURE=true for a public bucket; "
                "AWS_METADATA_ENDPOINT=http://169.254.169.254 for those of the machine)."
            )
        with self._told():
            self._store = S3Store(
                parts.netloc,
                prefix=parts.path.strip("/") or None,
                client_options=CLIENT,
                retry_config=RETRIES,
            )

    def read(self, key: str, unless: str = "") -> Object | None:
        """The object at `key`; None while it is the one with the ETag `unless`.

        Raises:
            NotFound: there is none.
        """
        with self._told():
            try:
                changed: GetOptions = {"if_none_match": unless} if unless else {}
                found = obstore.get(self._store, key, options=changed)
                return Object(bytes(found.bytes()), found.meta["e_tag"] or "")
            except exceptions.NotModifiedError:
                return None

    def write(self, key: str, data: bytes, instead_of: str = "") -> str:
        """Put `data` at `key` in place of the object with the ETag `instead_of`; gives the new one.

        Args:
            instead_of: where it is empty, there must be none.

        Raises:
            Changed: another object is there by now.
        """
        with self._told():
            try:
                there: UpdateVersion = {"e_tag": instead_of}
                done = obstore.put(self._store, key, data, mode=there if instead_of else "create")
                return done["e_tag"] or ""
            except (exceptions.PreconditionError, exceptions.AlreadyExistsError) as error:
                raise Changed from error

    def upload(self, path: Path, key: str, report: Report = silent) -> str:
        """Put the file at `path` at `key`; gives its sha256 as it went."""
        digest = sha256()
        size = path.stat().st_size

        def parts() -> Iterator[bytes]:
            done = 0
            with path.open("rb") as file:
                while part := file.read(CHUNK):
                    digest.update(part)
                    yield part
                    done += len(part)
                    report(f"sending {path.name}", done, size)

        with self._told():
            obstore.put(
                self._store,
                key,
                parts() if size else b"",
                chunk_size=CHUNK,
                max_concurrency=SENT_TOGETHER,
            )
        return digest.hexdigest()

    def download(self, key: str, path: Path, size: int, report: Report = silent) -> str:
        """Write the object of `size` bytes at `key` to `path`; gives its sha256.

        Raises:
            NotFound: there is none.
        """
        digest = sha256()
        with path.open("wb") as file:
            for start in range(0, size, CHUNK):
                end = min(start + CHUNK, size)
                with self._told():
                    part = obstore.get_range(self._store, key, start=start, end=end)
                digest.update(part)
                file.write(part)
                report(f"fetching {path.name}", end, size)
            file.flush()
            os.fsync(file.fileno())
        return digest.hexdigest()

    def list(self) -> Iterator[Listed]:
        """Every object there is, but for those that the stores' consoles make for folders."""
        with self._told():
            found = [
                Listed(each["path"], each["size"], each["last_modified"])
                for page in obstore.list(self._store)
                for each in page
            ]
        folders = {parent for each in found for parent in PurePosixPath(each.key).parents}
        for each in found:
            if each.size or (each.key and PurePosixPath(each.key) not in folders):
                yield each

    def delete(self, keys: Iterable[str]) -> None:
        """Remove the objects at `keys`; one that is gone is no mistake."""
        if paths := list(keys):
            with self._told():
                obstore.delete(self._store, paths)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the store's library raises is one sentence, without a word of how one signs in."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(f"{self.url} has no such object, or there is no such bucket.") from error
        except exceptions.BaseError as error:
            words = " ".join(TIMES.sub("", str(error).split("\n\n")[0]).split())[:SHOWN]
            raise Unavailable(
                f"{self.url} cannot be used ({words}). See that it is there, that AWS_ENDPOINT_URL "
                "names its server, and that AWS_ACCESS_KEY_ID may read and write it."
            ) from error


def discreet(url: str) -> str:
    """`url` to be shown: without how one signs in, which stands before an ``@``."""
    return re.sub("//.*@", "//…@", url)


def download(url: str, folder: Path, report: Report = silent) -> None:
    """Write every object below `url` into `folder`.

    Raises:
        InvalidRequest: `url` names no bucket, or an object's key leads out of `folder`.
        NotFound: there is none.
        Unavailable: the store does not answer, or there is no room.
    """
    objects = Objects(url)
    sizes = {found.key: found.size for found in objects.list()}
    for key, path in downloads.planned(url, folder, sizes).items():
        objects.download(key, path, sizes[key], report)
