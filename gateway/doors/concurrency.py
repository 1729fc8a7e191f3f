"""How many calls are in progress at a door, all together and of each caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import Overloaded


class ConcurrencyLimiter:
    """Calls in progress.

    Args:
        most: of all callers together.
        most_each: of one caller. None: as many as of all.
    """

    def __init__(self, most: int, most_each: int | None = None) -> None:
        self._most = most
        self._most_each = most_each or most
        self._by: Counter[str] = Counter()

    @contextmanager
    def taken(self, who: str = "") -> Iterator[None]:
        """Count one more call for the block.

        Args:
            who: what tells its caller from others. Empty: nobody is asked.

        Raises:
            Overloaded: there are as many as may be.
        """
        if (calls := self._by.total()) >= self._most:
            raise _too_many(f"{calls} calls are in progress already", self._most)
        if who and (calls := self._by[who]) >= self._most_each:
            raise _too_many(f"{calls} of your calls are in progress already", self._most_each)
        self._by[who] += 1
        try:
            yield
        finally:
            self._by[who] -= 1
            if not self._by[who]:
                del self._by[who]


def _too_many(found: str, most: int) -> Overloaded:
    return Overloaded(f"{found}; allowed: {most}. Try again in a few seconds.")
