"""Enlarged pictures: tiles of a canvas, and whole renders over the closed-form stack."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from pipeline import contract, images
from pipeline.enlarge import ROWS_AT_ONCE, Enlarging, spans, tiled
from pipeline.errors import InvalidRequest
from pipeline.render import render
from pipeline.request import RenderRequest
from pipeline.samplers import SAMPLERS
from pipeline.size import require_paintable
from pipeline.topology import SD15
from tests.pictures import encoded, pixels
from tests.pipeline.test_preview import LATENT_RGB
from tests.pipeline.test_render import PACK, ClosedFormStack, ignore, mask, photo, request


@pytest.mark.parametrize("length", [8, 16, 32, 40, 56, 57, 64, 100, 128, 256])
@pytest.mark.parametrize("side", [32, 64])
def test_the_shares_of_all_tiles_are_one_everywhere(length, side):
    found, total = spans(length, side), np.zeros(length)
    for span in found:
        total[span.of()] += span.share
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert {len(span.share) for span in found} == {min(side, length)}
    assert all(span.share.min() > 0 for span in found)
    for before, after in pairwise(found):
        assert before.start + side - after.start >= side / 4
        # What one is sure of at its end counts for little beside the middle of another.
        assert before.share[-1] < 0.15


def tiles_of(width, height, upscale=2):
    asked = RenderRequest(b"s", "a house", style_images=(b"s",), upscale=upscale)
    return Enlarging.of(asked, (width, height), 256, SD15)


@pytest.mark.parametrize(
    ("size", "upscale", "tiles"),
    [((256, 256), 2, 9), ((256, 256), 4, 25), ((128, 128), 2, 1), ((64, 320), 4, 7)],
)
def test_tiles_have_the_native_side(size, upscale, tiles):
    larger = tiles_of(*size, upscale)
    assert len(larger.tiles) == tiles
    cut = [tile.cut(np.zeros((1, larger.size[1], larger.size[0])), 8) for tile in larger.tiles]
    assert {piece.shape for piece in cut} == {(1, 256, 256)}


def inputs(rows, height, width):
    draw = np.random.default_rng(1).standard_normal
    return {
        "sample": draw((rows, 4, height, width), dtype=np.float32),
        "control_image": np.zeros((rows, 1, height * 8, width * 8), np.uint8),
    }


@pytest.mark.parametrize(("rows", "calls"), [(1, [8, 1]), (2, [8, 8, 2]), (8, [8] * 9)])
async def test_a_few_tiles_are_predicted_in_a_call(rows, calls):
    asked, done, larger = [], 0, tiles_of(256, 256)
    given = {**inputs(rows, 64, 64), "timestep": np.arange(rows, dtype=np.float32)[:, None]}

    async def count():
        nonlocal done
        done += 1

    async def by_row(tile):
        asked.append(len(tile["sample"]))
        assert {len(array) for array in tile.values()} == {asked[-1]}
        return tile["sample"] * tile["timestep"][..., None, None]

    found = await tiled(by_row, larger.tiles, 8, count)(given)
    assert asked == calls
    # The ninth is told with its step.
    assert done == 8
    wanted = given["sample"] * given["timestep"][..., None, None]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert 2 * ROWS_AT_ONCE <= contract.BATCH_LIMIT


async def test_each_tile_sees_the_edges_of_its_place():
    larger = tiles_of(256, 320)
    given = inputs(2, 80, 64)
    given["control_image"][:] = np.arange(640, dtype=np.uint16)[:, None] // 8

    async def edges_alone(tile):
        return np.repeat(tile["control_image"][..., ::8, ::8], 4, axis=1).astype(np.float32)

    async def nothing():
        pass

    found = await tiled(edges_alone, larger.tiles, 8, nothing)(given)
    np.testing.assert_allclose(found, np.broadcast_to(np.arange(80)[:, None], (2, 4, 80, 64)), 1e-5)


def enlarged(sketch, style_image, **changed):
    return request(sketch, style_image, **{"upscale": 2, "num_inference_steps": 10, **changed})


def opened(png):
    return Image.open(io.BytesIO(png))


@pytest.mark.parametrize("scheduler", SAMPLERS)
@pytest.mark.parametrize("size", [(128, 128), (192, 128)])
async def test_in_one_tile_or_where_tiles_agree_it_is_a_refined_picture(
    sketch, style_image, size, scheduler
):
    """The closed-form network looks at each place by itself, so that all tiles agree."""
    asked = enlarged(sketch, style_image, image=photo(size), scheduler=scheduler)
    done = await render(ClosedFormStack(), asked, PACK, ignore)
    twice = images.scaled(opened(photo(size)), (size[0] * 2, size[1] * 2))
    refined = replace(asked, image=encoded(twice), upscale=1, strength=0.35)
    wanted = await render(ClosedFormStack(), refined, PACK, ignore)
    assert opened(done.images[0]).size == twice.size
    assert done.control_image == wanted.control_image
    # But for the colours.
    small, painted = (pixels(png).astype(np.uint8) for png in (photo(size), wanted.images[0]))
    coloured = tiles_of(*size).finished([small], [painted])[0].astype(int)
    assert np.abs(pixels(done.images[0]) - coloured).max() <= 1
    assert np.abs(pixels(wanted.images[0]) - coloured).mean() > 1


def test_colours_stay_and_lines_are_painted():
    small = np.zeros((128, 128, 3), np.uint8)
    small[:, :64], small[:, 64:] = (200, 40, 40), (60, 60, 200)
    painted = np.full((256, 256, 3), 90, np.uint8)
    painted[100:102] = 10
    found = tiles_of(128, 128).finished([small], [painted])[0].astype(int)
    assert np.abs(found[50, 60] - small[25, 30]).max() <= 2
    assert np.abs(found[200, 200] - small[100, 100]).max() <= 2
    assert (found[95, 200] - found[100, 200]).min() > 40


async def test_a_render_ends_larger(sketch, style_image):
    stack, told = ClosedFormStack(), []

    async def on_step(step, steps, previews):
        told.append((step, steps))

    asked = enlarged(sketch, style_image, num_images=2)
    done = await render(stack, asked, PACK, on_step)
    # 3 of 10 steps, in 9 tiles each, two in a call.
    tiles, calls = 3 * 9, 3 * 5
    assert [name for name in stack.called if name != "denoiser"] == [
        "condition", "vae_decoder", "canny", *["vae_encoder"] * 2 * 9, *["vae_decoder"] * 9,
    ]  # fmt: skip
    assert stack.called.count("denoiser") == 10 + calls
    assert told == [(step, 10 + tiles) for step in range(1, 10 + tiles + 1)]
    assert done.steps == 10 + tiles
    assert [opened(png).size for png in (*done.images, done.control_image)] == [(512, 512)] * 3
    single = await render(ClosedFormStack(), replace(asked, num_images=1, seed=6), PACK, ignore)
    assert single.images[0] == done.images[1] != done.images[0]
    # The same as of the small picture that comes before it.
    small = await render(ClosedFormStack(), replace(asked, upscale=1), PACK, ignore)
    of_it = replace(asked, image=small.images[1], num_images=1, seed=6)
    assert (await render(ClosedFormStack(), of_it, PACK, ignore)).images[0] == done.images[1]


async def test_an_upload_of_any_size_is_enlarged_as_it_is(sketch, style_image):
    stack = ClosedFormStack()
    asked = enlarged(b"", style_image, image=photo((150, 333)), upscale_strength=0.05)
    done = await render(stack, asked, PACK, ignore)
    assert opened(done.images[0]).size == opened(done.control_image).size == (300, 666)
    # A step is taken all the same, of twenty.
    assert done.steps == 2 * 4
    assert stack.called.count("denoiser") == 2
    wide = replace(asked, width=128, height=192)
    assert opened((await render(stack, wide, PACK, ignore)).images[0]).size == (256, 384)


@pytest.mark.parametrize(
    ("steps", "strength", "expected"),
    [(20, 0.35, (20, 7)), (10, 0.35, (10, 3)), (2, 0.35, (3, 1)), (1, 0.35, (3, 1)),
     (1, 1, (1, 1)), (150, 0.05, (150, 7)), (4, 0.05, (20, 1))],
)  # fmt: skip
def test_however_few_the_steps_the_first_is_no_stronger_than_asked(steps, strength, expected):
    asked = RenderRequest(
        b"s", "a house", num_inference_steps=steps, upscale=2, upscale_strength=strength
    )
    scheduled, taken = asked.upscale_steps
    assert (scheduled, taken) == expected
    assert taken / scheduled <= strength


async def test_leaving_at_a_tile_stops_the_networks(sketch, style_image):
    stack = ClosedFormStack()

    async def leave(step, steps, previews):
        if step == 10 + 6:
            raise LookupError

    with pytest.raises(LookupError):
        await render(stack, enlarged(sketch, style_image), PACK, leave)
    # Of two rows a tile, four tiles in a call.
    assert stack.called.count("denoiser") == 10 + 2


async def test_previews_come_of_whole_steps(sketch, style_image):
    told = []

    async def on_step(step, steps, previews):
        told.append((step, [opened(png).size for png in previews]))

    asked = enlarged(sketch, style_image, preview_interval=1, num_inference_steps=6)
    await render(ClosedFormStack(), asked, replace(PACK, latent_rgb=LATENT_RGB), on_step)
    sizes = {step: made for step, made in told if made}
    assert sizes == {**{n: [(128, 128)] for n in range(1, 7)}, 6 + 9: [(256, 256)]}


async def test_edges_need_not_hold_in_the_mask_of_what_is_enlarged(sketch, style_image):
    asked = enlarged(b"", style_image, image=photo(), mask=mask(), control_in_mask=False)
    done = await render(ClosedFormStack(), asked, PACK, ignore)
    inside = pixels(mask())[..., 0].repeat(2, 0).repeat(2, 1) > 0
    edges = pixels(done.control_image)[..., 0]
    assert edges.any()
    assert not edges[inside].any()
    held = await render(ClosedFormStack(), replace(asked, control_in_mask=True), PACK, ignore)
    assert pixels(held.control_image)[inside].any()


async def test_more_than_the_pack_may_paint_is_refused(sketch, style_image):
    stack = ClosedFormStack()
    asked = enlarged(b"", style_image, image=photo((1024, 1032)), upscale=4)
    with pytest.raises(InvalidRequest) as refused:
        await render(stack, asked, PACK, ignore)
    assert str(refused.value) == (
        "upscale is 4 (x 1024 x 1032 = 4096 x 4128 pixels); allowed: at most 4,194,304 pixels with "
        "this pack. Enlarge it less, or begin with a smaller picture."
    )
    assert not stack.called
    # Before it waits, too.
    with pytest.raises(InvalidRequest, match=r"^upscale is 4 \(x 512 x 513 ="):
        require_paintable(asked, {"image": (512, 513)}, 256)
    require_paintable(asked, {"image": (512, 512)}, 256)
    # A strip that is no render's shape.
    require_paintable(asked, {"image": (1024, 16)}, 256)
