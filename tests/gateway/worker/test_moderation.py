"""What may be rendered, and that doubt lets nothing through."""

from __future__ import annotations

import asyncio
import io
import math
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from PIL import Image

from gateway.worker.moderation import (
    DeniedHashes,
    DeniedWords,
    Moderation,
    SafetyChecker,
    hashes_of,
    load_moderator,
)
from pipeline.errors import Refused, Unavailable
from pipeline.request import RenderRequest
from tests.conftest import ROOT

WORDS = """
# a list
nudity
Blood Bath   # a phrase
ﬁre
Crème
"""


class Fake:
    """A hook whose answer is what `decide` makes of a prompt or picture."""

    def __init__(self, decide):
        self.decide = decide
        self.asked = []

    async def check_prompt(self, prompt):
        self.asked.append(("prompt", prompt))
        return self.decide(prompt)

    async def check_image(self, image, kind):
        self.asked.append((kind, image))
        return self.decide(image)


class Hanging(Fake):
    async def check_prompt(self, prompt):
        await asyncio.Event().wait()


class Impatient:
    """Not asynchronous, and failing before there is anything to await."""

    def check_prompt(self, prompt):
        raise RuntimeError("broken")

    def check_image(self, image, kind):
        return None


def makes_nothing():
    return object()


def fails():
    raise RuntimeError("no key for the moderation service")


def allows():
    return Fake(lambda _: None)


def request(prompt="a house", **fields):
    return RenderRequest(sketch=b"sketch", prompt=prompt, **fields)


@pytest.fixture
def words(tmp_path):
    (tmp_path / "words.txt").write_text(WORDS, encoding="utf-8")
    return DeniedWords(tmp_path / "words.txt")


@pytest.fixture
def denied(tmp_path):
    def of(*lines):
        (tmp_path / "hashes.txt").write_text("\n".join(lines))
        return DeniedHashes(tmp_path / "hashes.txt")

    return of


def encoded(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "prompt",
    [
        "a house with nudity",
        "NUDITY!",
        "ｎｕｄｉｔｙ in wide letters",
        "nu\u200bdi\u2060ty with zero width",
        "nu\u00addity with a soft hyphen",
        "nu\u1160dity with a filler",
        "nudity\ufe0f with a variation selector",
        "some_nudity_here",
        "a blood bath",
        "a blood-bath",
        "blood\n  BATH",
        "on fire",
        "cre\u0300me",
        "CRÈME",
        "nu\uffa0dity with a filler that becomes one",
    ],
)
async def test_denied_words_are_found_in_every_dress(words, prompt):
    assert await words.check_prompt(prompt) == "it has words that are not allowed here"


@pytest.mark.parametrize(
    "prompt",
    ["a house", "denudity", "nudityless", "bath of blood", "blood", "bonfire", "a list", ""],
)
async def test_other_words_pass(words, prompt):
    assert await words.check_prompt(prompt) is None


async def test_an_empty_list_of_words_denies_nothing(tmp_path):
    (tmp_path / "empty.txt").write_text("# nothing\n\n")
    assert await DeniedWords(tmp_path / "empty.txt").check_prompt("# nothing") is None


async def test_pictures_are_denied_whatever_keeps_their_pixels(denied, sketch):
    picture = Image.open(io.BytesIO(sketch)).convert("RGB")
    again = [
        encoded(picture, "PNG", compress_level=1),
        encoded(picture, "PNG", compress_level=9),
        encoded(picture, "WEBP", lossless=True),
    ]
    by_pixels = denied("# by pixels", hashes_of(sketch)[1].upper())
    for image in (sketch, *again):
        assert "denied pictures" in await by_pixels.check_image(image, "sketch")
    by_bytes = denied(hashes_of(sketch)[0] + "  # town house")
    assert await by_bytes.check_image(sketch, "style")
    assert await by_bytes.check_image(again[0], "style") is None


async def test_pictures_that_differ_pass(denied, sketch, style_image):
    picture = Image.open(io.BytesIO(sketch)).convert("RGB")
    denied = denied(*hashes_of(sketch))
    lossy = encoded(picture, "JPEG", quality=80)
    smaller = encoded(picture.resize((64, 64)), "PNG")
    for image in (style_image, lossy, smaller, b"not a picture"):
        assert await denied.check_image(image, "sketch") is None


async def test_pixels_of_another_shape_are_another_picture():
    wide, high = (encoded(Image.new("RGB", size), "PNG") for size in ((32, 16), (16, 32)))
    assert hashes_of(wide)[1] != hashes_of(high)[1]


@pytest.mark.parametrize("text", ["zz", "a" * 63, "a" * 65, "g" * 64])
def test_a_list_of_something_else_is_refused_at_start(denied, text):
    with pytest.raises(Unavailable, match="allowed: sha256, as 64 hex digits"):
        denied(text)


def test_a_line_without_a_word_is_refused_at_start(tmp_path):
    (tmp_path / "words.txt").write_text("fine\n!!\n")
    with pytest.raises(Unavailable, match="has the line '!!', in which there is no word"):
        DeniedWords(tmp_path / "words.txt")


