"""Keeps a server running: starts it again when it ends or hangs, gives up when that is no use."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from pipeline.errors import Unavailable

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
CALM_SECONDS = 60.0
MAX_TRIES = 5
ASK_SECONDS = 1.0
"""Between questions to a server that runs whether it is alive."""


class Run(Protocol):
    """A server from one start to its end."""

    def ended(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""

    def is_ready(self) -> bool:
        """Whether it answers. Takes a second at most."""

    def is_alive(self) -> bool:
        """Whether it works on what it is asked, however much that is. Takes a second at most."""

    def reason(self) -> str:
        """Why it ended or does not answer, as far as its log tells."""

    def stop(self, *, at_once: bool = False) -> None:
        """End it with all that it started, and take away what it leaves.

        Args:
            at_once: do not wait for it to end by itself, which one that hangs never does.
        """


AnyRun = TypeVar("AnyRun", bound=Run)


class Backoff:
    """How long to wait before the next start: twice as long each time, until it has run a while."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE

    def next(self, ran_seconds: float) -> float:
        """Seconds to wait now that the server has ended after `ran_seconds`."""
        pause = FIRST_PAUSE if ran_seconds >= CALM_SECONDS else self._pause
        self._pause = min(pause * 2, LONGEST_PAUSE)
        return pause


class Supervised(Generic[AnyRun]):
    """A server that is started again whenever it ends or hangs.

    Nothing here waits, so that several are watched in turn and an interrupt finds no one half-way.

    Args:
        name: for the sentences about it.
        first: its first run, which is ready.
        start: begins another run, and does not wait until it is ready.
        patience: seconds that a run may take until it is ready.
        hang_seconds: of silence after which a run hangs; 0 waits for ever.
        clock: seconds that pass.
    """

    def __init__(
        self,
        name: str,
        first: AnyRun,
        start: Callable[[], AnyRun],
        patience: float,
        hang_seconds: float = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run = first
        self._name = name
        self._start = start
        self._patience = patience
        self._hang_seconds = hang_seconds
        self._clock = clock
        self._backoff = Backoff()
        self._began = clock()
        self._due: float | None = None
        """When to start again; None while it runs."""
        self._tries = 0
        """Starts since it was last ready."""
        self._asked = clock()
        self._silent_since: float | None = None
        """When it was first asked in vain; None while it answers."""

    def watch(self, tell: Callable[[str], None]) -> None:
        """Look at it once, and do what has to be done.

        Args:
            tell: told in one sentence what happens.

        Raises:
            Unavailable: it ended or stayed silent at start too often.
        """
        if self._due is not None:
            if self._clock() >= self._due:
                self._start_again()
        elif (status := self.run.ended()) is not None:
            self._clear_up()
            tell(f"{self._name} ended ({_in_words(status)}); starting it again")
        elif self._tries:
            self._watch_start(tell)
        elif self._hangs():
            self._clear_up(at_once=True)
            tell(f"{self._name} does not answer for {self._hang_seconds:g} s; starting it again")

    def stop(self) -> None:
        """End it for good."""
        self.run.stop()

    def _watch_start(self, tell: Callable[[str], None]) -> None:
        if self.run.is_ready():
            self._tries = 0
            tell(f"{self._name} is back")
        elif self._clock() - self._began > self._patience:
            self._clear_up(at_once=True)
            tell(f"{self._name} does not come up; starting it again")

    def _hangs(self) -> bool:
        now = self._clock()
        if not self._hang_seconds or now - self._asked < ASK_SECONDS:
            return False
        self._asked = now
        if self.run.is_alive():
            self._silent_since = None
            return False
        self._silent_since = self._silent_since or now
        return now - self._silent_since >= self._hang_seconds

    def _start_again(self) -> None:
        self._tries += 1
        self._began = self._clock()
        self._silent_since = None
        try:
            self.run = self._start()
            self._due = None
        except (Unavailable, OSError) as error:
            self._give_up_after_too_many(str(error))
            self._wait()

    def _clear_up(self, *, at_once: bool = False) -> None:
        reason = self.run.reason()
        # What an ended server leaves (processes, shared memory) is in the way of the next.
        self.run.stop(at_once=at_once)
        self._give_up_after_too_many(reason)
        self._wait()

    def _wait(self) -> None:
        now = self._clock()
        self._due = now + self._backoff.next(now - self._began)

    def _give_up_after_too_many(self, reason: str) -> None:
        if self._tries >= MAX_TRIES:
            raise Unavailable(f"{self._name} did not come up in {MAX_TRIES} tries: {reason}")


def _in_words(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
