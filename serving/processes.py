"""Child processes that never outlive their parent."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.errors import Unavailable

STOP_SECONDS = 10.0
LOOK_SECONDS = 2.0
LOG_BYTES = 64 * 2**20
"""Of one file of a log; there are two of each."""


def start(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str],
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in `folder`, with its output in `log`; the previous log is kept beside it.

    It runs in a session of its own, so that Ctrl-C reaches only the parent, which then stops its
    children in order. If the parent dies without doing so, the kernel sends the child SIGTERM.
    What it writes, its log and its shared memory included, is for nobody else to read.

    Raises:
        Unavailable: setpriv, which arranges that, is not installed.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Unavailable(
            "setpriv is missing; it ends Triton when maquette dies. Install util-linux."
        )
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(previous(log))
    tether = [setpriv, "--pdeathsig", "TERM"]
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as output:
        return subprocess.Popen(
            [*tether, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            umask=0o077,
        )


def stop(process: subprocess.Popen[bytes], seconds: float = STOP_SECONDS) -> None:
    """Ask `process` to end, wait, then end whatever is left of its process group."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def previous(log: Path) -> Path:
    """Where what `log` held before is kept."""
    return log.with_name(f"{log.stem}.previous{log.suffix}")


def bound(log: Path, most: int = LOG_BYTES) -> None:
    """Begin `log`, which a process goes on writing to, anew where it is larger than `most` bytes.

    What is written between copying and emptying it is lost.
    """
    if log.exists() and log.stat().st_size > most:
        shutil.copyfile(log, previous(log))
        os.truncate(log, 0)


class StoppedChildren:
    """Kills processes of Triton's that a signal has stopped and that nobody lets go on.

    Triton does not end a model's process that stands still, nor does it start another.

    Args:
        seconds: of standing still after which one is killed; 0 never kills.
        clock: seconds that pass.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._looked = -math.inf
        self._since: dict[int, float] = {}

    def watch(self, parent: subprocess.Popen[bytes], tell: Callable[[str], None]) -> None:
        """Look at the processes that `parent` has started; called every now and then."""
        now = self._clock()
        if not self._seconds or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        self._since = {child: self._since.get(child, now) for child in stopped_children(parent)}
        for child, since in self._since.items():
            if now - since >= self._seconds:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                tell(f"A model's process stood still for {self._seconds:g} s; it is killed")


def stopped_children(process: subprocess.Popen[bytes]) -> list[int]:
    """Ids of the processes that `process` has started and a signal has stopped (state ``T``)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name before it, in brackets, may hold anything.
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            if state == "T" and int(session) == process.pid != int(stat.parent.name):
                found.append(int(stat.parent.name))
    return found
