"""API keys: a file of their hashes, which can be changed while the gateway runs."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import secrets
import string
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
)

from gateway.auth.caller import Quota, Scope
from pipeline.errors import InvalidRequest, NotFound, Unavailable, shorten
from versions import durable

PREFIX = "mqt_"
ID_LENGTH = 8
ID_LETTERS = string.ascii_letters + string.digits
SECRET_BYTES = 32
MAX_NAME = 64

log = logging.getLogger("maquette.gateway")

Stamp = tuple[int, int, int]
"""Modification time in nanoseconds, inode and size: a file that was replaced differs in one."""


def _known_limits(quota: dict[str, int]) -> dict[str, int]:
    names = {field.name for field in fields(Quota)}
    if unknown := quota.keys() - names:
        raise ValueError(f"no such limit: {', '.join(sorted(unknown))}")
    return quota


class Key(BaseModel):
    """What the file keeps of a key. The key itself was shown once, and is not kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: str = Field(min_length=1)
    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    scopes: frozenset[Scope]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    limits: Annotated[dict[str, PositiveInt], AfterValidator(_known_limits)] = {}
    """Those of its limits that differ from everybody's; names are the fields of ``Quota``."""

    @property
    def has_expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= datetime.now(UTC)

    def quota(self, default: Quota) -> Quota | None:
        """How much its holder may have; an admin is limited only where that was asked for."""
        if Scope.ADMIN in self.scopes and not self.limits:
            return None
        return replace(default, **self.limits)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    keys: list[Key] = []


class KeyStore:
    """The keys in a file: JSON, readable by its owner alone.

    Args:
        path: of the file; one that does not exist holds no keys.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp | None = None
        self._keys: dict[str, Key] | None = {}
        """None: the file that has this stamp cannot be read."""

    def find(self, key: str) -> Key | None:
        """The key that is `key`, expired or not; None when there is none, for whatever reason.

        A file that has changed is read again, so that a revoked key is refused at once.

        Raises:
            Unavailable: the file is damaged; nobody gets in, and the log says why.
        """
        keys = self._current()
        if keys is None:
            raise Unavailable("The gateway cannot read its API keys; its log says why.")
        known = keys.get(key.removeprefix(PREFIX).partition("_")[0])
        expected = known.sha256 if known else "0" * 64
        return known if hmac.compare_digest(expected, _digest(key)) else None

    def all(self) -> list[Key]:
        """All of them, the oldest first.

        Raises:
            Unavailable: the file is damaged.
        """
        try:
            return self._read()
        except (OSError, ValueError) as error:
            raise Unavailable(_unreadable(self._path, error)) from error

    def create(
        self,
        name: str,
        scopes: Collection[Scope],
        lifetime: timedelta | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> tuple[Key, str]:
        """Make a key.

        Args:
            name: for people, to tell keys apart.
            lifetime: after which it is refused; None: never.
            limits: those that differ from everybody's.

        Returns:
            What is kept of it, and the key itself.

        Raises:
            InvalidRequest: the name is empty, too long, or cannot be shown.
            Unavailable: the file is damaged or cannot be written.
        """
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            allowed = f"1 to {MAX_NAME} printable characters"
            raise InvalidRequest("NAME", name, allowed, "Say who will use the key.")
        with self._changing():
            keys = self.all()
            identity = _new_id({key.id for key in keys})
            secret = f"{PREFIX}{identity}_{secrets.token_urlsafe(SECRET_BYTES)}"
            now = datetime.now(UTC).replace(microsecond=0)
            key = Key(
                id=identity,
                name=name,
                sha256=_digest(secret),
                scopes=frozenset(scopes),
                created=now,
                expires=now + lifetime if lifetime else None,
                limits=dict(limits or {}),
            )
            self._write([*keys, key])
        return key, secret

    def revoke(self, identity: str) -> Key:
        """Remove the key `identity`; whoever holds it is refused from the next call on.

        Raises:
            NotFound: there is no such key.
            Unavailable: the file is damaged or cannot be written.
        """
        with self._changing():
            keys = {key.id: key for key in self.all()}
            if identity not in keys:
                raise NotFound(
                    f"There is no key {shorten(identity)} in {self._path}. "
                    "`maquette keys list` shows those there are."
                )
            revoked = keys.pop(identity)
            self._write(list(keys.values()))
        return revoked

    def _current(self) -> dict[str, Key] | None:
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._keys = {key.id: key for key in self._read()}
            except (OSError, ValueError) as error:
                log.error("%s Every API key is refused until then.", _unreadable(self._path, error))
                self._keys = None
        return self._keys

    def _read(self) -> list[Key]:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return []
        return _File.model_validate_json(text).keys

    def _write(self, keys: list[Key]) -> None:
        text = _File(keys=keys).model_dump_json(indent=2, exclude_defaults=True)
        with durable.replacing(self._path, 0o600) as file:
            file.write(text.encode() + b"\n")
            self._keep_owner(file.fileno())

    def _keep_owner(self, descriptor: int) -> None:
        """What root changes for a gateway that is not root stays the gateway's to read."""
        if os.geteuid() == 0:
            like = (self._path if self._path.exists() else self._path.parent).stat()
            os.fchown(descriptor, like.st_uid, like.st_gid)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One change at a time. The folder is locked, as the file itself is replaced."""
        try:
            self._path.parent.mkdir(0o700, parents=True, exist_ok=True)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                yield
            finally:
                os.close(folder)
        except OSError as error:
            raise Unavailable(
                f"{self._path} cannot be changed: {error.strerror}. Its keys are as they were. "
                "See that there is room on its disk, and that this user may write there."
            ) from error


def _digest(key: str) -> str:
    # A slow hash protects secrets that can be guessed; a key has 256 random bits.
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def _new_id(taken: Collection[str]) -> str:
    identity = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
    return _new_id(taken) if identity in taken else identity


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        # Cannot even be looked at; a stamp of its own, so that the reason is logged once.
        return (-1, -1, error.errno or 0)
    return status.st_mtime_ns, status.st_ino, status.st_size


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where}: {first['msg']}" if where else first["msg"]
    else:
        reason = str(error)
    return f"{path} cannot be read as a file of API keys ({reason}). Restore or remove it."
