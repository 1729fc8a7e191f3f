"""What a gate decides about a candidate, and whether one was passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import pinned_versions
from versions import catalogue, history
from versions.aliases import PAIR, Snapshot
from versions.catalogue import members
from versions.history import Entry

MADE = "renders"
"""The measure that says how many scenes both painted."""
LEAST_RENDERS = 8
"""Of them, for a verdict that opens the way: fewer say too little."""


@dataclass(frozen=True)
class Verdict:
    """How a candidate did beside the champion, on the same scenes in the same server."""

    passed: bool
    pinned: Mapping[str, int]
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
    wanted = dict.fromkeys(members(model), version)
    others: list[str] = []
    if model in pinned_versions.NETWORKS:
        wanted = {**before.pinned().versions, model: version}
        others = [name for name in before.candidates() if name != model]
    what = f"{model} {version}"
    return _why_not(
        repository, before, wanted, what, others, _remedy(before, model, version, others)
    )


def why_not_tried(repository: Path, before: Snapshot) -> str:
    """Why the candidates may make nobody's renders by their gate; empty where they may."""
    tried = before.candidates()
    what = " with ".join(f"{model} {version}" for model, version in tried.items())
    remedy = _remedy(before, *next(iter(tried.items())), [])
    return _why_not(repository, before, before.pinned("candidate").versions, what, [], remedy)


def too_few(entry: Entry) -> str:
    """That so few renders open no way, however they were; empty where they are enough.

    A pair is tried by what it finds, and makes none.
    """
    made = int(entry.measures.get(MADE, 0))
    if entry.model == PAIR or made >= LEAST_RENDERS:
        return ""
    return (
        f"Its gate compared {made} {'render' if made == 1 else 'renders'}; promote and canary ask "
        f"for {LEAST_RENDERS} at least."
    )


def _why_not(
    repository: Path,
    before: Snapshot,
    wanted: Mapping[str, int],
    what: str,
    others: Sequence[str],
    remedy: str,
) -> str:
    digests = catalogue.digests(repository, wanted)
    for entry in reversed(history.read(repository)):
        tried = {name: entry.pinned.get(name) for name in wanted}
        if entry.action != "gate" or tried != wanted:
            continue
        champion = before.of(entry.model).champion
        if entry.from_version != champion:
            return (
                f"{what} was held against {entry.from_version} at its gate, and the champion is "
                f"{champion} now. {remedy}"
            )
        if {name: entry.sha256.get(name) for name in wanted} != digests:
            return f"An engine was changed since {what} was at its gate. {remedy}"
        if not entry.passed:
            missed = f" {entry.why}" if entry.why else ""
            return f"{what} did not pass its gate.{missed} {remedy}"
        few = too_few(entry)
        return f"{few} {remedy}" if few else ""
    beside = f" without the candidate of {', '.join(others)}" if others else ""
    return f"{what} has not been at its gate{beside} beside today's champion. {remedy}"


def _remedy(before: Snapshot, model: str, version: int, others: Sequence[str]) -> str:
    """How `version` comes to its gate, which tries all candidates together and nothing else."""
    steps = [f"take the candidate of {name} away (retire it by that alias)" for name in others]
    candidate = before.of(model).candidate
    if candidate != version:
        now = f"which is {candidate or 'none'} now"
        steps.append(f"publish {model} {version} again, so that it is the candidate, {now}")
    steps.append(f"run `maquette models gate {model}`")
    way = ", then ".join(steps)
    return f"{way[0].upper()}{way[1:]}; or do it without, with `force` and `why`."
