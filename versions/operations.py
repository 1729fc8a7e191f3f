"""What can be done with versions: publish, promote, roll back and the rest.

Each operation keeps all others out, finishes or undoes what an earlier one left half done, writes
down what it is about to do, does it, and adds a line to the history.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from pipeline import contract
from pipeline.errors import InvalidRequest, NotFound
from pipeline.pinned_versions import EXPORTED
from versions import aliases, canary, catalogue, configs, gates, history, intent, locks
from versions.aliases import PAIR, Aliases
from versions.canary import Canary, Counts
from versions.catalogue import members
from versions.changes import (
    Outcome,
    holding,
    operation,
    outcome,
    require_whole,
    switch,
    tense,
    unnamed,
)
from versions.errors import Busy, Declined
from versions.gates import Verdict
from versions.history import Entry
from versions.intent import Intent
from versions.publishing import PATIENCE, publish

__all__ = [
    "WITHDRAWN",
    "Outcome",
    "gating",
    "promote",
    "publish",
    "record",
    "record_gate",
    "recover",
    "retire",
    "rollback",
    "set_canary",
    "withdraw",
]

WITHDRAWN = ("candidate", "previous")
"""Aliases that can be taken away."""


def recover(repository: Path, who: str) -> str:
    """Finish or undo what a power cut left half done.

    Returns:
        What was found and done, in one sentence; empty where nothing was.

    Raises:
        Busy: another operation is in progress, so nothing is half done.
    """
    with operation(repository, who, "a look at what was interrupted", dry_run=False) as found:
        return found


def promote(
    repository: Path,
    model: str,
    version: int | None = None,
    *,
    who: str,
    why: str = "",
    force: bool = False,
    expected: int | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Make a version the champion; the champion becomes the previous one.

    Args:
        version: the candidate unless said otherwise.
        force: without a passed gate; `why` is then recorded and needed.
        expected: the champion that it is meant to follow.

    Raises:
        InvalidRequest: there is no such model, or no reason where one is needed.
        NotFound: there is no such version, or no candidate.
        Declined: its gate was not passed, or it is a pair whose vectors nobody made: that one
            would not serve, so it is not forced either.
        Busy: another operation is in progress, or the champion is not the expected one any longer.
    """
    members(model)
    _require_reason(force, why)
    with operation(repository, who, f"promote of {model}", dry_run) as found:
        before = aliases.read(repository)
        current = before.of(model)
        if found.is_finished("promote", model):
            return outcome(repository, [found], True, model, current.champion)
        version = current.candidate if version is None else version
        if version is not None and version == current.champion:
            said = f"{model} {version} is the champion already."
            return outcome(repository, [found, said], False, model, version)
        if expected is not None and expected != current.champion:
            raise Busy(_somebody_was_quicker(model, current.champion, expected))
        if version is None:
            raise NotFound(f"{model} has no candidate to promote. `maquette models publish` one.")
        require_whole(repository, model, version)
        _require_vectors(repository, model, version)
        gate = gates.why_not(repository, before, model, version)
        if gate and not force:
            raise Declined(gate)
        after = Aliases(
            champion=version,
            candidate=None if current.candidate == version else current.candidate,
            previous=current.champion,
        )
        entry = Entry(
            "promote", model, who, why, current.champion, version, forced=force and bool(gate)
        )
        lost = unnamed(model, current, after, dry_run=dry_run)
        told = f"{model} {version} {{}} the champion, and {current.champion} the previous one."
        told = f"{told} {lost}".rstrip()
        return switch(repository, before, model, after, entry, told, dry_run, found)


