"""Captions ask for their own style only."""

from __future__ import annotations

import random

from training.captions import caption, neutral_caption
from training.phrases import PHRASES
from training.styles import STYLES


def test_a_caption_comes_from_its_seed() -> None:
    assert caption(STYLES[0], random.Random(1)) == caption(STYLES[0], random.Random(1))


def test_captions_vary() -> None:
    chance = random.Random(0)
    assert len({caption(STYLES[2], chance) for _ in range(100)}) > 80


def test_a_neutral_caption_names_no_style() -> None:
    chance = random.Random(0)
    said = {neutral_caption(chance) for _ in range(300)}
    named = {phrase for phrases in PHRASES.values() for phrase in phrases.trained}
    assert "" in said
    assert not [text for text in said for phrase in named if phrase in text]
