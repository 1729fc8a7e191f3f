"""Everything at once: all measures into one report, and the sheets to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import sheets
from evaluation.cases import Ask, Case, cases
from evaluation.freehand import SHEETS
from evaluation.measures import (
    Evaluation,
    Painted,
    decoded,
    image_retrieval,
    mean,
    mean_f1,
    structure_f1,
    text_retrieval,
)
from pipeline.images import encode_png
from pipeline.request import PROFILES
from training.samples import SIDE
from training.styles import STYLES

FILES = ("report.json", "sheet.png", "hands.png")
STRUCTURE_MIN = 0.9
"""What the renders of sketches by another hand are to reach in up to three attempts."""
EVERY_STYLE = tuple(style.name for style in STYLES)
LEAST_KEPT = ("sunset", "art deco")
"""The two styles whose renders keep least of a sketch, by the table of the tiny pack."""


def renders_to_make(renders: int, variants: int) -> int:
    """How many renders :func:`measure` makes."""
    return renders + (4 + len(PROFILES)) * variants + len(STYLES) + 3 * len(SHEETS)


def measure(evaluation: Evaluation, renders: int, variants: int, out: Path) -> dict[str, Any]:
    """Every measure of a pack; writes ``sheet.png`` and ``hands.png`` to `out`.

    Args:
        renders: made as a user would ask for them.
        variants: how many of the same cases are also asked for without ControlNet, with a neutral
            prompt, with that and without IP-Adapter, with a contradicting prompt, and by each
            profile. Besides, a case of each style is blended with another one's.
    """
    asked = cases(renders)
    made = evaluation.paint(asked, Case.ask)
    sheets.write_style_sheet(made, out / "sheet.png")
    varied = asked[:variants]
    no_control = mean_f1(evaluation.paint(varied, Case.without_control))
    accuracy = evaluation.style_accuracy
    return {
        "structure_f1": mean_f1(made),
        "structure_f1_vae": evaluation.vae_f1(asked),
        "structure_f1_no_control": no_control,
        "structure_f1_gained_by_control": round(mean_f1(made[:variants]) - no_control, 4),
        **evaluation.similarities(made),
        "style_accuracy": accuracy(made),
        "style_accuracy_neutral_prompt": accuracy(evaluation.paint(varied, Case.neutral)),
        "style_accuracy_no_ip": accuracy(evaluation.paint(varied, Case.without_style)),
        "reference_wins": accuracy(evaluation.paint(varied, Case.contradicted)),
        **profiles(evaluation.profiles(varied)),
        "blend_shows_both": evaluation.blends(asked[: len(STYLES)]),
        **text_retrieval(evaluation.painter),
        **image_retrieval(evaluation.painter),
        "renders": renders,
        "renders_of_each_variant": variants,
        "size": SIDE,
        "seconds_per_render": round(float(np.median([one.seconds for one in made])), 3),
        "styles": by_style(evaluation, made),
        "hands": draw_hands(evaluation, out / "hands.png"),
        **with_attempts(evaluation),
    }


def profiles(found: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Each profile's figures, and what ``balanced`` costs against ``quality``."""
    quality, balanced = found["quality"], found["balanced"]
    return {
        "profiles": found,
        "balanced_f1_change": round(balanced["structure_f1"] - quality["structure_f1"], 4),
        "balanced_style_change": round(balanced["style_accuracy"] - quality["style_accuracy"], 4),
    }


def by_style(evaluation: Evaluation, made: Sequence[Painted]) -> dict[str, dict[str, float]]:
    """Structure F1 and style accuracy of each style's renders."""
    rows = {}
    for style in STYLES:
        its = [one for one in made if one.case.style == style.name]
        accuracy = evaluation.style_accuracy(its)
        rows[style.name] = {"structure_f1": mean_f1(its), "style_accuracy": accuracy}
    return rows


def draw_hands(evaluation: Evaluation, path: Path) -> dict[str, float]:
    """Structure F1 of the sketches by another hand, each in another style."""
    found, rows = {}, []
    for (name, ask), case in zip(by_hand().items(), cycle(cases(len(STYLES))), strict=False):
        render = decoded(evaluation.painter.paint(ask))
        evaluation.advance()
        found[name] = round(structure_f1(ask.sketch, render), 4)
        label = f"{name}; {case.style}: F1 {found[name]:.2f}"
        rows.append((label, [sheets.panel(ask.sketch), sheets.panel(ask.style_images[0]), render]))
    sheets.write_sheet(rows, path, columns=2)
    return found


def with_attempts(evaluation: Evaluation) -> dict[str, float]:
    """What up to three attempts at ``STRUCTURE_MIN`` bring to sketches by another hand.

    They wear the styles that keep least of a sketch: in others the first attempt mostly does.
    """
    asked = by_hand(LEAST_KEPT).values()
    again = [replace(ask, structure_min=STRUCTURE_MIN) for ask in asked]
    once, thrice = (mean(_structure(evaluation, ask) for ask in some) for some in (asked, again))
    return {
        "structure_f1_one_attempt": once,
        "structure_f1_three_attempts": thrice,
        "structure_f1_gained_by_attempts": round(thrice - once, 4),
    }


def _structure(evaluation: Evaluation, ask: Ask) -> float:
    render = decoded(evaluation.painter.paint(ask))
    evaluation.advance()
    return structure_f1(ask.sketch, render)


def by_hand(styles: Iterable[str] = EVERY_STYLE) -> dict[str, Ask]:
    """One render of each sketch by another hand, by its name; `styles` come in turn."""
    likes = {case.style: case.ask() for case in cases(len(STYLES))}
    asked = {}
    for seed, (sheet, style) in enumerate(zip(SHEETS, cycle(styles), strict=False)):
        sketch = encode_png(np.asarray(sheet.draw()))
        asked[sheet.name] = Ask(sketch, likes[style].prompt, likes[style].style_images, seed)
    return asked
