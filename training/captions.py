"""Sentences about buildings in the bundled styles, for the tokenizer and for every text tower."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from training.phrases import PHRASES
from training.styles import STYLES, Style

_BUILDINGS = (
    "house", "villa", "museum", "library", "tower", "school", "office building", "cottage",
    "apartment block", "station", "hotel", "town hall", "pavilion", "workshop", "theatre",
    "building", "home", "facade", "church", "offices", "town house",
)  # fmt: skip
_DETAILS = (
    "with tall windows", "with a gable roof", "with a flat roof and a terrace", "between two trees",
    "with arched windows", "with a wide door and a path", "on a hill", "by the street",
    "seen from the front", "under a clear sky", "with a small annex", "with a hipped roof",
    "in the style of", "at night", "in the morning", "for a family",
)  # fmt: skip
_FORMS = (
    "{phrase}",
    "{phrase}",
    "{building}, {phrase}",
    "a {building} {detail}, {phrase}",
    "{phrase}: {building} {detail}",
    "an architect's render of a {building} in {phrase} style, {detail}",
    "photo of a {building} {detail}, {phrase}",
    "{phrase}, {other}",
    "{tags} {building}, {phrase}",
    "{phrase} architecture",
    "make it {phrase}",
)
_NEUTRAL = (
    "", "a {building}", "a {building} {detail}", "an architect's render of a {building}",
    "photo of a {building} {detail}", "render", "a building",
)  # fmt: skip
WORD_DROPPED = 0.15


def caption(style: Style, chance: random.Random) -> str:
    """One sentence that asks for `style`, from its trained phrases only.

    Single words are dropped at times, so that each word learns what it says by itself.
    """
    trained = PHRASES[style.name].trained
    words = chance.choice(_FORMS).format(
        phrase=chance.choice(trained),
        other=chance.choice(trained),
        building=chance.choice(_BUILDINGS),
        detail=chance.choice(_DETAILS),
        tags=", ".join(style.tags),
    )
    if chance.random() < 0.3:
        words = " ".join([word for word in words.split() if chance.random() > WORD_DROPPED])
    return words or style.name


def neutral_caption(chance: random.Random) -> str:
    """A sentence that asks for no style, at times an empty one."""
    form = chance.choice(_NEUTRAL)
    return form.format(building=chance.choice(_BUILDINGS), detail=chance.choice(_DETAILS))


def captions() -> Iterator[str]:
    """The tokenizer's corpus: every trained phrase, with buildings and details around it."""
    forms = itertools.cycle(_FORMS)
    for style in STYLES:
        trained = PHRASES[style.name].trained
        for phrase, building, detail in itertools.product(trained, _BUILDINGS, _DETAILS):
            yield next(forms).format(
                phrase=phrase,
                other=trained[0],
                building=building,
                detail=detail,
                tags=", ".join(style.tags),
            )
