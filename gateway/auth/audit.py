"""The audit log: who did what, one JSON object per line."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from gateway.auth.caller import Caller
from pipeline.errors import Unavailable

log = logging.getLogger("maquette.gateway")


class Audit:
    """Appends to a file that only its owner reads.

    A gateway whose log cannot be opened does not start. A line that cannot be written later is an
    error in the gateway's own log, and counted in `lost`; calls go on, because a full disk should
    not stop the studio. A file that was moved away is made anew: rotate it with logrotate.

    Args:
        path: of the file.
        request_id: tells the id of the request that is being served.
        prompts: whether prompts are written; otherwise their sha256 is, which tells whether two
            are the same, and does not hide one from somebody who guesses it.

    Raises:
        Unavailable: the file cannot be opened.
    """

    def __init__(
        self, path: Path, request_id: Callable[[], str] = str, *, prompts: bool = False
    ) -> None:
        self._path = path
        self._request_id = request_id
        self._prompts = prompts
        self._failing = False
        self.lost = 0
        """Lines that could not be written."""
        try:
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            self._file = self._open()
        except OSError as error:
            raise Unavailable(f"The audit log {path} cannot be opened: {error}.") from error

    def record(
        self,
        caller: Caller,
        action: str,
        *,
        ids: Mapping[str, str],
        outcome: str,
        prompt: str = "",
    ) -> None:
        """Write a line; never raises.

        Args:
            action: such as ``render``, ``cancel`` or ``add_style``.
            ids: of what it was done to, by kind.
            outcome: how it ended.
            prompt: what was asked for, if anything.
        """
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "caller": caller.id,
            "action": action,
            "ids": dict(ids),
            "outcome": outcome,
            "request_id": self._request_id(),
        }
        if prompt:
            line |= {"prompt": prompt} if self._prompts else {"prompt_sha256": _sha256(prompt)}
        try:
            self._write(json.dumps(line).encode() + b"\n")
            self._failing = False
        except OSError as error:
            self.lost += 1
            # Once, and not for every line while the disk is full.
            if not self._failing:
                log.error("the audit log %s cannot be written: %s", self._path, error)
            self._failing = True

    def close(self) -> None:
        """Close the file; what comes after is lost."""
        # Never the old number again: another file may have it by then.
        file, self._file = self._file, -1
        os.close(file)

    def _write(self, line: bytes) -> None:
        if self._was_moved():
            file = self._open()
            os.close(self._file)
            self._file = file
        # A single write to a file opened for appending: lines of two gateways do not mix. What was
        # cut short by a full disk keeps a line of its own.
        line = b"\n" + line if self._is_torn() else line
        if os.write(self._file, line) < len(line):
            raise OSError("only a part of a line was written")

    def _is_torn(self) -> bool:
        size = os.fstat(self._file).st_size
        return size > 0 and os.pread(self._file, 1, size - 1) != b"\n"

    def _was_moved(self) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return True

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _sha256(prompt: str) -> str:
    return hashlib.sha256(prompt.encode(errors="replace")).hexdigest()
