"""Everything at once: all measures into one report, and the sheets to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evaluation import measures, sheets
from evaluation.cases import Ask
from evaluation.freehand import SHEETS
from evaluation.measures import BARS, Evaluation, picture_of, structure_f1
from pipeline.images import encode_png
from training.bundled import style_pictures
from training.samples import SIDE
from training.styles import STYLES

__all__ = ["BARS", "HANDS", "VARIANTS", "measure"]

VARIANTS = 3
HANDS = len(SHEETS)


def measure(evaluation: Evaluation, renders: int, variants: int, out: Path) -> dict[str, Any]:
    """Every measure of a pack; writes ``sheet.png`` and ``hands.png`` to `out`.

    Args:
        renders: made as a user would ask for them.
        variants: how many of them are also asked for without ControlNet, without IP-Adapter, and
            with a contradicting prompt.
    """
    made = evaluation.default(renders)
    sheets.write_style_sheet(made, out / "sheet.png")
    no_ip = evaluation.no_ip(variants)
    return {
        "structure_f1": measures.f1(made),
        "structure_f1_vae": measures.vae_f1(evaluation, renders),
        "structure_f1_no_control": measures.f1(evaluation.no_control(variants)),
        "style_accuracy": evaluation.style_accuracy(made),
        "style_accuracy_no_ip": evaluation.style_accuracy(no_ip),
        "reference_wins": evaluation.style_accuracy(evaluation.contradicted(variants)),
        **evaluation.text_retrieval(),
        **evaluation.image_retrieval(),
        "renders": renders,
        "renders_of_each_variant": variants,
        "size": SIDE,
        "seconds_per_render": round(float(np.median([one.seconds for one in made])), 3),
        "styles": measures.per_style(evaluation, made),
        "hands": draw_hands(evaluation, out / "hands.png"),
    }


def draw_hands(evaluation: Evaluation, path: Path) -> dict[str, float]:
    """Structure F1 of the sketches by another hand, each in another of the bundled styles."""
    found, rows = {}, []
    for index, (sheet, style, drawn) in enumerate(
        zip(SHEETS, STYLES, style_pictures(), strict=False)
    ):
        sketch, picture = (encode_png(np.asarray(image)) for image in (sheet.draw(), drawn))
        ask = Ask(sketch, f"a house, {style.name}", picture, seed=index)
        render = picture_of(evaluation.painter.paint(ask))
        evaluation.report(1)
        found[sheet.name] = round(structure_f1(ask.sketch, render), 4)
        label = f"{sheet.name}: F1 {found[sheet.name]:.2f}"
        rows.append((label, [picture_of(ask.sketch), picture_of(picture), render]))
    sheets.write_sheet(rows, path, columns=2)
    return found
