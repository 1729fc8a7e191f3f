"""OpenAI's own client against /v1/images."""

from __future__ import annotations

import base64

import openai
import pytest
import pytest_asyncio

from gateway.protection.caller import Scope

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
        ({"size": "1x1"}, "width", "128 to 1024"),
        ({"size": "huge"}, "size", "WIDTHxHEIGHT"),
        ({"response_format": "url"}, "response_format", "never as links"),
        ({"output_format": "webp"}, "output_format", "png"),
        ({"prompt": " "}, "prompt", "1 to 500"),
        ({"extra_body": {"stream": "true"}}, "stream", "POST /v1/renders"),
        ({"image": ("x.png", b"hello")}, "image", "PNG, JPEG or WebP"),
        ({"mask": ("x.png", b"hello")}, "mask", "leave the mask out"),
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
