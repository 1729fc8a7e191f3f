"""Sentences about buildings in the bundled styles: the tokenizer's corpus."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from training.styles import STYLES

_BUILDINGS = (
    "house", "villa", "museum", "library", "tower", "school", "office building", "cottage",
    "apartment block", "station", "hotel", "town hall", "pavilion", "workshop", "theatre",
)  # fmt: skip
_DETAILS = (
    "with tall windows", "with a gable roof", "with a flat roof and a terrace", "between two trees",
    "with arched windows", "with a wide door and a path", "on a hill", "by the street",
    "seen from the front", "under a clear sky", "with a small annex", "with a hipped roof",
)  # fmt: skip
_FORMS = (
    "a {building} {detail}, {words}",
    "{words}: {building} {detail}",
    "an architect's render of a {building} in {words} style, {detail}",
    "photo of a {building} {detail}, {tags}",
    "{tags} {building}, {words}",
)


def captions() -> Iterator[str]:
    """Every combination of building, detail and style, in varied sentences."""
    forms = itertools.cycle(_FORMS)
    for style in STYLES:
        for words, building, detail in itertools.product(style.words, _BUILDINGS, _DETAILS):
            tags = ", ".join(style.tags)
            yield next(forms).format(words=words, building=building, detail=detail, tags=tags)
