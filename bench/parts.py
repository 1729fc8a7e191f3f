"""The measurements there are, by the names that ``--only`` takes, in the order they run in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bench import alone, company, endurance, few_steps, joining, library, offered
from bench.context import Bench


@dataclass(frozen=True)
class Part:
    """One measurement."""

    what: str
    measure: Callable[[Bench], Awaitable[dict[str, Any]]]


PARTS = {
    "orchestration": Part("one render over the sum of its engines", alone.orchestration),
    "diffusers": Part("one render and diffusers' eager pipeline", alone.against_diffusers),
    "gateway": Part("what the gateway adds to Triton", alone.gateway),
    "same": Part("the same picture in company", company.same_picture),
    "closed": Part("a closed loop of 1 to 16", company.closed_loop),
    "join": Part("joining a running batch", company.join),
    "short": Part("a short render among long ones", company.short_among_long),
    "cancel": Part("stopping a render", company.cancel),
    "timeline": Part("a batch over time", joining.timeline),
    "open": Part("an open loop at 50, 80 and 95 %", offered.open_loop),
    "few-steps": Part("renders in few steps", few_steps.few_steps),
    "retrieval": Part("embedding and search", library.retrieval),
    "overload": Part("twice the capacity", offered.overload),
    "memory": Part("memory over many renders", endurance.memory),
}
