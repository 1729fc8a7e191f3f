"""One render at a time: what serving adds to the networks, and how it compares with diffusers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

import numpy as np
from tritonclient.grpc import aio as triton

from bench import arithmetic, eager, engines
from bench.arithmetic import median
from bench.caller import Told
from bench.children import child
from bench.context import PROMPT, SEED, SIDE, STYLE, Bench
from bench.engines import Engines
from maquette.client import CallFailed, connect
from maquette.paths import ROOT
from pipeline import images, wire
from pipeline.request import RenderRequest
from serving.ports import LOOPBACK

PACK = ROOT / "packs" / "tiny"
FEW = 1
"""Steps of a render, so that what the gateway adds is not lost in the noise of the networks."""


def give_real_inputs(bench: Bench, running: Engines, batches: tuple[int, ...] = ()) -> None:
    """Hand `running` what a render of the bench's request would hand them."""
    inputs = engines.real_inputs(bench.stack.triton, bench.sketch, bench.style_image, PROMPT, SIDE)
    running.give(inputs, batches)


async def orchestration(bench: Bench) -> dict[str, Any]:
    """One render through the gateway over the bare sum of its engines' executions."""
    served, bare, rounds = [], [], bench.effort.rounds
    styles = styles_of(bench)[: rounds + 1]
    before = _executions(bench)
    with engines.loaded(bench.stack) as running:
        give_real_inputs(bench, running)
        # Each with other words and another style, so that no cache can spare an engine.
        for number, style in enumerate(bench.each("served and bare in turns", styles)):
            prompt = f"{PROMPT}, number {number}"
            told = await bench.caller.render(prompt, **bench.ask(style=style))
            served.append(told.seconds)
            bare.append(running.render_seconds(bench.effort.steps))
    after = _executions(bench)
    return {
        # The first one warms up.
        "orchestration_overhead": round(arithmetic.overhead(served[1:], bare[1:]), 4),
        "orchestration": {
            "served_s": _rounded(served[1:]),
            "bare_s": _rounded(bare[1:]),
            "executions_per_render": {
                model: round((after[model] - before[model]) / len(styles), 3) for model in after
            },
        },
    }


def styles_of(bench: Bench) -> list[str]:
    """Ids of the library's styles but for the usual one."""
    with connect(bench.stack.address) as client:
        return [style.id for style in client.styles() if style.id != STYLE]


def _executions(bench: Bench) -> dict[str, int]:
    return {model: bench.stack.counts(model).executions for model in engines.MODELS}


async def against_diffusers(bench: Bench) -> dict[str, Any]:
    """The same picture by diffusers' eager pipeline on the same cores."""
    served, theirs, difference = [], [], 0.0
    ask = bench.ask(scheduler="ddim")
    rounds = range(bench.effort.diffusers_rounds)
    with child(eager.prepare, PACK, bench.cores) as diffusers:
        edges = _result(await bench.caller.render(**ask)).control_image
        request = (PROMPT, edges, bench.style_image, SEED, bench.effort.steps)
        diffusers(*request)
        for _ in bench.each("served and diffusers in turns", rounds):
            told = await bench.caller.render(**ask)
            served.append(told.seconds)
            seconds, picture = diffusers(*request)
            theirs.append(seconds)
            difference = largest_difference(pixels(told), picture)
    return {
        "speedup_vs_diffusers": round(median(theirs) / median(served), 3),
        "diffusers": {
            "served_s": _rounded(served),
            "diffusers_s": _rounded(theirs),
            "max_diff": round(difference, 5),
        },
    }


async def gateway(bench: Bench) -> dict[str, Any]:
    """What the gateway adds to the ``render`` model called directly, in pairs."""
    ask = bench.ask(FEW)
    through, direct = [], []
    request = RenderRequest(
        sketch=bench.sketch,
        prompt=PROMPT,
        style_images=(bench.style_image,),
        seed=SEED,
        num_inference_steps=FEW,
        width=SIDE,
        height=SIDE,
    )
    address, pairs = bench.stack.triton_address, range(bench.effort.pairs)
    async with triton.InferenceServerClient(address, channel_args=list(LOOPBACK)) as client:
        await bench.caller.render(**ask)
        await _render_directly(client, request)
        for pair in bench.each("through the gateway and directly in turns", pairs):
            # Whoever comes second finds warmer caches, so they take turns at that, too.
            for gateway_turn in (pair % 2 == 0, pair % 2 == 1):
                if gateway_turn:
                    through.append((await bench.caller.render(**ask)).seconds)
                else:
                    direct.append(await _render_directly(client, request))
    added = [1000 * (one - other) for one, other in zip(through, direct, strict=True)]
    return {
        "gateway_added_ms_p50": round(median(added), 3),
        "gateway": {
            "through_s": arithmetic.latencies(through),
            "direct_s": arithmetic.latencies(direct),
            "difference_of_p50s_ms": round(1000 * (median(through) - median(direct)), 3),
            "pairs": bench.effort.pairs,
        },
    }


def pixels(told: Told) -> np.ndarray[Any, Any]:
    """The picture of a render, ``[h, w, 3]`` in bytes."""
    return np.asarray(images.decode(_result(told).images[0].png, "image"))


def largest_difference(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Of any channel of any pixel, 0 to 1."""
    return float(np.abs(one.astype(int) - other.astype(int)).max()) / 255


def _result(told: Told) -> Any:
    if told.result is None:
        raise told.failed or CallFailed("A render brought no picture.")
    return told.result


def _rounded(seconds: list[float]) -> list[float]:
    return [round(one, 4) for one in seconds]


async def _render_directly(client: triton.InferenceServerClient, request: RenderRequest) -> float:
    """Seconds of a render by Triton's ``render`` model, up to its picture."""

    async def asked() -> AsyncIterator[dict[str, Any]]:
        yield {"model_name": "render", "inputs": inputs}

    began = perf_counter()
    inputs = engines.inputs_of("render", wire.to_tensors(request))
    stream = client.stream_infer(asked())
    try:
        async for result, error in stream:
            if error is not None:
                raise error
            if result.as_numpy("images") is not None:
                return perf_counter() - began
    finally:
        stream.cancel()
    raise CallFailed("Triton's render model brought no picture.")
