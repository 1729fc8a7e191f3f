"""The measurements there are, by the names that ``--only`` takes, in the order they run in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from bench import alone, company, endurance, few_steps, joining, library, offered
from bench.context import Bench

PARTS: dict[str, Callable[[Bench], Coroutine[Any, Any, dict[str, Any]]]] = {
    "orchestration": alone.orchestration,
    "diffusers": alone.against_diffusers,
    "gateway": alone.gateway,
    "same": company.same_picture,
    "closed": company.closed_loop,
    "join": company.join,
    "short": company.short_among_long,
    "cancel": company.cancel,
    "timeline": joining.timeline,
    "open": offered.open_loop,
    "few-steps": few_steps.few_steps,
    "retrieval": library.retrieval,
    "overload": offered.overload,
    "memory": endurance.memory,
}
