"""Where Triton listens: Unix sockets in a folder that nobody but its owner can enter.

Triton asks nobody who they are, and whoever can call it can have it run code of theirs
(``load_model`` with a file). A port of this machine is open to each of its users; a socket is open
to those who may enter its folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from pipeline.errors import Unavailable

FOLDER = "sockets"
LONGEST = 90
"""Bytes of the folder's path: with the socket's name it has to fit into the kernel's 107."""
NUMBER = 1
"""Triton writes a port behind every address that it is given, which here is part of the name."""


def folder(state: Path) -> Path:
    """The folder of the sockets of the stack whose state is in `state`.

    It is in `state`, or where that path is too long for a socket in the folder for temporary files.
    """
    own = state.resolve() / FOLDER
    path = os.fsencode(own)
    if len(path) <= LONGEST:
        return own
    digest = hashlib.sha256(path).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"maquette-{os.getuid()}-{digest}"


def make_folder(state: Path) -> None:
    """Make :func:`folder`, without the sockets of a run before.

    Raises:
        Unavailable: somebody else made it before.
    """
    made = folder(state)
    with suppress(FileExistsError):
        made.mkdir(mode=0o700, parents=True)
    found = made.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Unavailable(f"{made} belongs to somebody else. Choose another folder with --state.")
    made.chmod(0o700)
    for left in made.iterdir():
        left.unlink()


def grpc_listen(state: Path) -> str:
    """The address that Triton's gRPC service listens on, without its number."""
    return f"unix:{quote(str(folder(state) / 'grpc'))}"


def grpc_address(state: Path) -> str:
    """The target of gRPC channels to Triton."""
    return f"{grpc_listen(state)}:{NUMBER}"


def metrics_address(state: Path) -> str:
    """Where Triton's metrics are, as ``unix:PATH``."""
    return f"unix:{folder(state) / 'metrics'}"
