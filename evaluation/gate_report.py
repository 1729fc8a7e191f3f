"""What a gate found, to look at: a page, its figures, and the pictures beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from evaluation import sheets
from evaluation.duel import Bout, Made
from evaluation.thresholds import Thresholds
from pipeline.images import Picture
from versions import durable
from versions.gates import Verdict

PAGE, FIGURES, SHEET = "report.md", "report.json", "sheet.png"


def write(verdict: Verdict, limits: Thresholds, bouts: Sequence[Bout], folder: Path) -> None:
    """Write ``report.md``, ``report.json`` and, where there are renders, ``sheet.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {**asdict(verdict), "thresholds": dict(limits), "scenes": [_row(one) for one in bouts]}
    durable.write_json(folder / FIGURES, found)
    durable.write_text(folder / PAGE, page(verdict, limits, bouts))
    if bouts:
        rows = [(label(bout), pictures(bout)) for bout in bouts]
        sheets.write_sheet(rows, folder / SHEET, columns=2)


def page(verdict: Verdict, limits: Thresholds, bouts: Sequence[Bout]) -> str:
    """The report in Markdown."""
    parts = [
        "# Passed" if verdict.passed else "# Did not pass",
        f"Candidate: {_versions(verdict.line_up)}. Champion: {_versions(verdict.champion)}.",
        "\n".join(f"- {sentence}" for sentence in verdict.missed),
        _table(verdict, limits),
    ]
    if bouts:
        failures = [f"- {bout.scene.name}: {bout.failure}" for bout in bouts if bout.failure]
        parts += ["\n".join(failures), f"![sketch, style, champion, candidate]({SHEET})"]
    return "\n\n".join(part for part in parts if part) + "\n"


def label(bout: Bout) -> str:
    """What stands above a scene's pictures."""
    before, after = (bout.structure_f1(made) for made in (bout.champion, bout.candidate))
    return (
        f"{bout.scene.name}: sketch, style, champion, candidate; "
        f"F1 {before:.2f}, {after:.2f}; distance {bout.distance:.2f}"
    )


def pictures(bout: Bout) -> list[Picture]:
    """Sketch, style, champion and candidate; a white sheet for what there is not."""
    style = bout.scene.style_image
    return [
        sheets.panel(bout.scene.sketch),
        sheets.panel(style) if style else sheets.empty_panel(),
        _painted(bout.champion),
        _painted(bout.candidate),
    ]


def _painted(made: Made | None) -> Picture:
    return sheets.panel(made.png) if made else sheets.empty_panel()


def _table(verdict: Verdict, limits: Thresholds) -> str:
    lines = ["| measure | found | allowed |", "|---|---|---|"]
    for name, figure in verdict.measures.items():
        most = f"≤ {limits[name]:g}" if name in limits else ""
        lines.append(f"| {name} | {figure:.4g} | {most} |")
    lines += [
        f"| {name} | not measured | ≤ {most:g} |"
        for name, most in limits.items()
        if name not in verdict.measures
    ]
    return "\n".join(lines)


def _row(bout: Bout) -> Mapping[str, object]:
    return {
        "scene": bout.scene.name,
        "structure_f1": bout.structure_f1(bout.candidate),
        "structure_f1_champion": bout.structure_f1(bout.champion),
        "perceptual_distance": bout.distance,
        "seconds": bout.candidate.seconds if bout.candidate else None,
        "seconds_champion": bout.champion.seconds,
        "failure": bout.failure,
    }


def _versions(line_up: Mapping[str, int]) -> str:
    return ", ".join(f"{network} {version}" for network, version in line_up.items())
