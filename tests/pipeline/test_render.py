"""The story of a render over a small closed-form stack that honours the contract."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline import contract, control, pinned_versions
from pipeline.errors import InvalidRequest
from pipeline.painter import PackFacts
from pipeline.pinned_versions import PinnedVersions
from pipeline.render import render
from pipeline.request import RenderRequest
from pipeline.samplers import SAMPLERS, NoiseSchedule
from tests.pictures import encoded
from tests.pipeline.test_control import fine_and_thick
from tests.pipeline.test_samplers import SD15

PACK = PackFacts(NoiseSchedule.from_config(SD15), native_size=256)


class ClosedFormStack:
    """Every model that a render calls, in a line or two of NumPy."""

    def __init__(self):
        self.called = []

    async def __call__(self, model, inputs):
        self.called.append(model)
        name = pinned_versions.base(model)
        assert set(inputs) == {tensor.name for tensor in contract.MODELS[name].inputs}
        return getattr(self, name)(inputs)

    @staticmethod
    def condition(inputs):
        lengths = np.array([len(row[0]) for row in inputs["texts"]], np.float32)
        weighted = (inputs["style_weights"] * [len(i[0]) for i in inputs["style_images"]]).sum()
        return {
            "control_image": control.of_tensors(inputs),
            "prompt_embeds": lengths[:, None, None] * np.ones((2, 77, 4), np.float32),
            "token_weights": np.ones((2, 77), np.float32),
            "ip_adapter_image_embeds": np.full((2, 4, 4), weighted, np.float32),
            "dropped_tokens": np.array([[0], [max(0, int(lengths[1]) - 75)]], np.int32),
        }

    @staticmethod
    def canny(inputs):
        return {"control_image": control.of_tensors(inputs)}

    @staticmethod
    def denoiser(inputs):
        edges = inputs["control_image"][:, :, ::8, ::8] / np.float32(255)
        return {"noise_pred": np.tanh(inputs["sample"]) * 0.9 + 0.1 * edges}

    denoiser_lcm = denoiser

    @staticmethod
    def vae_decoder(inputs):
        return {"pixels": np.tanh(inputs["latents"][:, :3].repeat(8, axis=2).repeat(8, axis=3))}

    @staticmethod
    def vae_encoder(inputs):
        pixels = inputs["pixels"][:, :, ::8, ::8]
        return {"latents": np.concatenate([pixels, pixels[:, :1]], axis=1)}


async def ignore(step, steps, previews):
    pass


def request(sketch, style_image, **changed):
    return RenderRequest(
        **{"sketch": sketch, "prompt": "a house", "style_images": (style_image,), "seed": 5,
           "num_inference_steps": 4, **changed}
    )  # fmt: skip


async def test_conditions_once_and_steps_as_often_as_asked(sketch, style_image):
    stack = ClosedFormStack()
    done = await render(stack, request(sketch, style_image), PACK, ignore)
    assert stack.called == ["condition", *["denoiser"] * 4, "vae_decoder"]
    picture = Image.open(io.BytesIO(done.images[0]))
    assert (picture.size, picture.format) == ((256, 256), "PNG")
    edges = np.asarray(Image.open(io.BytesIO(done.control_image)))
    assert set(np.unique(edges)) == {0, 255}
    assert 0 <= done.structure_f1[0] <= 1


@pytest.mark.parametrize(
    ("scheduler", "guidance_scale", "few_steps", "model"),
    [
        ("lcm", 1.0, True, "denoiser_lcm"),
        ("lcm", 1.5, True, "denoiser"),
        ("lcm", 1.0, False, "denoiser"),
        ("ddim", 1.0, True, "denoiser"),
    ],
)
async def test_lcm_without_guidance_steps_through_weights_made_for_it(
    sketch, style_image, scheduler, guidance_scale, few_steps, model
):
    stack = ClosedFormStack()
    asked = request(sketch, style_image, scheduler=scheduler, guidance_scale=guidance_scale)
    await render(stack, asked, replace(PACK, few_steps=few_steps), ignore)
    assert stack.called == ["condition", *[model] * 4, "vae_decoder"]


@pytest.mark.parametrize("few_steps", [False, True])
async def test_all_of_a_render_is_made_by_one_line_up(sketch, style_image, few_steps):
    stack, pinned = ClosedFormStack(), PinnedVersions(controlnet=2, unet=3, vae_decoder=4)
    asked = request(sketch, style_image, scheduler="lcm", guidance_scale=1, num_inference_steps=2)
    pack = replace(PACK, few_steps=few_steps)
    done = await render(stack, asked, pack, ignore, pinned)
    mark = "controlnet2-unet3-vae_decoder4"
    denoiser = "denoiser_lcm" if few_steps else "denoiser"
    assert stack.called == [f"condition.{mark}", *[f"{denoiser}.{mark}"] * 2, "vae_decoder/4"]
    # The UNet for few steps is no newer or older version of the other one.
    unet = contract.FEW_STEPS_VERSION if few_steps else 3
    assert done.versions == {**pinned.versions, "unet": unet}


async def test_several_images_have_seeds_in_a_row_and_equal_the_single_ones(sketch, style_image):
    stack = ClosedFormStack()
    several = await render(stack, request(sketch, style_image, num_images=3), PACK, ignore)
    assert several.seeds == (5, 6, 7)
    single = await render(stack, request(sketch, style_image, seed=6), PACK, ignore)
    assert several.images[1] == single.images[0]
    assert several.images[0] != several.images[1]


async def test_the_last_seed_is_followed_by_the_first(sketch, style_image):
    wanted = request(sketch, style_image, seed=2**32 - 1, num_images=2)
    done = await render(ClosedFormStack(), wanted, PACK, ignore)
    assert done.seeds == (2**32 - 1, 0)


async def test_without_a_seed_one_is_drawn_and_told(sketch, style_image):
    drawn = [
        await render(ClosedFormStack(), request(sketch, style_image, seed=None), PACK, ignore)
        for _ in range(2)
    ]
    assert drawn[0].seeds != drawn[1].seeds
    told = request(sketch, style_image, seed=drawn[0].seeds[0])
    again = await render(ClosedFormStack(), told, PACK, ignore)
    assert again.images == drawn[0].images


async def test_what_was_left_out_is_told(sketch, style_image):
    long = request(sketch, style_image, prompt="x" * 80)
    done = await render(ClosedFormStack(), long, PACK, ignore)
    assert [warning.split(": ")[1][:17] for warning in done.warnings] == ["its last 5 tokens"]
    done = await render(ClosedFormStack(), request(fine_and_thick(), style_image), PACK, ignore)
    assert len(done.warnings) == 1
    assert re.match(
        r"sketch has fine lines that are gone at 256 x 256 pixels: [1-9]\d% of its edges",
        done.warnings[0],
    )
    plain = await render(ClosedFormStack(), request(sketch, style_image), PACK, ignore)
    assert plain.warnings == ()


async def test_a_blank_sketch_is_refused_unless_it_is_not_to_hold_anything(style_image):
    blank = request(encoded(Image.new("RGB", (64, 64), "white")), style_image)
    stack = ClosedFormStack()
    with pytest.raises(
        InvalidRequest, match="^sketch is a picture with no edges at the thresh"
    ) as e:
        await render(stack, blank, PACK, ignore)
    assert "set controlnet_conditioning_scale to 0" in str(e.value)
    assert stack.called == ["condition"]
    without = replace(blank, controlnet_conditioning_scale=0)
    assert (await render(ClosedFormStack(), without, PACK, ignore)).images


async def test_the_callers_size_wins(sketch, style_image):
    wanted = request(sketch, style_image, width=192, height=128)
    done = await render(ClosedFormStack(), wanted, PACK, ignore)
    assert Image.open(io.BytesIO(done.images[0])).size == (192, 128)


async def test_leaving_at_a_step_stops_the_networks(sketch, style_image):
    stack = ClosedFormStack()

    async def leave(step, steps, previews):
        if step == 2:
            raise LookupError

    with pytest.raises(LookupError):
        await render(stack, request(sketch, style_image), PACK, leave)
    assert stack.called == ["condition", "denoiser", "denoiser"]


def photo(size=(256, 256)):
    shades = np.linspace(0, 255, size[0] * size[1] * 3).reshape(size[1], size[0], 3)
    house = Image.fromarray(shades.astype(np.uint8))
    house.paste("navy", (40, 60, 120, 100))
    return encoded(house)


async def test_a_picture_is_refined_in_a_share_of_the_steps(sketch, style_image):
    stack, told = ClosedFormStack(), []
    asked = request(sketch, style_image, image=photo(), strength=0.5)

    async def count(step, steps, previews):
        told.append((step, steps))

    done = await render(stack, asked, PACK, count)
    assert stack.called == ["condition", "vae_encoder", *["denoiser"] * 2, "vae_decoder"]
    assert told == [(1, 2), (2, 2)]
    others = {
        (await render(ClosedFormStack(), changed, PACK, ignore)).images[0]
        for changed in (
            request(sketch, style_image),
            replace(asked, strength=0.75),
            replace(asked, image=photo((256, 192)), height=256),
        )
    }
    assert len(others) == 3
    assert done.images[0] not in others


async def test_without_a_sketch_the_edges_are_those_of_the_image(sketch, style_image):
    asked = request(b"", style_image, image=photo(), strength=0.5)
    done = await render(ClosedFormStack(), asked, PACK, ignore)
    drawn = await render(ClosedFormStack(), replace(asked, sketch=photo()), PACK, ignore)
    other = await render(ClosedFormStack(), replace(asked, sketch=sketch), PACK, ignore)
    assert done.control_image == drawn.control_image != other.control_image
    assert done.images == drawn.images
    blank = replace(asked, image=encoded(Image.new("RGB", (256, 256), "white")))
    with pytest.raises(InvalidRequest, match="^image is a picture with no edges"):
        await render(ClosedFormStack(), blank, PACK, ignore)


@pytest.mark.parametrize(("size", "expected"), [((192, 320), (192, 320)), ((500, 500), (256, 256))])
async def test_an_image_keeps_its_size_where_a_render_may_have_it(
    sketch, style_image, size, expected
):
    asked = request(sketch, style_image, image=photo(size))
    done = await render(ClosedFormStack(), asked, PACK, ignore)
    assert Image.open(io.BytesIO(done.images[0])).size == expected


async def test_several_refined_pictures_equal_the_single_ones(sketch, style_image):
    asked = request(sketch, style_image, image=photo(), strength=0.5)
    several = await render(ClosedFormStack(), replace(asked, num_images=3), PACK, ignore)
    single = await render(ClosedFormStack(), replace(asked, seed=6), PACK, ignore)
    assert several.images[1] == single.images[0]


def mask(size=(256, 256), mode="L", grey=255):
    drawn = Image.new(mode, size, 0)
    drawn.paste(grey, (96, 64, 200, 160))
    return encoded(drawn)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)


@pytest.mark.parametrize("scheduler", SAMPLERS)
async def test_outside_a_mask_the_picture_is_the_same(sketch, style_image, scheduler):
    asked = request(
        sketch, style_image, image=photo(), mask=mask(), scheduler=scheduler, num_images=2
    )
    stack = ClosedFormStack()
    done = await render(stack, asked, PACK, ignore)
    # All steps are taken, since nothing of what is there has to stay.
    assert stack.called.count("denoiser") == 4
    inside, original = pixels(mask())[..., 0] > 0, pixels(photo())
    for png in done.images:
        assert np.array_equal(pixels(png)[~inside], original[~inside])
        assert np.abs(pixels(png) - original)[inside].mean() > 5
    single = await render(ClosedFormStack(), replace(asked, num_images=1), PACK, ignore)
    assert single.images[0] == done.images[0]


async def test_with_blur_it_is_the_same_outside_the_blur(sketch, style_image):
    asked = request(sketch, style_image, image=photo(), mask=mask(), mask_blur=4)
    changed = pixels((await render(ClosedFormStack(), asked, PACK, ignore)).images[0])
    differs = (changed != pixels(photo())).any(axis=-1)
    far = np.ones_like(differs)
    far[96 - 40 : 160 + 40, 96 - 40 : 200 + 40] = False
    hard = pixels(mask())[..., 0] > 0
    assert not differs[far].any()
    assert differs[~hard].any()


async def test_the_transparent_part_of_a_mask_is_painted(sketch, style_image):
    hole = Image.open(io.BytesIO(photo())).convert("RGBA")
    hole.putalpha(Image.open(io.BytesIO(mask())).point(lambda grey: 255 - grey))
    asked = request(sketch, style_image, image=photo(), mask=encoded(hole))
    done = await render(ClosedFormStack(), asked, PACK, ignore)
    white = await render(ClosedFormStack(), replace(asked, mask=mask()), PACK, ignore)
    assert done.images == white.images


async def test_edges_need_not_hold_in_the_mask(sketch, style_image):
    asked = request(b"", style_image, image=photo(), mask=mask())
    held = await render(ClosedFormStack(), asked, PACK, ignore)
    free = await render(ClosedFormStack(), replace(asked, control_in_mask=False), PACK, ignore)
    inside = pixels(mask())[..., 0] > 0
    assert pixels(held.control_image)[inside].any()
    assert not pixels(free.control_image)[inside].any()
    assert np.array_equal(pixels(held.control_image)[~inside], pixels(free.control_image)[~inside])


async def test_what_is_around_an_image_is_painted(style_image):
    asked = request(b"", style_image, image=photo(), pad=(64, 0, 0, 128))
    done = pixels((await render(ClosedFormStack(), asked, PACK, ignore)).images[0])
    assert done.shape == (384, 320, 3)
    assert np.array_equal(done[:256, 64:], pixels(photo()))


async def test_a_mask_of_another_size_is_refused(sketch, style_image):
    asked = request(sketch, style_image, image=photo(), mask=mask((256, 192)))
    message = "^mask is 256 x 192 pixels; allowed: 256 x 256, as the image. Scale it to the size"
    with pytest.raises(InvalidRequest, match=message):
        await render(ClosedFormStack(), asked, PACK, ignore)


async def test_a_seed_is_varied(sketch, style_image):
    asked = request(sketch, style_image, num_images=3, variation_seed=9, variation_strength=0.3)
    done = await render(ClosedFormStack(), asked, PACK, ignore)
    assert done.seeds == (5, 5, 5)
    single = await render(
        ClosedFormStack(), replace(asked, num_images=1, variation_seed=10), PACK, ignore
    )
    assert single.images[0] == done.images[1] != done.images[0]
    plain = await render(ClosedFormStack(), request(sketch, style_image), PACK, ignore)
    other = await render(ClosedFormStack(), request(sketch, style_image, seed=10), PACK, ignore)
    near, far = (
        np.abs(pixels(end.images[0]) - pixels(single.images[0])).mean() for end in (plain, other)
    )
    assert 0 < near < far
    whole = replace(asked, num_images=1, variation_seed=10, variation_strength=1.0)
    turned = await render(ClosedFormStack(), whole, PACK, ignore)
    assert np.abs(pixels(turned.images[0]) - pixels(other.images[0])).max() <= 1
