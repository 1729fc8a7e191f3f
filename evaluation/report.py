"""Everything at once: all measures into one report, and the sheets to look at."""

from __future__ import annotations

from collections.abc import Sequence
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
    mean_f1,
    structure_f1,
    text_retrieval,
)
from pipeline.images import encode_png
from training.samples import SIDE
from training.styles import STYLES

FILES = ("report.json", "sheet.png", "hands.png")


def renders_to_make(renders: int, variants: int) -> int:
    """How many renders :func:`measure` makes."""
    return renders + 4 * variants + len(SHEETS)


def measure(evaluation: Evaluation, renders: int, variants: int, out: Path) -> dict[str, Any]:
    """Every measure of a pack; writes ``sheet.png`` and ``hands.png`` to `out`.

    Args:
        renders: made as a user would ask for them.
        variants: how many of the same cases are also asked for without ControlNet, with a neutral
            prompt, with that and without IP-Adapter, and with a contradicting prompt.
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
        "style_accuracy": accuracy(made),
        "style_accuracy_neutral_prompt": accuracy(evaluation.paint(varied, Case.neutral)),
        "style_accuracy_no_ip": accuracy(evaluation.paint(varied, Case.without_style)),
        "reference_wins": accuracy(evaluation.paint(varied, Case.contradicted)),
        **text_retrieval(evaluation.painter),
        **image_retrieval(evaluation.painter),
        "renders": renders,
        "renders_of_each_variant": variants,
        "size": SIDE,
        "seconds_per_render": round(float(np.median([one.seconds for one in made])), 3),
        "styles": by_style(evaluation, made),
        "hands": draw_hands(evaluation, out / "hands.png"),
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
    for sheet, case in zip(SHEETS, cycle(cases(len(STYLES))), strict=False):
        sketch = encode_png(np.asarray(sheet.draw()))
        like = case.ask()
        ask = Ask(sketch, like.prompt, like.style_image, like.seed)
        render = decoded(evaluation.painter.paint(ask))
        evaluation.advance()
        found[sheet.name] = round(structure_f1(sketch, render), 4)
        label = f"{sheet.name}; {case.style}: F1 {found[sheet.name]:.2f}"
        rows.append((label, [sheets.panel(sketch), sheets.panel(like.style_image), render]))
    sheets.write_sheet(rows, path, columns=2)
    return found
