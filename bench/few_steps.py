"""Renders in few steps, where the pack has a UNet that was distilled to it."""

from __future__ import annotations

import time
from itertools import repeat
from typing import Any

from bench.arithmetic import median
from bench.context import MAX_RUNNING, Bench
from maquette.paths import MODEL_REPOSITORY
from versions.served import models_of

SETTINGS: dict[str, Any] = {"scheduler": "lcm", "guidance_scale": 1.0}
STEPS = 4
DISTILLED = "denoiser_lcm"


async def few_steps(bench: Bench) -> dict[str, Any]:
    """Four steps of lcm without guidance against the default; nothing without such a UNet."""
    if DISTILLED not in models_of(MODEL_REPOSITORY):
        return {}
    few, many, rounds = [], [], range(bench.effort.few_steps_rounds)
    ask, caller = bench.ask(STEPS, **SETTINGS), bench.caller
    await caller.render(**ask)
    for _ in bench.each("four and twenty steps in turns", rounds):
        few.append((await caller.render(**ask)).seconds)
        many.append((await caller.render(**bench.ask())).seconds)
    rates: dict[int, list[float]] = {1: [], MAX_RUNNING: []}
    for _ in bench.each("in flight: 1 and 8 in turns", rounds):
        for level, found in rates.items():
            count, began = 2 * MAX_RUNNING, time.perf_counter()
            await caller.closed_loop(repeat(ask), level, count)
            found.append(count / (time.perf_counter() - began))
    one, all_places = (median(found) for found in rates.values())
    return {
        "few_steps_speedup": round(median(many) / median(few), 3),
        "few_steps_throughput_8_over_1": round(all_places / one, 4),
        "few_steps": {
            "few_s": round(median(few), 4),
            "default_s": round(median(many), 4),
            "renders_per_s": {"1": round(one, 4), str(MAX_RUNNING): round(all_places, 4)},
        },
    }
