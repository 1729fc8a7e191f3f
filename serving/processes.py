"""Child processes that never outlive their parent."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import Unavailable

STOP_SECONDS = 10.0


def start(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str],
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in `folder`, with its output in `log`; the previous log is kept beside it.

    It runs in a session of its own, so that Ctrl-C reaches only the parent, which then stops its
    children in order. If the parent dies without doing so, the kernel sends the child SIGTERM.

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
        log.replace(log.with_name(f"{log.stem}.previous{log.suffix}"))
    tether = [setpriv, "--pdeathsig", "TERM"]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*tether, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
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