def rollback(
    repository: Path,
    model: str,
    *,
    who: str,
    why: str = "",
    expected: int | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Let the champion and the previous version change places. Needs no gate.

    A second one brings back what the first put away, and says so.

    Args:
        expected: the champion that is to go.

    Raises:
        InvalidRequest: there is no such model.
        Declined: there is no previous version, or it is a pair without vectors.
        Busy: another operation is in progress, or the champion is not the expected one any longer.
    """
    members(model)
    with operation(repository, who, f"rollback of {model}", dry_run) as found:
        before = aliases.read(repository)
        current = before.of(model)
        if found.is_finished("rollback", model):
            # Once more would put back what was to go.
            return outcome(repository, [found], True, model, current.champion)
        if expected is not None and expected != current.champion:
            raise Busy(_somebody_was_quicker(model, current.champion, expected))
        if current.previous is None:
            raise Declined(
                f"{model} has no previous version to go back to. `maquette models list {model}` "
                "shows which versions there are to promote."
            )
        require_whole(repository, model, current.previous)
        _require_vectors(repository, model, current.previous)
        after = Aliases(
            champion=current.previous,
            candidate=None if current.candidate == current.previous else current.candidate,
            previous=current.champion,
        )
        entry = Entry("rollback", model, who, why, current.champion, current.previous)
        told = f"{model} {current.previous} {{}} the champion again, not {current.champion}."
        told = f"{told} {_taken_back(repository, model, current.previous)}".rstrip()
        return switch(repository, before, model, after, entry, told, dry_run, found)


def _taken_back(repository: Path, model: str, version: int) -> str:
    """That a roll-back brings back what the last one put away; empty where it does not."""
    done = [
        entry
        for entry in history.read(repository)
        if entry.model == model and entry.action in {"promote", "rollback"}
    ]
    if not done or (done[-1].action, done[-1].from_version) != ("rollback", version):
        return ""
    why = f" ({done[-1].why})" if done[-1].why else ""
    return (
        f"That takes back the roll-back from {model} {version} that {done[-1].who} made at "
        f"{done[-1].time}{why}."
    )


def _require_reason(force: bool, why: str) -> None:
    if force and not why.strip():
        raise InvalidRequest("why", why, "a reason", "Say why it is done without a passed gate.")


def _require_vectors(repository: Path, model: str, clip: int) -> None:
    """See that the styles were embedded with that pair; with the exported one they always are."""
    made = (entry.to_version for entry in history.read(repository) if entry.action == "reembed")
    if model == PAIR and clip != EXPORTED and clip not in made:
        raise Declined(
            f"The styles have no vectors of clip {clip} yet, so nothing would be found with it; "
            f"`maquette models reembed {clip}` makes them."
        )


def _somebody_was_quicker(model: str, champion: int, expected: int) -> str:
    return (
        f"The champion of {model} is {champion} by now, not {expected}: somebody was quicker. "
        "Look at `maquette models list`, and decide anew."
    )


def withdraw(
    repository: Path, model: str, alias: str, *, who: str, why: str = "", dry_run: bool = False
) -> Outcome:
    """Take `alias` from the version of `model` that has it; its files stay.

    Raises:
        InvalidRequest: there is no such model, or `alias` is not ``candidate`` or ``previous``.
        NotFound: no version has it.
        Busy: another operation is in progress.
    """
    members(model)
    if alias not in WITHDRAWN:
        remedy = "A champion is replaced with `maquette models promote` or `rollback`."
        raise InvalidRequest("alias", alias, " or ".join(WITHDRAWN), remedy)
    with operation(repository, who, f"retire of the {alias} of {model}", dry_run) as found:
        before = aliases.read(repository)
        current = before.of(model)
        version = getattr(current, alias)
        if version is None:
            raise NotFound(f"{model} has no {alias} version.")
        after = (
            replace(current, candidate=None)
            if alias == "candidate"
            else replace(current, previous=None)
        )
        entry = Entry("withdraw", model, who, why, version)
        told = f"{model} {version} {{}} no longer the {alias}; its files stay."
        return switch(repository, before, model, after, entry, told, dry_run, found)


def retire(
    repository: Path,
    model: str,
    version: int,
    *,
    who: str,
    why: str = "",
    dry_run: bool = False,
) -> Outcome:
    """Remove the files of a version that nothing is made with.

    Raises:
        InvalidRequest: there is no such model.
        NotFound: there is no such version.
        Declined: an alias names it, or an ensemble does.
        Busy: another operation is in progress, or a gateway has not let go of it.
    """
    members(model)
    deadline = time.monotonic() + (0.0 if dry_run else PATIENCE)
    while _lingers(repository, model, version) and time.monotonic() < deadline:
        time.sleep(locks.POLL_SECONDS)
    with operation(repository, who, f"retire of {model} {version}", dry_run) as found:
        if (model, version) == ("unet", contract.FEW_STEPS_VERSION):
            raise Declined("unet 2 paints in few steps for scheduler LCM, and is never retired.")
        current = aliases.read(repository).of(model)
        names = [name for name in aliases.NAMES if getattr(current, name) == version]
        if names:
            remedy = (
                f"`maquette models retire {model} {names[0]}` takes the alias away first"
                if names[0] in WITHDRAWN
                else "promote another version, or roll back, first"
            )
            raise Declined(f"{model} {version} is the {names[0]} version; {remedy}.")
        if _lingers(repository, model, version):
            raise Busy(
                f"A gateway holds {model} {version} still: renders that began with it go on, or "
                "Triton is away. Try again when it has let go."
            )
        gone = tuple((name, version) for name in members(model))
        if not any(intent.folder(repository, place).exists() for place in gone):
            raise NotFound(catalogue.no_version(repository, model, version))
        if not dry_run:
            entry = Entry("retire", model, who, why, version)
            intent.commit(repository, Intent(entry, removes=gone))
        said = f"{model} {version} {tense(dry_run)} retired, and its files removed."
        return outcome(repository, [found, said], True, model, version, dry_run=dry_run)


def _lingers(repository: Path, model: str, version: int) -> bool:
    """Whether a gateway holds a version that nothing names, for renders that began with it.

    Triton drops a version whose files are gone as soon as it looks at the network again.
    """
    needed = set(aliases.read(repository).of(model).versions)
    if model == "unet":
        needed.add(contract.FEW_STEPS_VERSION)
    return (
        version not in needed
        and locks.is_followed(repository)
        and any(version in configs.held(repository, network) for network in members(model))
    )


def gating(repository: Path, model: str, who: str) -> AbstractContextManager[None]:
    """Nobody else holds a gate meanwhile: two at once would each slow the other's renders.

    Raises:
        Busy: somebody does; says who, and since when.
    """
    return holding(repository, who, f"gate of {model}", locks.GATING)


def record_gate(
    repository: Path, verdict: Verdict, *, model: str, who: str, why: str = ""
) -> Outcome:
    """Keep what a gate decided, with what tells the tried versions from others of their number.

    Raises:
        Busy: another operation is in progress.
    """
    # Its two minutes are not thrown away over what takes a moment.
    with operation(repository, who, f"gate of {model}", False, PATIENCE) as found:
        entry = Entry(
            "gate",
            model,
            who,
            why or " ".join(verdict.missed),
            from_version=verdict.champion.get(members(model)[0]),
            to_version=verdict.pinned.get(members(model)[0]),
            passed=verdict.passed,
            pinned=dict(verdict.pinned),
            sha256=catalogue.digests(repository, verdict.pinned),
            report=verdict.report,
            measures=dict(verdict.measures),
        )
        intent.commit(repository, Intent(entry))
        told = "passed" if verdict.passed else "did not pass"
        said = [found, f"{model} {entry.to_version} {told} its gate.", gates.too_few(entry)]
        return outcome(repository, said, True, model, entry.to_version)


def record(repository: Path, entry: Entry) -> None:
    """Add a line to the history for what was done elsewhere, such as a new embedding of styles.

    Raises:
        Busy: another operation is in progress.
    """
    with operation(repository, entry.who, f"{entry.action} of {entry.model}", False, PATIENCE):
        intent.commit(repository, Intent(entry))


def set_canary(
    repository: Path,
    wanted: Canary,
    *,
    force: bool = False,
    counts: Counts | None = None,
    instead_of: Canary | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Try the candidate on a share of what people ask for, or stop trying it.

    A share that people see asks for a passed gate, as promoting does; a shadow does not.

    Args:
        force: without a passed gate; a reason is needed then.
        counts: of the one that this ends, for the history.
        instead_of: nothing is changed where another one is in place by now.

    Raises:
        InvalidRequest: a number is out of its range, or there is no reason where one is needed.
        Declined: there is no candidate, or its gate was not passed.
        Busy: another operation is in progress.
    """
    wanted.check()
    if wanted.share >= 1:
        remedy = "With all of them nothing is left to compare with. Promote it instead."
        raise InvalidRequest("share", wanted.share, "0 to less than 1", remedy)
    _require_reason(force, wanted.why)
    with operation(repository, wanted.who, "canary", dry_run, PATIENCE) as found:
        before = aliases.read(repository)
        tried = before.candidates()
        if instead_of is not None and canary.read(repository) != instead_of:
            return outcome(repository, [found, "The canary is another one by now."], False)
        if wanted.is_on and not tried:
            raise Declined(
                "No network has a candidate to try. `maquette models publish` makes one."
            )
        gate = gates.why_not_tried(repository, before) if wanted.share else ""
        if gate and not force:
            raise Declined(gate)
        if not dry_run:
            entry = canary.entry(wanted, tried, counts, forced=bool(gate))
            intent.commit(repository, Intent(entry, canary=wanted))
        return outcome(repository, [found, wanted.told(tried, dry_run)], True, dry_run=dry_run)