@pytest.mark.parametrize("kind", [DeniedWords, DeniedHashes])
def test_a_list_that_cannot_be_read_is_refused_at_start(tmp_path, kind):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("missing", "binary"):
        with pytest.raises(Unavailable, match=f"The list .*{name} cannot be read"):
            kind(tmp_path / name)


@pytest.mark.parametrize(
    ("margin", "refused"),
    [(None, False), (-0.2, False), (0.0, False), (0.01, True), (math.nan, True)],
)
async def test_the_safety_checker_judges_renders_only(margin, refused):
    async def check(png):
        return margin

    checker = SafetyChecker(check)
    assert bool(await checker.check_image(b"png", "render")) == refused
    assert await checker.check_image(b"png", "sketch") is None
    assert await checker.check_prompt("a house") is None


async def test_every_moderator_sees_the_prompt_and_every_picture_sent():
    first, second = Fake(lambda _: None), Fake(lambda _: None)
    moderation = Moderation([first, second], 5)
    await moderation.check_request(
        request(
            "a house", negative_prompt="nudity", style_images=(b"one", b"two"),
            image=b"begun with", mask=b"where",
        )
    )  # fmt: skip
    seen = [
        ("prompt", "a house"), ("sketch", b"sketch"), ("image", b"begun with"), ("mask", b"where"),
        ("style", b"one"), ("style", b"two"),
    ]  # fmt: skip
    assert first.asked == second.asked == seen
    await moderation.check_pictures([b"three"])
    await moderation.check_pictures([b"four"], "style")
    assert first.asked[len(seen) :] == [("render", b"three"), ("style", b"four")]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("it is an elephant", "The prompt was refused: it is an elephant."),
        ("", "The prompt was refused: it is not allowed here."),
    ],
)
async def test_a_refusal_tells_the_reason(reason, told):
    with pytest.raises(Refused) as error:
        await Moderation([Fake(lambda _: reason)], 5).check_request(request())
    assert str(error.value) == told


async def test_a_refusal_repeats_neither_prompt_nor_list(words):
    with pytest.raises(Refused) as error:
        await Moderation([words], 5).check_request(request("a secret blood-bath"))
    for word in ("secret", "blood", "nudity"):
        assert word not in str(error.value).lower()


@pytest.mark.parametrize(
    "hook",
    [
        Fake(lambda _: 1 / 0),
        Fake(lambda _: False),
        Fake(lambda _: True),
        Impatient(),
        Hanging(lambda _: None),
    ],
)
async def test_a_hook_that_cannot_decide_lets_nothing_through(hook, caplog):
    moderation = Moderation([Fake(lambda _: None), hook], 0.05)
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable, match="Moderation could not decide"):
            await moderation.check_request(request("a very secret house"))
    assert type(hook).__name__ in caplog.text
    assert "very secret" not in caplog.text


async def test_a_hook_that_fails_on_pictures_lets_none_through():
    with pytest.raises(Unavailable, match="Moderation could not decide"):
        await Moderation([Fake(lambda _: 1 / 0)], 5).check_pictures([b"png"])


async def test_a_caller_who_leaves_is_not_taken_for_a_hook_that_hangs():
    asking = asyncio.create_task(Moderation([Hanging(None)], 60).check_request(request()))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_hook_is_loaded_by_its_name():
    hook = load_moderator("tests.gateway.worker.test_moderation:allows")
    assert await hook.check_prompt("a house") is None


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("nothing", "must look like package.module:factory"),
        ("module:", "must look like package.module:factory"),
        ("no.such.module:make", "ModuleNotFoundError"),
        ("tests.gateway.worker.test_moderation:missing", "AttributeError"),
        ("tests.gateway.worker.test_moderation:fails", "no key for the moderation service"),
        (
            "tests.gateway.worker.test_moderation:makes_nothing",
            "is of type object, which lacks",
        ),
    ],
)
def test_a_hook_that_cannot_be_made_is_told_at_start(hook, words):
    with pytest.raises(Unavailable, match=f"The moderator .*{words}"):
        load_moderator(hook)


class Never(BaseHTTPRequestHandler):
    """A moderation service that finds nothing fine."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"fine": false}')

    def log_message(self, *_):
        pass


async def test_the_hook_in_the_documentation_works(tmp_path, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Never) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        text = (ROOT / "docs/protection.md").read_text()
        (example,) = re.findall(r"```python\n(import httpx\n.*?)```", text, re.DOTALL)
        address = f"http://127.0.0.1:{server.server_port}"
        (tmp_path / "documented.py").write_text(
            example.replace("http://moderation.internal", address)
        )
        monkeypatch.syspath_prepend(tmp_path)
        hook = load_moderator("documented:Studio")
        with pytest.raises(Refused, match="The prompt was refused: the studio does not draw this"):
            await Moderation([hook], 20).check_request(request())
        await hook.http.aclose()
        server.shutdown()
    with pytest.raises(Unavailable):
        await Moderation([hook], 20).check_request(request())
