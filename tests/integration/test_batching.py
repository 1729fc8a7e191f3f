"""Renders in flight share the batches of each step, and leave them when they are not wanted."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

import pytest
from PIL import Image

from maquette.v1 import maquette_pb2 as pb
from tests.integration.stack import settled, stub_of, wait_until
from tests.pictures import difference, encoded

LONG = 60


def render(live, request):
    with live.channel() as channel:
        return stub_of(channel).Render(request).images[0].png


def check_company(live, requests, steps):
    """Each of `requests` gives the same picture among the others, in shared batches.

    Args:
        steps: that all of them take together, two rows each.
    """
    alone = [render(live, request) for request in requests]
    inferences, executions = live.inferences(), live.executions()
    with ThreadPoolExecutor(len(requests)) as pool:
        together = list(pool.map(partial(render, live), requests))
    assert max(difference(*pair) for pair in zip(alone, together, strict=True)) <= 1
    rows = live.inferences() - inferences
    assert rows == 2 * steps
    assert rows / (live.executions() - executions) > 2


def test_eight_at_once_are_batched_and_each_is_right(live, request_for):
    requests = [
        request_for(seed=seed, num_inference_steps=8 + seed % 3, guidance_scale=3.0 + seed)
        for seed in range(8)
    ]
    check_company(live, requests, sum(request.num_inference_steps for request in requests))


def test_what_begins_with_a_picture_joins_the_others_batches(live, request_for):
    image = render(live, request_for())
    mask = Image.new("L", (256, 256))
    mask.paste(255, (64, 64, 192, 192))
    refined = {"image": image, "strength": 0.5, "num_inference_steps": 16}
    repainted = {"image": image, "mask": encoded(mask), "num_inference_steps": 8}
    plain = {"num_inference_steps": 8}
    # A step in each of nine tiles.
    enlarged = {"image": image, "upscale": 2, "upscale_strength": 0.05}
    begun = (refined, repainted, plain, enlarged) * 2
    requests = [request_for(seed=seed, **fields) for seed, fields in enumerate(begun)]
    check_company(live, requests, 2 * (3 * 8 + 9))


def test_a_short_render_among_long_ones_is_finished_first(live, request_for):
    """It joins their batch; it does not wait for any of them."""
    long_ones = 7
    begun = threading.Barrier(long_ones + 1, timeout=60)
    done = threading.Event()
    unfinished = []

    def run_long(seed):
        with live.channel() as channel:
            call = stub_of(channel).RenderStream(request_for(seed=seed, num_inference_steps=LONG))
            for event in call:
                if event.progress.step == 2:
                    begun.wait()
                if done.is_set() and event.HasField("progress"):
                    unfinished.append(event.progress.step)
                    call.cancel()
                    return

    with ThreadPoolExecutor(long_ones) as pool:
        running = [pool.submit(run_long, seed) for seed in range(long_ones)]
        begun.wait()
        inferences, executions = live.inferences(), live.executions()
        with live.channel() as channel:
            assert stub_of(channel).Render(request_for(num_inference_steps=4)).images
        rows, runs = live.inferences() - inferences, live.executions() - executions
        done.set()
        wait(running)
    for one in running:
        one.result()
    assert len(unfinished) == long_ones
    assert max(unfinished) < LONG
    assert rows / runs > 2 * long_ones / 2


def cancel(call, channel):
    call.cancel()


def disconnect(call, channel):
    channel.close()


@pytest.mark.parametrize("leave", [cancel, disconnect])
def test_a_client_that_leaves_stops_its_render(live, stub, request_for, leave):
    identity = f"left-{uuid.uuid4()}"
    channel = live.channel()
    call = stub_of(channel).RenderStream(request_for(id=identity, num_inference_steps=100))
    for event in call:
        if event.progress.step == 3:
            break
    leave(call, channel)
    wait_until(lambda: state_of(stub, identity) == pb.RENDER_STATE_CANCELLED, 30)
    left_at = live.executions()
    # The one that was under way.
    assert settled(live.executions) - left_at <= 1
    channel.close()
    assert stub.Render(request_for()).images


def state_of(stub, identity):
    return stub.GetRender(pb.GetRenderRequest(id=identity)).state
