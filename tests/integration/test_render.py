"""What a client sees of a render: events, seeds, deadlines."""

from __future__ import annotations

import io

import grpc
import pytest
from PIL import Image

from maquette.v1 import maquette_pb2 as pb
from tests.conftest import ROOT
from tests.integration.stack import settled
from tests.pictures import difference, encoded, pixels


def test_the_stream_tells_the_style_then_each_step_then_the_picture(stub, request_for):
    events = list(stub.RenderStream(request_for(style="")))
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds == ["accepted", "progress", "style", *["progress"] * 4, "result"]
    steps = [event.progress.step for event in events if event.HasField("progress")]
    assert steps == [0, 1, 2, 3, 4]
    result = events[-1].result
    assert result.id == events[0].accepted.id
    assert result.style == events[2].style.style
    assert result.style_score == events[2].style.score
    assert result.images[0].seed == 11
    assert 0 <= result.images[0].structure_f1 <= 1
    # The picture wears the style; a text and a picture lie further apart.
    assert -1 <= result.images[0].clip_score < result.images[0].style_score <= 1
    assert pixels(result.images[0].png).shape == (256, 256, 3)


def test_an_attempt_is_repeated_by_its_own_seed_and_control(stub, request_for):
    asked = {"structure_min": 1, "max_attempts": 3, "num_inference_steps": 2}
    events = list(stub.RenderStream(request_for(**asked)))
    tried = [event.attempted for event in events if event.HasField("attempted")]
    result = events[-1].result
    assert [one.attempt for one in tried] == [1, 2, 3]
    assert [one.images[0] for one in tried] == list(result.attempts)
    assert [one.seed for one in result.attempts] == [11, 12, 13]
    best = max(result.attempts, key=lambda one: one.structure_f1)
    assert (result.images[0].seed, result.images[0].structure_f1) == (best.seed, best.structure_f1)
    control = {"controlnet_conditioning_scale": best.controlnet_conditioning_scale}
    again = stub.Render(request_for(seed=best.seed, num_inference_steps=2, **control))
    assert difference(again.images[0].png, result.images[0].png) == 0


def test_the_stages_timings_add_up(stub, request_for):
    seconds = stub.Render(request_for(style="")).timings
    stages = [
        seconds.queue_seconds, seconds.embed_seconds, seconds.search_seconds,
        seconds.condition_seconds, seconds.denoise_seconds, seconds.decode_seconds,
    ]  # fmt: skip
    assert all(stage >= 0 for stage in stages)
    assert seconds.denoise_seconds > 0
    assert sum(stages) <= seconds.total_seconds


def test_the_retrieved_style_is_the_one_that_search_puts_first(stub, request_for):
    prompt = "red brick factory"
    first = stub.SearchStyles(pb.SearchStylesRequest(prompt=prompt, limit=1)).styles[0]
    result = stub.Render(request_for(style="", prompt=prompt))
    assert result.style == first.style
    assert result.style_score == pytest.approx(first.score)
    named = stub.Render(request_for(style=first.style.id, prompt=prompt))
    assert named.images[0].png == result.images[0].png
    assert not named.HasField("style_score")


def test_a_filter_decides_among_which_styles(stub, request_for):
    result = stub.Render(request_for(style="", style_filter=["snow"]))
    assert result.style.id == "winter"


def test_a_seed_repeats_and_a_drawn_seed_can_be_repeated(stub, request_for):
    once, again = (stub.Render(request_for()).images[0] for _ in range(2))
    assert once.png == again.png
    request = request_for()
    request.ClearField("seed")
    drawn = stub.Render(request).images[0]
    assert stub.Render(request_for(seed=drawn.seed)).images[0].png == drawn.png


def test_own_references_are_blended(stub, request_for, style_image):
    other = (ROOT / "examples/styles/ghibli.png").read_bytes()
    first = stub.Render(request_for(style="", style_images=[style_image])).images[0].png
    weighted = request_for(style="", style_images=[style_image, other], style_weights=[1, 0])
    assert difference(stub.Render(weighted).images[0].png, first) <= 1
    mixed = stub.Render(request_for(style="", style_images=[style_image, other]))
    assert difference(mixed.images[0].png, first) > 2
    assert not mixed.HasField("style")


def test_several_images_equal_the_single_ones(stub, request_for):
    several = stub.Render(request_for(num_images=3)).images
    assert [image.seed for image in several] == [11, 12, 13]
    for image in several:
        single = stub.Render(request_for(seed=image.seed)).images[0]
        assert difference(image.png, single.png) <= 1


def test_the_render_takes_the_sketchs_shape(stub, request_for):
    wide = Image.new("RGB", (900, 600), "white")
    wide.paste("black", (200, 200, 700, 220))
    buffer = io.BytesIO()
    wide.save(buffer, format="PNG")
    image = stub.Render(request_for(sketch=buffer.getvalue())).images[0]
    assert Image.open(io.BytesIO(image.png)).size == (384, 256)


def test_a_prompt_that_is_cut_is_told(stub, request_for):
    long = stub.Render(request_for(prompt="tall grey stone house " * 80, num_inference_steps=1))
    assert len(long.warnings) == 1
    assert "prompt is longer than the model reads: its last " in long.warnings[0]
    assert not stub.Render(request_for(num_inference_steps=1)).warnings


def test_a_photo_of_a_phone_is_scaled_down_and_that_is_told(stub, request_for):
    photo = Image.new("RGB", (3024, 4032), "white")
    photo.paste("black", (600, 1200, 2400, 1300))
    told = stub.Render(request_for(sketch=encoded(photo, "JPEG"), num_inference_steps=1))
    assert list(told.warnings) == [
        "sketch of 12,192,768 pixels was scaled down to 1536 x 2048: more than 2048 a side are not "
        "used."
    ]


def test_a_deadline_stops_the_render(live, stub, request_for):
    before = live.executions()
    with pytest.raises(grpc.RpcError) as failed:
        stub.Render(request_for(num_inference_steps=150), timeout=2)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert settled(live.executions) - before < 100


def test_words_weigh_what_their_brackets_say(stub, request_for):
    plain, weighted = (
        stub.Render(request_for(style="", prompt=prompt))
        for prompt in ("red brick factory", "red (brick:1.4) factory")
    )
    assert plain.style == weighted.style
    assert difference(plain.images[0].png, weighted.images[0].png) > 0
    literal = request_for(prompt="red (brick:1.4) factory", prompt_syntax="plain")
    assert difference(stub.Render(literal).images[0].png, weighted.images[0].png) > 0


def test_a_long_prompt_is_read_to_its_end(stub, request_for):
    long = "a house of brick and glass, " * 14
    one, other = (stub.Render(request_for(prompt=long + end)) for end in ("at night", "in snow"))
    assert not [each for each in one.warnings if "left out" in each]
    assert difference(one.images[0].png, other.images[0].png) > 0
    cut = stub.Render(request_for(prompt=long + "at night", prompt_syntax="plain"))
    assert "left out" in cut.warnings[0]
