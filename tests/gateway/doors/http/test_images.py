"""OpenAI's own client against /v1/images."""

from __future__ import annotations

import base64

import openai
import pytest
import pytest_asyncio

from gateway.auth.caller import Scope
from pipeline.errors import StageFailed
from tests.gateway.fakes import STYLES, WARNING
from tests.gateway.waiting import until

FAST = {"num_inference_steps": 2, "seed": 5}


@pytest_asyncio.fixture(loop_scope="session")
async def client(served):
    async with client_of(served, "none") as made:
        yield made


def client_of(served, key):
    return openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0)


async def test_edit_takes_the_sketch(client, sketch):
    answer = await client.images.edit(
        image=("sketch.png", sketch), prompt="a house", n=2, size="256x192", extra_body=FAST
    )
    assert [base64.b64decode(item.b64_json)[:4] for item in answer.data] == [b"\x89PNG"] * 2
    assert [item.seed for item in answer.data] == [5, 6]
    assert answer.created > 0


async def test_edit_refines_the_image_where_a_strength_is_sent(client, served, sketch):
    sent = {"image": ("photo.png", sketch), "prompt": "a house"}
    await client.images.edit(**sent, extra_body=FAST)
    assert (served.painter.newest.sketch, served.painter.newest.image) == (sketch, b"")
    await client.images.edit(**sent, extra_body={**FAST, "id": "kept", "strength": 0.5})
    assert (served.painter.newest.sketch, served.painter.newest.image) == (b"", sketch)
    await client.images.edit(**sent, mask=("mask.png", sketch), extra_body=FAST)
    assert served.painter.newest.image == served.painter.newest.mask == sketch
    drawn = {"sketch": base64.b64encode(sketch).decode(), "image": "render/kept/0", **FAST}
    await client.images.generate(prompt="a house", extra_body=drawn)
    assert served.painter.newest.image not in (b"", sketch)
    with pytest.raises(openai.NotFoundError, match="image is 'render/kept/1'; allowed: a picture"):
        await client.images.generate(prompt="a", extra_body={**drawn, "image": "render/kept/1"})


async def test_a_list_of_one_image(client, sketch):
    answer = await client.images.edit(
        model="sketch_to_render", image=[("sketch.png", sketch)], prompt="a house", extra_body=FAST
    )
    assert len(answer.data) == 1


async def test_generate_takes_it_in_the_extra_body(client, sketch):
    extra = {"sketch": base64.b64encode(sketch).decode(), **FAST}
    answer = await client.images.generate(
        prompt="a house", size="auto", quality="high", user="me", extra_body=extra
    )
    assert base64.b64decode(answer.data[0].b64_json)[:4] == b"\x89PNG"
    assert answer.data[0].seed == 5
    assert answer.style in STYLES
    assert answer.size == "64x64"
    assert answer.warnings == ["quality has no effect here; num_inference_steps decides."]


async def test_our_own_fields_are_read(client, served, sketch):
    extra = {"width": 192, "num_images": 2, "id": "openai", "style": "winter", **FAST}
    tagged = {**extra, "id": "tagged", "style": "", "style_filter": ["snow", "bundled"]}
    for body in (extra, tagged):
        answer = await client.images.edit(
            image=("x.png", sketch), prompt="word " * 21, extra_body=body
        )
        assert [item.seed for item in answer.data] == [5, 6]
        assert answer.style == "winter"
        assert answer.warnings == [WARNING]
    assert (await served.client.get("/v1/renders/openai")).json()["state"] == "succeeded"


@pytest.mark.parametrize("edit", [True, False])
async def test_a_stream_tells_partial_images_and_then_each_picture(client, sketch, edit):
    asked = {"prompt": "a house", "stream": True, "partial_images": 2, "n": 2}
    extra = {"num_inference_steps": 7, "seed": 5, "style": "winter"}
    if edit:
        kind = "image_edit"
        stream = await client.images.edit(image=("x.png", sketch), extra_body=extra, **asked)
    else:
        kind = "image_generation"
        extra["sketch"] = base64.b64encode(sketch).decode()
        stream = await client.images.generate(extra_body=extra, **asked)
    assert stream.response.headers["x-render-id"]
    events = [event async for event in stream]
    partial, completed = events[:-2], events[-2:]
    assert [(event.type, event.partial_image_index) for event in partial] == [
        (f"{kind}.partial_image", index) for index in (0, 0, 1, 1)
    ]
    assert [(event.type, event.seed, event.style) for event in completed] == [
        (f"{kind}.completed", seed, "winter") for seed in (5, 6)
    ]
    # What the types of OpenAI's client promise is there, and of its type.
    for event in events:
        type(event).model_validate(event.model_dump(), strict=True)
        assert base64.b64decode(event.b64_json)[:4] == b"\x89PNG"
        assert event.size == "64x64"


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({"profile": "fast", "strength": 0.7}, 4),
        ({"strength": 0.1, "num_inference_steps": 40}, 4),
        ({"upscale": 2, "upscale_strength": 0.2}, 4),
    ],
)
async def test_partial_images_are_spread_over_the_steps_that_are_taken(
    client, served, sketch, fields, steps
):
    sent = {"image": base64.b64encode(sketch).decode(), **fields}
    stream = await client.images.generate(
        prompt="x", stream=True, partial_images=3, extra_body=sent
    )
    assert [event.type async for event in stream][-1] == "image_generation.completed"
    assert served.painter.newest.first_steps == steps
    assert served.painter.newest.preview_interval == steps / 4


