from __future__ import annotations

import pytest

from pipeline.errors import Words, shorten


class Unread:
    def __repr__(self):
        raise AssertionError("more was looked at than is shown")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"x" * 2000, "2,000 bytes"),
        ("short", "'short'"),
        (Words("two words"), "two words"),
        ("x" * 2000, "'" + "x" * 59 + "… (2,000 characters)"),
        ([1, 2.5, None], "[1, 2.5, None]"),
        (list(range(1000)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1…"),
        ([*range(20), Unread()], "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1…"),
        ([[[[Unread()]]]], "[[[[...]]]]"),
    ],
)
def test_a_message_shows_the_beginning_of_a_value_and_reads_no_more(value, shown):
    assert shorten(value) == shown
