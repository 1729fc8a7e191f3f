"""How much one call may list or find, the same for every door."""

from __future__ import annotations

from pipeline.errors import InvalidRequest

DEFAULT_PAGE, MAX_PAGE = 100, 1000
"""Styles or changes on a page."""
DEFAULT_LIMIT, MAX_LIMIT = 5, 100
"""Styles that a search finds."""


def checked(field: str, value: int, default: int, highest: int) -> int:
    """The `value` of `field`; `default` where it is 0, which is how messages leave it out.

    Raises:
        InvalidRequest: it is below 0 or above `highest`.
    """
    if not 0 <= value <= highest:
        raise InvalidRequest(field, value, f"1 to {highest}", f"Leave it out for {default}.")
    return value or default
