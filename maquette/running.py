"""What `maquette up` runs on this machine, so that the other commands find it.

Each has a file of its own in the user's state folder, and holds a lock on it while it runs.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

USUAL = "127.0.0.1:8033"
"""Where a gateway is, unless it was told otherwise."""


@dataclass(frozen=True)
class Running:
    """Where one `maquette up` is, and where it keeps things."""

    server: str
    """``host:port`` to call its gateway at from this machine."""
    keys: str
    """The file of API keys that its gateway reads."""
    logs: str
    """The gateway's and Triton's, in words."""


@contextmanager
def recorded(running: Running) -> Iterator[bool]:
    """Have :func:`found` find it for the block. Without a home that can be written, it does not.

    Yields:
        Whether it is found.
    """
    with ExitStack() as held:
        try:
            _record(running, held)
            is_found = True
        except OSError:
            is_found = False
        yield is_found


def _record(running: Running, held: ExitStack) -> None:
    _folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    path = _folder() / f"{os.getpid()}.json"
    file = held.enter_context(path.open("w", encoding="utf-8"))
    held.callback(path.unlink, missing_ok=True)
    # Before there is a word in it: what has words and no lock is left over.
    fcntl.flock(file, fcntl.LOCK_EX)
    json.dump(asdict(running), file)
    file.flush()


def found(server: str | None = None) -> list[Running]:
    """Those that a command may mean: the one at the usual address, else all that run here.

    Args:
        server: the address of the one that is meant; None where nobody said so.
    """
    running = list(_all())
    if server:
        return [one for one in running if one.server == server]
    return [one for one in running if one.server == USUAL] or running


def readers(keys: Path) -> list[str]:
    """Addresses of the gateways here that read the API keys in the file `keys`."""
    return [one.server for one in _all() if one.keys == str(keys.resolve())]


def _all() -> Iterator[Running]:
    for path in sorted(_folder().glob("*.json")):
        with suppress(OSError, ValueError, TypeError), path.open(encoding="utf-8") as file:
            text = file.read()
            if _is_held(file.fileno()):
                yield Running(**json.loads(text))
            elif text:
                path.unlink(missing_ok=True)


def _is_held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _folder() -> Path:
    """As the XDG Base Directory Specification has it."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "maquette" / "running"
