"""Who calls, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import Forbidden


class Scope(StrEnum):
    """What a key or token opens."""

    RENDER = "render"
    """Rendering, and reading the style library."""
    STYLES = "styles"
    """Changing the style library."""
    ADMIN = "admin"
    """Everything, other callers' renders and the metrics included."""


@dataclass(frozen=True)
class Quota:
    """How much one caller may have."""

    calls_per_minute: int
    renders_per_minute: int
    renders_at_once: int
    renders_per_day: int


@dataclass(frozen=True)
class Caller:
    """Whoever a key or token belongs to."""

    id: str
    scopes: frozenset[Scope]
    quota: Quota | None = None
    """None: as much as they like."""

    @property
    def is_admin(self) -> bool:
        """Whether they may do everything."""
        return Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Let the caller pass if `scope` is theirs.

        Raises:
            Forbidden: it is not.
        """
        if scope not in self.scopes and not self.is_admin:
            has = ", ".join(sorted(self.scopes)) or "none"
            raise Forbidden(
                f"This call needs the scope {scope}; the key or token has {has}. "
                f"Ask for one with that scope (`maquette keys create NAME --scope {scope}`)."
            )


ANYBODY = Caller("anybody", frozenset(Scope))
"""Every caller, where callers are not asked who they are."""
