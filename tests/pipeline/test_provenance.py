"""What made a picture, through the bytes of a PNG file."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline import provenance
from pipeline.attempts import Attempt
from pipeline.control import canny
from pipeline.errors import InvalidRequest
from pipeline.images import decode, encode_png, to_png
from pipeline.provenance import (
    ACTUAL,
    ASKED,
    MAX_HELD,
    PARAMETERS,
    PICTURES,
    StyleImage,
    describe,
    of_one,
    read,
    stamp,
    with_seed,
)
from pipeline.request import FIELDS, MAX_PROMPT, RenderRequest
from tests.pictures import encoded

PACK = {"name": "tiny", "precision": "fp32", "engine": "onnx", "engines": {"unet": "0123abcd"},
        "versions": {"unet": 3}, "sha256": {"unet": "0" * 64}}  # fmt: skip
DIGITAL_SOURCE = b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def described(request, **changed):
    # Decoded, as the gateway hands it on.
    sketch, *styles = (to_png(picture, "picture").png for picture in request.uploads)
    used = replace(request, sketch=sketch, style_images=tuple(styles))
    known = {"seed": 5, "size": (256, 192), "styles": ["cyberpunk"], "pack": PACK,
             "version": "1.2.3", "used": used}  # fmt: skip
    return describe(request, **{**known, **changed})


@pytest.fixture
def request_(sketch, style_image):
    return RenderRequest(sketch, 'a "house" – 家 <b>', style_images=(style_image,))


@pytest.fixture
def picture():
    drawn = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return encode_png(drawn)


def test_what_is_stamped_is_read_again(request_, picture):
    written = described(request_)
    assert read(stamp(picture, written)) == written


def test_a_picture_that_was_gone_on_from_is_held_and_named(sketch, style_image, picture):
    request = RenderRequest(b"", "a house", style_images=(style_image,), image=sketch, strength=0.3)
    used = replace(request, image=to_png(sketch, "image").png)
    written = described(replace(request, sketch=sketch), used=used)
    stamped = stamp(picture, written)
    made = read(stamped)
    assert made == written
    assert made.sources["image"].sha256 == hashlib.sha256(sketch).hexdigest()
    assert made.sources["image"].png == used.image
    assert made.parameters["strength"] == 0.3
    assert stamped.count(b"compositeWithTrainedAlgorithmicMedia") == 2
    drawn = replace(request, sketch=sketch, image=b"", strength=None)
    assert "image" not in described(drawn).sources


def test_an_enlarged_picture_says_the_size_before(request_, picture):
    asked = replace(request_, upscale=2)
    made = described(asked, size=(512, 384))
    assert (made.parameters["width"], made.parameters["height"]) == (256, 192)
    # Of one that was enlarged as it is, the size is that of the image, and no render's.
    alone = described(replace(asked, image=request_.sketch), used=None, size=(300, 666))
    assert not {"width", "height"} & alone.parameters.keys()
    assert read(stamp(picture, alone)) == alone


def test_what_is_traced_at_two_sizes_is_held_whole_or_not_at_all(request_):
    drawn = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    large = encode_png(drawn)
    assert len(large) > MAX_HELD
    asked = replace(request_, sketch=large)
    assert described(asked).sources["sketch"].png
    assert described(replace(asked, upscale=2), size=(512, 384)).sources["sketch"].png is None


def test_it_says_what_was_asked_and_what_was_made(request_, sketch, style_image):
    asked = replace(request_, guidance_scale=3, style_weights=(0.5,), control_guidance_end=0.75)
    made = described(asked, seed=9, size=(320, 256))
    assert made.parameters == {
        "prompt": asked.prompt, "negative_prompt": "", "seed": 9, "num_inference_steps": 20,
        "guidance_scale": 3.0, "guidance_start": 0.0, "guidance_end": 1.0,
        "controlnet_conditioning_scale": 1.5,
        "control_guidance_start": 0.0, "control_guidance_end": 0.75, "ip_adapter_scale": (0.8,),
        "canny_low_threshold": 50, "canny_high_threshold": 150, "scheduler": "dpmpp_2m",
        "width": 320, "height": 256, "prompt_syntax": "weighted", "mask_blur": 0,
        "control_in_mask": True, "pad": (), "variation_strength": 0.0,
        "sketch_kind": "auto", "control_mode": "canny", "style_mode": "both", "style_start": 0.0,
        "style_end": 1.0,
        "upscale": 1, "upscale_strength": 0.35,
    }  # fmt: skip
    assert type(made.parameters["guidance_scale"]) is float
    sha256 = hashlib.sha256(style_image).hexdigest()
    assert made.style_images == (StyleImage(sha256, 0.5, None, "cyberpunk"),)
    assert made.sources["sketch"].sha256 == hashlib.sha256(sketch).hexdigest()
    assert (made.styles, made.version, made.pack.engines["unet"]) == (
        ("cyberpunk",), "1.2.3", "0123abcd",
    )  # fmt: skip
    assert (made.pack.versions, made.pack.sha256) == ({"unet": 3}, {"unet": "0" * 64})


def test_a_blend_of_the_library_names_each_style_and_holds_none(
    request_, sketch, style_image, picture
):
    blend = replace(request_, style_images=(style_image, sketch), style_weights=(0.25, 0.5))
    stamped = stamp(picture, described(blend, styles=["cyberpunk", "ink"]))
    made = read(stamped)
    assert [(one.style, one.weight, one.png) for one in made.style_images] == [
        ("cyberpunk", 0.25, None), ("ink", 0.5, None),
    ]  # fmt: skip
    assert made.styles == ("cyberpunk", "ink")
    own = described(blend, styles=())
    assert (own.styles, own.style_images[0].style) == ((), None)


def test_a_picture_of_before_there_were_blends_names_its_style(request_, picture):
    with Image.open(io.BytesIO(stamp(picture, described(request_)))) as image:
        told = json.loads(image.info["maquette"])
    assert told["style"] == "cyberpunk"
    del told["style_images"][0]["style"]
    assert read(saying(json.dumps(told))).styles == ("cyberpunk",)


@pytest.mark.parametrize("key", ["versions", "sha256"])
def test_a_picture_of_before_there_were_versions_names_none(request_, picture, key):
    with Image.open(io.BytesIO(stamp(picture, described(request_)))) as image:
        told = json.loads(image.info["maquette"])
    del told["pack"][key]
    assert getattr(read(saying(json.dumps(told))).pack, key) == {}


def test_no_field_that_decides_the_pixels_is_forgotten():
    without_effect = {"style_count", "style_filter", "num_images", "preview_interval", *ASKED}
    assert {name for name, field in FIELDS.items() if not field.pixels} == without_effect
    assert set(FIELDS) == {*PARAMETERS, *PICTURES, *without_effect, "versions"}


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_picture_of_before_there_was_a_field_was_made_without_it(request_, picture, name):
    with Image.open(io.BytesIO(stamp(picture, described(request_)))) as image:
        told = json.loads(image.info["maquette"])
    told["parameters"].pop(name, None)
    older = saying(json.dumps(told))
    if name == "prompt" or name in ACTUAL:
        with pytest.raises(InvalidRequest, match="not what maquette writes"):
            read(older)
    else:
        field = FIELDS[name]
        wanted = field.default if field.before is None else field.before
        assert read(older).parameters.get(name) == wanted


def test_the_pixels_stay_as_they_are_encoded(request_, picture):
    stamped = stamp(picture, described(request_))
    assert stamped.startswith(picture[:33])
    assert stamped.endswith(picture[33:])
    assert decode(stamped, "x").tobytes() == decode(picture, "x").tobytes()


def test_other_software_reads_it(request_, picture):
    stamped = stamp(picture, described(request_))
    with Image.open(io.BytesIO(stamped)) as image:
        image.load()
        assert image.info["Software"] == "maquette 1.2.3"
        assert DIGITAL_SOURCE in image.info["xmp"]
        assert b'xmp:CreatorTool="maquette 1.2.3"' in image.info["xmp"]
        document = json.loads(image.info["maquette"])
    assert document["softwareAgent"] == {"name": "maquette", "version": "1.2.3"}
    assert document["digitalSourceType"].encode() == DIGITAL_SOURCE
    assert document["pack"] == PACK
    assert document["parameters"]["prompt"] == request_.prompt


def test_equal_renders_are_equal_bytes_whatever_door_they_came_through(request_, picture):
    # gRPC carries floats in 32 bits, JSON in 64.
    by_grpc = replace(request_, ip_adapter_scale=(float(np.float32(0.8)),))
    engines = [("vae_decoder", "b"), ("unet", "a")]
    packs = [{**PACK, "engines": dict(order)} for order in (engines, engines[::-1])]
    one, other = described(by_grpc, pack=packs[0]), described(request_, pack=packs[1])
    assert stamp(picture, one) == stamp(picture, other)


def test_batch_mates_differ_in_the_seed(request_):
    first = described(request_, seed=1)
    assert with_seed(first, 2) == described(request_, seed=2)


def noise(side: int) -> bytes:
    drawn = np.random.default_rng(0)
    return encode_png(drawn.integers(0, 256, (side, side, 3), dtype=np.uint8))


def test_nothing_is_held_when_asked_not_to(request_, picture):
    made = described(request_, used=None, styles=())
    assert (made.sources["sketch"].png, made.style_images[0].png) == (None, None)
    assert read(stamp(picture, made)) == made


def test_of_a_large_sketch_what_is_traced_is_held(request_, picture):
    photo = noise(700)
    assert len(photo) > MAX_HELD
    made = described(replace(request_, sketch=photo), size=(256, 192))
    assert made.style_images[0].png is None
    assert read(stamp(picture, made)) == made
    held = made.sources["sketch"].png
    traced = [canny(decode(one, "x"), 256, 192, 50, 150) for one in (photo, held)]
    assert np.array_equal(*traced)


def test_own_references_are_held_while_there_is_room(request_, picture):
    photo = encoded(Image.open(io.BytesIO(noise(200))), "JPEG")
    sent = (photo, noise(700), request_.style_images[0])
    blend = replace(request_, style_images=sent)
    made = described(blend, styles=())
    first, second, third = (image.png for image in made.style_images)
    assert decode(first, "x").tobytes() == decode(photo, "x").tobytes()
    assert second is None
    assert decode(third, "x").tobytes() == decode(sent[2], "x").tobytes()
    assert read(stamp(picture, made)) == made
    # Four pictures share the room, so that an answer does not grow with them.
    kept = described(replace(blend, sketch=noise(400), num_images=4), size=(64, 64), styles=())
    each = [kept.sources["sketch"].png, *(image.png for image in kept.style_images)]
    assert kept.sources["sketch"].png
    assert 4 * sum(len(png or b"") for png in each) <= MAX_HELD


def test_a_stamped_picture_can_be_a_sketch_or_a_style(request_, picture):
    stamped = stamp(picture, described(request_))
    again = described(replace(request_, sketch=stamped, style_images=(stamped,)))
    assert decode(again.sources["sketch"].png, "x").tobytes() == decode(picture, "x").tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_of_another_program_says_nothing(kind):
    assert read(encoded(Image.new("RGB", (20, 20)), kind)) is None
    assert read(b"") is None


def test_every_changed_byte_is_noticed_or_without_meaning(request_, picture):
    """No damage makes read fail in another way, or brings back something else."""
    written = described(request_, used=None)
    stamped = stamp(picture, written)
    for at in range(len(stamped)):
        changed = stamped[:at] + bytes([stamped[at] ^ 0x41]) + stamped[at + 1 :]
        with suppress(InvalidRequest):
            assert read(changed) in (written, None)


def test_every_cut_is_noticed(request_, picture):
    stamped = stamp(picture, described(request_, used=None))
    # After the chunk of ours nothing more is needed of the file.
    end = stamped.index(b"XML:com.adobe.xmp") - 8
    for cut in range(8, end, 7):
        with pytest.raises(InvalidRequest, match="cut short"):
            read(stamped[:cut])


def saying(text: str | bytes, flags: bytes = b"\0\0\0\0") -> bytes:
    """A PNG with `text` as what it says of itself, checksums and all."""
    content = b"maquette\0" + flags + (text.encode() if isinstance(text, str) else text)
    length = struct.pack(">I", len(content))
    chunk = length + b"iTXt" + content + struct.pack(">I", zlib.crc32(b"iTXt" + content))
    png = encode_png(np.zeros((16, 16, 3), np.uint8))
    return png[:33] + chunk + png[33:]


def came_about(request):
    """Of a picture that took two attempts."""
    asked = replace(request, fidelity=0.5, structure_min=0.9)
    attempts = tuple(Attempt(n, 0, n, n / 4, 1.5, None) for n in (1, 2))
    return of_one(described(request), asked, {"structure_f1": 0.5}, (2, None), attempts)


def test_it_says_how_it_came_about(request_, picture):
    made = came_about(request_)
    again = read(stamp(picture, made))
    assert again == made
    assert again.asked == {"fidelity": 0.5, "structure_min": 0.9}
    assert again.scores == {"structure_f1": 0.5}
    assert [one.structure_f1 for one in again.attempts] == [0.25, 0.5]
    assert again.parameters["seed"] == 2


ATTEMPT = vars(Attempt(1, 0, 1, 1.0, 1.0))


@pytest.mark.parametrize(
    "attempts",
    [{}, [{}], [1], [{**ATTEMPT, "attempt": "1"}], [{**ATTEMPT, "seed": None}], [ATTEMPT] * 17],
)
def test_attempts_of_another_form_are_damage(request_, picture, attempts):
    with Image.open(io.BytesIO(stamp(picture, came_about(request_)))) as image:
        told = json.loads(image.info["maquette"])
    told["attempts"] = attempts
    with pytest.raises(InvalidRequest, match="not what maquette writes"):
        read(saying(json.dumps(told)))


def test_json_of_other_types_is_damage(request_, picture):
    stamped = stamp(picture, came_about(request_))
    with Image.open(io.BytesIO(stamped)) as image:
        good = json.loads(image.info["maquette"])
    assert read(saying(json.dumps(good))) == came_about(request_)

    def places(node, path=()):
        if path:
            yield path
        for key, value in node.items() if isinstance(node, dict) else ():
            yield from places(value, (*path, key))

    harmless = {("softwareAgent", "name"), ("digitalSourceType",)}
    # A boolean, and lists that may be empty.
    sound = (("control_in_mask", True), ("pad", []), ("attempts", []))
    for path in set(places(good)) - harmless:
        for wrong in (True, [], [True], 10**400):
            if (path[-1], wrong) in sound:
                continue
            changed = json.loads(json.dumps(good))
            place = changed
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = wrong
            if wrong == 10**400 and path[-1] in PARAMETERS and PARAMETERS[path[-1]].kind is int:
                continue  # a whole number, which the service will refuse
            with pytest.raises(InvalidRequest, match="not what maquette writes"):
                read(saying(json.dumps(changed)))


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("sketch", "sha256"), "0" * 63 + "\x1b"),
        (("sketch", "sha256"), "A" * 64),
        (("sketch", "sha256"), "0" * 64 + "\n"),
        (("sketch", "png"), "AAAA" * (MAX_HELD // 3 + 1)),
        (("style_images",), [{"sha256": "0" * 12, "weight": 1.0}]),
        (("style_images",), [{"sha256": "0" * 64, "weight": 1.0}] * 9),
        (("parameters", "prompt"), "x" * (MAX_PROMPT + 1)),
        (("parameters", "ip_adapter_scale"), [0.5] * 257),
        (("style",), "x" * (MAX_PROMPT + 1)),
        (("pack", "name"), "x" * (MAX_PROMPT + 1)),
        (("pack", "engines"), {"x" * (MAX_PROMPT + 1): "a"}),
        (("pack", "engines"), {str(number): "a" for number in range(65)}),
        (("pack", "sha256"), {"unet": "0" * 65}),
        (("pack", "sha256"), {str(number): "0" * 64 for number in range(65)}),
        (("softwareAgent", "version"), "x" * (MAX_PROMPT + 1)),
    ],
)
def test_what_is_longer_than_maquette_writes_is_damage(request_, picture, path, wrong):
    with Image.open(io.BytesIO(stamp(picture, described(request_)))) as image:
        changed = json.loads(image.info["maquette"])
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = wrong
    with pytest.raises(InvalidRequest, match="not what maquette writes"):
        read(saying(json.dumps(changed)))


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "7", '"x"', b"\xff\xfe\xff", "[" * 100_000, '{"sketch": {}}'],
)
def test_what_is_no_provenance_is_damage(text):
    with pytest.raises(InvalidRequest, match="not what maquette writes"):
        read(saying(text))


def test_compressed_text_is_not_unpacked():
    with pytest.raises(InvalidRequest):
        read(saying(zlib.compress(b"0" * 10**6), flags=b"\1\0\0\0"))


def test_a_file_beyond_all_renders_is_not_searched(monkeypatch, request_, picture):
    stamped = stamp(picture, described(request_))
    monkeypatch.setattr(provenance, "MAX_PICTURE", len(stamped) - 1)
    with pytest.raises(InvalidRequest, match="at most"):
        read(stamped)


def test_only_a_png_is_stamped(request_):
    with pytest.raises(ValueError, match="only a PNG"):
        stamp(encoded(Image.new("RGB", (20, 20)), "JPEG"), described(request_))


def test_a_png_of_pixels_alone_is_embedded_as_it_was_sent(request_):
    bare = encode_png(np.asarray(decode(request_.sketch, "sketch")))
    assert described(replace(request_, sketch=bare)).sources["sketch"].png == bare


def with_text(png):
    buffer, text = io.BytesIO(), PngInfo()
    text.add_text("Author", "a secret")
    Image.open(io.BytesIO(png)).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


@pytest.mark.parametrize("dress", [with_text, lambda png: png + b"a secret"])
def test_what_else_is_in_a_sketch_is_not_embedded(request_, dress):
    bare = encode_png(np.asarray(decode(request_.sketch, "sketch")))
    embedded = described(replace(request_, sketch=dress(bare))).sources["sketch"].png
    assert b"a secret" not in embedded
    assert decode(embedded, "sketch").tobytes() == decode(bare, "sketch").tobytes()
