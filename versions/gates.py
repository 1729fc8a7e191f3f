"""What a gate decides about a candidate, and whether one was passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import lineup
from versions import catalogue, history
from versions.aliases import Snapshot
from versions.catalogue import members


@dataclass(frozen=True)
class Verdict:
    """How a candidate did beside the champion, on the same scenes in the same server."""

    passed: bool
    line_up: Mapping[str, int]
    """The version of each model that was tried as the candidate, by the model's name."""
    champion: Mapping[str, int]
    """The same of what it was compared with."""
    measures: Mapping[str, float]
    """Every figure that a threshold looks at, by its name."""
    missed: tuple[str, ...] = field(default=())
    """One sentence for each threshold that was not met; empty if it passed."""
    report: str = ""
    """Path of the report with pictures."""


def why_not(repository: Path, before: Snapshot, model: str, version: int) -> str:
    """Why `version` may not be promoted by its gate; empty where it may."""
    names = members(model)
    wanted = dict.fromkeys(names, version)
    if model in lineup.NETWORKS:
        wanted = {**before.line_up().versions, model: version}
    remedy = f"Run `maquette models gate {model}`, or promote with --force and --why."
    digests = catalogue.digests(repository, wanted)
    for entry in reversed(history.read(repository)):
        tried = {name: entry.line_up.get(name) for name in wanted}
        if entry.action != "gate" or tried != wanted:
            continue
        if entry.from_version != before.of(model).champion:
            return (
                f"{model} {version} was held against {entry.from_version} at its gate, and the "
                f"champion is {before.of(model).champion} now. {remedy}"
            )
        if {name: entry.sha256.get(name) for name in wanted} != digests:
            return f"An engine was changed since {model} {version} was at its gate. {remedy}"
        missed = f" {entry.why}" if entry.why else ""
        return "" if entry.passed else f"{model} {version} did not pass its gate.{missed} {remedy}"
    others = [name for name in before.candidates() if name != model]
    beside = f" without the candidate of {', '.join(others)}" if others else ""
    return f"{model} {version} has not been at its gate{beside} beside today's champion. {remedy}"
