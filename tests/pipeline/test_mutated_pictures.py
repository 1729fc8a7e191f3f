"""Pictures that were damaged by chance or on purpose: decoded, or refused with a sentence."""

from __future__ import annotations

import re
import time
import warnings
from collections import Counter

from pipeline import images, png
from pipeline.errors import InvalidRequest
from tests.mutations import mutated

COUNT = 1_000
"""With ten thousand of them, and with other seeds, it is the same."""


def test_no_picture_makes_the_decoder_fail_in_another_way_or_hang():
    ended: Counter[str] = Counter()
    for picture in mutated(COUNT):
        started = time.perf_counter()
        decoded = _decoded(picture)
        assert time.perf_counter() - started < 5
        if isinstance(decoded, bytes):
            assert png.is_bare(decoded)
            ended["decoded"] += 1
        else:
            assert re.fullmatch("sketch is .{,400}", str(decoded))
            ended["refused"] += 1
    assert ended["decoded"] + ended["refused"] == COUNT
    # Changes of both kinds: those that matter, and those of metadata, which do not.
    assert min(ended.values()) > COUNT / 10


def _decoded(picture):
    try:
        with warnings.catch_warnings(action="ignore"):
            return images.to_png(picture, "sketch").png
    except InvalidRequest as error:
        return error
