"""How much is measured: a full run, or a look at whether everything works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Effort:
    """Rounds, trials and seconds of each measurement."""

    name: str = "full"
    rounds: int = 5
    diffusers_rounds: int = 3
    steps: int = 20
    renders_at: Mapping[int, int] = field(default_factory=lambda: {1: 4, 2: 6, 4: 8, 8: 16, 16: 16})
    """Renders of each run of the closed loop, by how many are in flight."""
    mix_seconds: float = 30.0
    open_seconds: float = 40.0
    join_trials: int = 5
    short_trials: int = 3
    cancel_trials: int = 5
    pairs: int = 300
    searches: int = 200
    library: tuple[int, ...] = (1, 1_000, 20_000)
    renders_for_memory: int = 5_000
    memory_every: int = 100
    memory_first: int = 1_000
    normal_renders: int = 48
    overload_seconds: float = 60.0
    few_steps_rounds: int = 5


FULL = Effort()
SHORT = Effort(
    name="short",
    rounds=1,
    diffusers_rounds=1,
    steps=4,
    renders_at={1: 1, 2: 2, 4: 4, 8: 8, 16: 16},
    mix_seconds=6.0,
    open_seconds=5.0,
    join_trials=1,
    short_trials=1,
    cancel_trials=1,
    pairs=4,
    searches=20,
    library=(1, 1_000),
    renders_for_memory=40,
    memory_every=10,
    memory_first=10,
    normal_renders=8,
    overload_seconds=8.0,
    few_steps_rounds=1,
)
"""To see that it works; such figures say little."""
