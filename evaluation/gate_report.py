"""What a gate found, to look at: a page, its figures, and the pictures beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from evaluation import sheets
from evaluation.compare import Comparison, Made
from evaluation.thresholds import Thresholds
from pipeline.images import Picture
from versions import durable
from versions.gates import Verdict

PAGE, FIGURES, SHEET = "report.md", "report.json", "sheet.png"


def write(
    verdict: Verdict, limits: Thresholds, comparisons: Sequence[Comparison], folder: Path
) -> None:
    """Write ``report.md``, ``report.json`` and, where there are renders, ``sheet.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        **asdict(verdict),
        "thresholds": dict(limits),
        "scenes": [_row(one) for one in comparisons],
    }
    durable.write_json(folder / FIGURES, found)
    durable.write_text(folder / PAGE, page(verdict, limits, comparisons))
    if comparisons:
        rows = [(label(comparison), pictures(comparison)) for comparison in comparisons]
        sheets.write_sheet(rows, folder / SHEET, columns=2)


def page(verdict: Verdict, limits: Thresholds, comparisons: Sequence[Comparison]) -> str:
    """The report in Markdown."""
    parts = [
        "# Passed" if verdict.passed else "# Did not pass",
        f"Candidate: {_versions(verdict.pinned)}. Champion: {_versions(verdict.champion)}.",
        "\n".join(f"- {sentence}" for sentence in verdict.missed),
        _table(verdict, limits),
    ]
    if comparisons:
        failures = [
            f"- {comparison.scene.name}: {comparison.failure}"
            for comparison in comparisons
            if comparison.failure
        ]
        parts += ["\n".join(failures), f"![sketch, style, champion, candidate]({SHEET})"]
    return "\n\n".join(part for part in parts if part) + "\n"


def label(comparison: Comparison) -> str:
    """What stands above a scene's pictures."""
    before, after = (
        comparison.structure_f1(made) for made in (comparison.champion, comparison.candidate)
    )
    return (
        f"{comparison.scene.name}: sketch, style, champion, candidate; "
        f"F1 {before:.2f}, {after:.2f}; distance {comparison.distance:.2f}"
    )


def pictures(comparison: Comparison) -> list[Picture]:
    """Sketch, style, champion and candidate; a white sheet for what there is not."""
    style = comparison.scene.style_image
    return [
        sheets.panel(comparison.scene.sketch),
        sheets.panel(style) if style else sheets.empty_panel(),
        _painted(comparison.champion),
        _painted(comparison.candidate),
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


def _row(comparison: Comparison) -> Mapping[str, object]:
    return {
        "scene": comparison.scene.name,
        "structure_f1": comparison.structure_f1(comparison.candidate),
        "structure_f1_champion": comparison.structure_f1(comparison.champion),
        "perceptual_distance": comparison.distance,
        "seconds": comparison.candidate.seconds if comparison.candidate else None,
        "seconds_champion": comparison.champion.seconds,
        "failure": comparison.failure,
    }


def _versions(pinned: Mapping[str, int]) -> str:
    return ", ".join(f"{network} {version}" for network, version in pinned.items())
