"""Which share of the renders tries the candidate, and when that is called off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import InvalidRequest, Unavailable
from versions import durable, reading
from versions.described import Described
from versions.history import Entry

FILE = "canary.json"
HIGHEST: Mapping[str, float] = {
    "share": 1, "shadow": 1, "max_error_share": 1, "max_latency_ratio": 1000,
    "max_structure_loss": 1, "least_renders": 1_000_000,
}  # fmt: skip
"""What each number of a canary may be at most; the least is 0."""


@dataclass(frozen=True)
class Bounds(Described):
    """What a candidate may cost; outside of it the canary is called off."""

    max_error_share: float = 0.02
    """Of its renders that may fail, 0 to 1."""
    max_latency_ratio: float = 1.5
    """Its time for a render over the champion's."""
    max_structure_loss: float = 0.05
    """How far its structure F1 may lie below the champion's."""
    least_renders: int = 20
    """Of each, before anything is concluded."""


@dataclass(frozen=True)
class Counts(Described):
    """What a canary came to in one gateway."""

    candidate_renders: int = 0
    failed_renders: int = 0
    """Of the candidate's, those that failed by its fault."""
    champion_renders: int = 0

    @property
    def told(self) -> str:
        """The same in a sentence."""
        return (
            f"The candidate made {self.candidate_renders} renders, of which {self.failed_renders} "
            f"failed; the champion made {self.champion_renders}."
        )


@dataclass(frozen=True)
class Canary(Described):
    """How the candidate is tried on what people ask for."""

    share: float = 0.0
    """Of the renders that the candidate makes, 0 to less than 1."""
    shadow: float = 0.0
    """Of the renders that it makes as well, whose results are compared and thrown away."""
    bounds: Bounds = field(default_factory=Bounds)
    who: str = ""
    why: str = ""
    since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """In ISO 8601; empty where none was ever tried."""

    @property
    def is_on(self) -> bool:
        """Whether any render tries the candidate."""
        return self.share > 0 or self.shadow > 0

    def told(self, tried: Mapping[str, int], dry_run: bool) -> str:
        """What becomes of the candidates in `tried`, in one sentence."""
        if not self.is_on:
            return "The canary would be over." if dry_run else "The canary is over."
        names = ", ".join(f"{name} {version}" for name, version in tried.items())
        parts = []
        if self.share:
            parts.append(f"makes {self.share:.0%} of the renders")
        if self.shadow:
            parts.append(f"makes {self.shadow:.0%} of the renders once more, unseen")
        return f"The candidate ({names}) {'would' if dry_run else 'now'}: {', and '.join(parts)}."

    def check(self) -> None:
        """See that every number is in its range.

        Raises:
            InvalidRequest: one is not.
        """
        for name, highest in HIGHEST.items():
            value = getattr(self if name in ("share", "shadow") else self.bounds, name)
            if not 0 <= value <= highest:
                raise InvalidRequest(name, value, f"0 to {highest:g}", "Give another number.")


def read(repository: Path) -> Canary:
    """How the candidate is tried in `repository`; without a file, not at all.

    Raises:
        Unavailable: the file is not what it should be.
    """
    path = repository / FILE
    try:
        canary = from_dict(reading.from_json(path.read_bytes()))
        canary.check()
    except FileNotFoundError:
        return Canary(since="")
    except (OSError, TypeError, ValueError, KeyError, InvalidRequest) as error:
        raise Unavailable(
            f"{path} does not say how the candidate is tried ({error}). "
            "`maquette models canary 0` writes it anew."
        ) from error
    return canary


def from_dict(found: Mapping[str, Any]) -> Canary:
    """The canary that stands in a file as `found`; TypeError or KeyError when it is none."""
    return reading.checked(Canary(**{**found, "bounds": Bounds(**found["bounds"])}))


def entry(
    found: Canary, tried: Mapping[str, int], counts: Counts | None = None, *, forced: bool = False
) -> Entry:
    """The line of the history for `found`, and for what it came to if that is known."""
    measures = {"share": found.share, "shadow": found.shadow}
    return Entry(
        "canary",
        " ".join(tried),
        found.who,
        found.why,
        forced=forced,
        pinned=dict(tried),
        measures=measures
        | ({name: float(n) for name, n in vars(counts).items()} if counts else {}),
    )


def write(repository: Path, canary: Canary) -> None:
    """Put `canary` in place of what was there, at once and for good."""
    durable.write_json(repository / FILE, asdict(canary))
