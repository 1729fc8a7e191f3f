"""How anything about versions is changed: alone, written down first, and told afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pipeline import contract, pinned_versions
from pipeline.errors import MaquetteError, NotFound
from pipeline.pinned_versions import EXPORTED
from versions import aliases, canary, catalogue, intent, locks, manifest
from versions.aliases import CLIP, Aliases, Snapshot
from versions.canary import Canary
from versions.catalogue import members
from versions.described import Described
from versions.errors import Busy, Declined, disk_refuses
from versions.history import Entry
from versions.intent import Intent


@dataclass(frozen=True)
class Outcome(Described):
    """What an operation did."""

    said: tuple[str, ...]
    """Sentences for whoever asked; what was found half done comes first."""
    changed: bool
    """Whether anything is otherwise than before; after a dry run nothing is."""
    model: str = ""
    version: int | None = None
    """The version that was published, promoted, rolled back to or retired."""
    served_versions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What is to be served afterwards: by alias, the version of each network that paints."""
    clip: int = EXPORTED
    """The version of the pair that is to find styles afterwards."""
    would_change: bool = False
    """Whether a dry run found something to change."""


class Found(str):
    """What was found half done, in a sentence; empty where nothing was."""

    finished: Entry | None = None
    """What the history says of it, where it was finished."""

    def is_finished(self, action: str, model: str) -> bool:
        """Whether it was the very thing that is asked for again."""
        done = self.finished
        return done is not None and (done.action, done.model) == (action, model)


@contextmanager
def operation(
    repository: Path, who: str, doing: str, dry_run: bool, patience: float = 0.0
) -> Iterator[Found]:
    """Nobody else changes anything meanwhile; gives what was found half done and is mended.

    What fails in the block tells that first.

    A dry run changes nothing, so it keeps nobody out.

    Raises:
        NotFound: there is no such repository.
        Busy: another operation is in progress.
        Unavailable: the disk does not do what it should.
    """
    if dry_run:
        require_folder(repository)
        left = intent.pending(repository)
        yield Found(f"The {left.told} is in progress, or was interrupted." if left else "")
        return
    with holding(repository, who, doing, locks.OPERATION, patience):
        found = _mended(repository, who)
        try:
            yield found
        except MaquetteError as error:
            if found:
                error.args = (f"{found} {error}",)
            raise


@contextmanager
def holding(
    repository: Path, who: str, doing: str, lock: str, patience: float = 0.0
) -> Iterator[None]:
    """Hold `lock`; what the disk refuses is one sentence.

    Raises:
        NotFound: there is no such repository.
        Busy: somebody else holds it.
        Unavailable: the disk does not do what it should.
    """
    require_folder(repository)
    try:
        with locks.operating(repository, who, doing, lock, patience):
            yield
    except OSError as error:
        raise disk_refuses(error, repository) from error


def require_folder(repository: Path) -> None:
    """See that `repository` is there.

    Raises:
        NotFound: it is not.
    """
    if not repository.is_dir():
        raise NotFound(f"{repository} is not a folder. Give the model repository's.")


def require_finished(repository: Path) -> None:
    """See that the export into `repository` ended: none goes on where versions are managed.

    Raises:
        NotFound: there is no such repository.
        Declined: it did not.
    """
    require_folder(repository)
    if not (repository / catalogue.FINISHED).exists():
        raise Declined(
            f"The export into {repository} did not finish: there is no {catalogue.FINISHED}. Run "
            "the same `maquette export` again, which goes on where it was, and then this command."
        )


def _mended(repository: Path, who: str) -> Found:
    """Finish or undo what was left half done; a copy that goes on is left alone."""
    left = intent.pending(repository)
    said = intent.recover(repository)
    with (
        suppress(Busy),
        locks.operating(repository, who, "a look at what was interrupted", locks.PUBLISHING),
    ):
        said = f"{said} {intent.recover_copying(repository)}".strip()
    found = Found(said)
    found.finished = left.entry if left and intent.is_finished(repository, left) else None
    return found


def switch(
    repository: Path,
    before: Snapshot,
    model: str,
    after: Aliases,
    entry: Entry,
    told: str,
    dry_run: bool,
    found: str,
) -> Outcome:
    """Put `after` in place of the aliases of `model`."""
    plan, ended = with_aliases(Intent(entry), before, model, after, repository)
    if not dry_run:
        intent.commit(repository, plan)
    said = [found, told.format(tense(dry_run)), ended]
    version = entry.to_version or entry.from_version
    return outcome(repository, said, True, model, version, dry_run=dry_run)


def with_aliases(
    plan: Intent, before: Snapshot, model: str, after: Aliases, repository: Path
) -> tuple[Intent, str]:
    """`plan` that puts `after` in place, and what it says of the canary.

    A canary is of the candidates that it was begun with: others are not tried on people unasked.
    """
    plan = replace(plan, aliases={members(model)[0]: after})
    same = after.candidate == before.of(model).candidate
    if same or model not in pinned_versions.NETWORKS or not canary.read(repository).is_on:
        return plan, ""
    why = f"The candidate of {model} changed."
    return replace(plan, canary=Canary(who=plan.entry.who, why=why)), "The canary is over."


def unnamed(model: str, before: Aliases, after: Aliases, *, dry_run: bool) -> str:
    """Which version of `model` loses its alias to another; empty where none does."""
    lost = [
        f"{model} {version} {tense(dry_run)} no longer the {alias}; its files stay."
        for alias, version in asdict(before).items()
        if version in before.versions - after.versions
    ]
    return " ".join(lost)


def outcome(
    repository: Path,
    said: list[str],
    changed: bool,
    model: str = "",
    version: int | None = None,
    *,
    dry_run: bool = False,
) -> Outcome:
    """What was done, or would be, as `said`, and what serves now."""
    sentences = tuple(sentence for sentence in said if sentence)
    named = aliases.read(repository)
    return Outcome(
        sentences,
        changed and not dry_run,
        model,
        version,
        {alias: pinned.versions for alias, pinned in named.served_versions().items()},
        named.champion(CLIP[0]),
        changed and dry_run,
    )


def require_whole(repository: Path, model: str, version: int) -> None:
    """See that every file of a version is there.

    Raises:
        NotFound: there is no such version.
        Declined: it is not whole, or is the UNet for few steps.
    """
    if (model, version) == ("unet", contract.FEW_STEPS_VERSION):
        raise Declined("unet 2 paints in few steps for scheduler LCM, and is never the champion.")
    for name in members(model):
        folder = repository / name / str(version)
        if not folder.is_dir():
            raise NotFound(catalogue.no_version(repository, model, version))
        manifest.require_names(folder, manifest.read(folder))


def tense(dry_run: bool) -> str:
    """The word for what happens, or would."""
    return "would be" if dry_run else "is"