async def test_further_attempts_show_no_more_partial_images_than_were_asked_for(client, sketch):
    extra = {"num_inference_steps": 7, "seed": 5, "structure_min": 0.875}
    stream = await client.images.edit(
        image=("x.png", sketch), prompt="x", stream=True, partial_images=2, extra_body=extra
    )
    *partial, completed = [event async for event in stream]
    assert [event.partial_image_index for event in partial] == [0, 1]
    assert [one["seed"] for one in completed.attempts] == [5, 6, 7]


async def test_a_stream_without_partial_images_is_the_picture(client, sketch):
    stream = await client.images.edit(
        image=("x.png", sketch), prompt="x", stream=True, partial_images=0, extra_body=FAST
    )
    assert [event.type async for event in stream] == ["image_edit.completed"]


async def test_what_fails_in_a_stream_is_its_clients_error(client, served, sketch):
    served.painter.failure = StageFailed("The model unet failed; the server's log has the details.")
    stream = await client.images.edit(
        image=("x.png", sketch), prompt="x", stream=True, extra_body=FAST
    )
    with pytest.raises(openai.APIError, match="The model unet failed") as failed:
        async for _ in stream:
            pass
    assert failed.value.type == "server_error"


async def test_who_leaves_a_stream_ends_its_render(client, served, sketch):
    served.painter.hold()
    stream = await client.images.edit(
        image=("x.png", sketch), prompt="x", stream=True, extra_body=FAST
    )
    await until(lambda: served.painter.begun)
    await stream.close()
    await until(lambda: served.painter.left_early)


async def test_generate_says_how_to_send_a_sketch(client):
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.generate(prompt="a house")
    assert refused.value.param == "sketch"
    assert refused.value.type == "invalid_request_error"
    assert "extra_body={'sketch': BASE64}" in refused.value.body["message"]


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"n": 5}, "n", "1 to 4"),
        ({"size": "1x1"}, "size", "each 128 to 1024, a multiple of 64"),
        ({"size": "256x250"}, "size", "each 128 to 1024, a multiple of 64"),
        ({"size": "huge"}, "size", "WIDTHxHEIGHT"),
        ({"response_format": "url"}, "response_format", "never as links"),
        ({"output_format": "webp"}, "output_format", "png"),
        ({"prompt": " "}, "prompt", "1 to 2000"),
        ({"background": "transparent"}, "background", "opaque or auto"),
        ({"extra_body": {"output_compression": 50}}, "output_compression", "allowed: 100"),
        ({"partial_images": 2}, "partial_images", "Set stream to true"),
        ({"partial_images": 4, "stream": True}, "partial_images", "0 to 3"),
        ({"stream": True, "n": 9}, "n", "1 to 4"),
        ({"n": 2, "extra_body": {"num_images": 3}}, "num_images", "where n is set"),
        ({"size": "256x256", "extra_body": {"width": 128}}, "width", "where size is set"),
        ({"extra_body": {"guidance_scal": 3}}, "'guidance_scal'", "Did you mean guidance_scale?"),
        ({"extra_body": {"frame_count": 3}}, "frame_count", "Pictures are PNG files"),
        ({"image": ("x.png", b"hello")}, "image", "PNG, JPEG or WebP"),
        ({"mask": ("x.png", b"hello")}, "mask", "PNG, JPEG or WebP"),
    ],
)
async def test_what_is_wrong(client, sketch, fields, param, words):
    sent = {"image": ("sketch.png", sketch), "prompt": "a house", **fields}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.edit(**sent)
    assert refused.value.param == param
    assert words in refused.value.body["message"]


async def test_models(client, sketch):
    assert [model.id async for model in client.models.list()] == ["sketch_to_render"]
    assert (await client.models.retrieve("sketch_to_render")).owned_by == "maquette"
    with pytest.raises(openai.NotFoundError, match="the one there is is sketch_to_render"):
        await client.models.retrieve("dall-e-3")
    with pytest.raises(openai.NotFoundError, match="dall-e-3"):
        await client.images.edit(model="dall-e-3", image=("x.png", sketch), prompt="a house")


async def test_its_key_is_ours(guarded, sketch):
    arguments = {"image": ("x.png", sketch), "prompt": "a house", "extra_body": FAST}
    good = guarded.key(Scope.RENDER)["X-API-Key"]
    async with client_of(guarded, good) as client:
        assert (await client.images.edit(**arguments)).data
    async with client_of(guarded, "sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.images.edit(**arguments)
    reader = guarded.key(Scope.STYLES)["X-API-Key"]
    async with client_of(guarded, reader) as client:
        with pytest.raises(openai.PermissionDeniedError):
            await client.images.edit(**arguments)
