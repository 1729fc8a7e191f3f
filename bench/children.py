"""A process of its own for what is measured beside the stack, so that it has no company."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from pipeline.errors import Unavailable

DIED = "A process that was measured beside the stack died."
SPAWN = multiprocessing.get_context("spawn")

Answer = Callable[..., Any]


class Child:
    """A process that answers calls, one at a time. Made by :func:`child`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __call__(self, *arguments: Any) -> Any:
        """What it answers to `arguments`.

        Raises:
            Unavailable: it failed; says why.
        """
        try:
            self._connection.send(arguments)
        except ConnectionError as error:
            raise Unavailable(DIED) from error
        return self.answer()

    def answer(self) -> Any:
        """What it says next."""
        try:
            failed, value = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise Unavailable(DIED) from error
        if failed:
            raise Unavailable(value)
        return value


@contextmanager
def child(make: Callable[..., Answer], *arguments: Any) -> Iterator[Child]:
    """A process in which `make` (``make(*arguments)``) has made what answers; it ends with us."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=_answer, args=(theirs, make, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        made = Child(ours)
        made.answer()
        yield made
    finally:
        ours.close()
        process.kill()
        process.join()


def _answer(connection: Connection, make: Callable[..., Answer], arguments: Any) -> None:
    # Ctrl-C is for the parent, which then closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answer = make(*arguments)
        connection.send((False, None))
        while True:
            connection.send((False, answer(*connection.recv())))
    except (EOFError, ConnectionError):
        return  # The parent has ended, or has closed the pipe.
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent has to tell it
        connection.send((True, f"{type(error).__name__}: {error}"))
