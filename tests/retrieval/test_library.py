"""The library over Qdrant's embedded engine, on disk."""

from __future__ import annotations

import asyncio
import io
import socket
import threading

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from qdrant_client import AsyncQdrantClient

from pipeline.errors import Conflict, InvalidRequest, NotFound, StageFailed, Unavailable
from pipeline.topology import SD15
from retrieval.library import StyleLibrary, open_library
from retrieval.pictures import Pictures, Recent
from retrieval.styles import NewStyle
from retrieval.vectors import Collection
from tests.pictures import encoded

COLOURS = {"red": 0, "green": 1, "blue": 2}


def picture(colour):
    return encoded(Image.new("RGB", (32, 24), colour))


async def embed(png, clip):
    """The mean colour as a direction: near pictures have near vectors."""
    mean = np.asarray(Image.open(io.BytesIO(png)), np.float32).mean(axis=(0, 1))
    vector = np.zeros(SD15.clip_dim, np.float32)
    vector[:3] = mean / np.linalg.norm(mean)
    return vector


def direction(colour):
    vector = np.zeros(SD15.clip_dim, np.float32)
    vector[COLOURS[colour]] = 1
    return vector


@pytest.fixture
async def library(tmp_path):
    async with open_library(tmp_path) as opened:
        yield opened


async def filled(library):
    for colour in COLOURS:
        tags = ["primary", "warm" if colour == "red" else "cold"]
        await library.add(NewStyle(picture(colour), f"All {colour}", tags), embed)


async def test_the_nearest_style_comes_first(library):
    await filled(library)
    found = await library.search(direction("blue"), (), limit=2)
    assert found[0].style.id == "all-blue"
    assert found[0].score == pytest.approx(1.0, abs=1e-5)
    assert len(found) == 2
    assert found[1].score < 0.1


async def test_a_filter_keeps_only_styles_with_every_tag(library):
    await filled(library)
    found = await library.search(direction("blue"), ("primary", "WARM"), limit=5)
    assert [item.style.id for item in found] == ["all-red"]
    assert await library.search(direction("blue"), ("absent",), limit=5) == []


async def test_styles_like_another_are_told_without_itself(library):
    await filled(library)
    await library.add(NewStyle(picture("red"), "Red again", ["warm"]), embed)
    first, *rest = await library.similar("Red again", limit=2)
    assert (first.style.id, first.score) == ("all-red", pytest.approx(1.0, abs=1e-5))
    assert len(rest) == 1
    with pytest.raises(NotFound):
        await library.similar("absent", limit=2)


async def test_a_refused_picture_is_not_stored(library, tmp_path):
    await library.add(NewStyle(picture("red"), "house", []), embed)
    for shade in range(5):
        with pytest.raises(Conflict):
            await library.add(NewStyle(picture((0, 0, shade)), "house", []), embed)
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 1


async def test_adding_again_renews_the_vector(library):
    """So that after a change of CLIP the pictures need only be added again."""

    async def other_clip(png, clip):
        return direction("blue")

    await library.add(NewStyle(picture("red"), "red", []), other_clip)
    assert (await library.add(NewStyle(picture("red"), "red", []), embed))[1] is False
    assert (await library.search(direction("red"), (), 1))[0].score > 0.99


async def test_a_damaged_folder_is_said_plainly(tmp_path):
    (tmp_path / "qdrant").mkdir()
    (tmp_path / "qdrant" / "meta.json").write_text("{not json")
    with pytest.raises(Unavailable, match="cannot be read"):
        async with open_library(tmp_path):
            pass


async def test_adding_the_same_again_changes_nothing(library):
    first = await library.add(NewStyle(picture("red"), "red", ["a"]), embed)
    again = await library.add(NewStyle(picture("red"), "red", ["a"]), embed)
    assert first == (again[0], True)
    assert again[1] is False
    assert len((await library.page(10)).styles) == 1


async def test_another_picture_under_the_same_id_needs_replace(library):
    await library.add(NewStyle(picture("red"), "house", []), embed)
    with pytest.raises(Conflict, match="'house' already"):
        await library.add(NewStyle(picture("blue"), "House", []), embed)
    style, changed = await library.add(NewStyle(picture("blue"), "House", [], replace=True), embed)
    assert changed
    assert await library.get("house") == style
    assert (await library.search(direction("blue"), (), 1))[0].score > 0.99


def files(folder):
    return {file.stem for file in (folder / "pictures").glob("*.png")}


async def test_the_picture_that_was_replaced_goes_unless_another_style_has_it(library, tmp_path):
    old, _ = await library.add(NewStyle(picture("red"), "house", []), embed)
    await library.add(NewStyle(picture("red"), "other house", []), embed)
    new, _ = await library.add(NewStyle(picture("blue"), "house", [], replace=True), embed)
    assert files(tmp_path) == {old.sha256, new.sha256}
    await library.add(NewStyle(picture("blue"), "other house", [], replace=True), embed)
    assert files(tmp_path) == {new.sha256}
    await library.add(NewStyle(picture("blue"), "house", ["tagged"], replace=True), embed)
    assert files(tmp_path) == {new.sha256}


class Wanted(Pictures):
    """Every picture is wanted still."""

    def take(self, name):
        raise AssertionError(f"{name} was taken away")


async def test_a_picture_that_another_style_has_is_there_all_the_while(tmp_path):
    client = AsyncQdrantClient(":memory:")
    library = StyleLibrary(client, Wanted(tmp_path / "pictures"))
    await library.prepare()
    for name in ("first", "second"):
        await library.add(NewStyle(picture("red"), name, []), embed)
    await library.remove("first")
    await library.add(NewStyle(picture("red"), "second", ["tagged"], replace=True), embed)
    await client.close()


class Halting(Pictures):
    """Halts beside one of its steps until it is told to go on."""

    def __init__(self, folder, step):
        super().__init__(folder)
        self._step = step
        self.halted, self.go_on = threading.Event(), threading.Event()

    def put(self, name, png):
        super().put(name, png)
        self._halt("after put")

    def take(self, name):
        self._halt("before take")
        return super().take(name)

    def _halt(self, step):
        if step == self._step:
            self.halted.set()
            assert self.go_on.wait(30)


@pytest.mark.parametrize("step", ["after put", "before take"])
async def test_two_gateways_on_one_qdrant_lose_no_picture(tmp_path, step):
    client, pictures = AsyncQdrantClient(":memory:"), Halting(tmp_path / "pictures", step)
    halting, other = (
        StyleLibrary(client, pictures),
        StyleLibrary(client, Pictures(tmp_path / "pictures")),
    )
    await other.prepare()
    await other.add(NewStyle(picture("red"), "first", []), embed)
    if step == "after put":
        first = asyncio.create_task(halting.add(NewStyle(picture("red"), "second", []), embed))
        assert await asyncio.to_thread(pictures.halted.wait, 30)
        await other.remove("first")
    else:
        first = asyncio.create_task(halting.remove("first"))
        assert await asyncio.to_thread(pictures.halted.wait, 30)
        await other.add(NewStyle(picture("red"), "second", []), embed)
    pictures.go_on.set()
    await first
    assert await other.picture(await other.get("second"))
    await client.close()


async def test_pages_follow_each_other_without_gap_or_repeat(library):
    await filled(library)
    first = await library.page(2)
    second = await library.page(2, first.next_id)
    assert [style.id for style in first.styles + second.styles] == [
        "all-blue", "all-green", "all-red"
    ]  # fmt: skip
    assert second.next_id is None


async def test_an_unknown_style_is_named(library):
    with pytest.raises(NotFound, match="'nowhere'.*styles list"):
        await library.get("nowhere")


async def test_a_style_is_found_by_its_name_and_a_slip_is_answered_with_proposals(library):
    await filled(library)
    assert (await library.get("All Red")).id == "all-red"
    with pytest.raises(NotFound, match="'al red' is not .* Did you mean all-red"):
        await library.get("al red")


async def test_a_wrong_id_does_not_have_every_style_read(library, monkeypatch):
    await filled(library)

    def all_of_them(collection):
        raise AssertionError("every style was read")

    monkeypatch.setattr(Collection, "all", all_of_them)
    for wrong in ("all yellow", "nowhere", "!!!", "", "x" * 79, "a-b-c-d-e-f-g-h-i-j"):
        with pytest.raises(NotFound, match="is not in the library"):
            await library.get(wrong)


async def test_what_is_not_an_image_leaves_no_trace(library, tmp_path):
    with pytest.raises(InvalidRequest, match="^image is"):
        await library.add(NewStyle(b"not an image", "broken", []), embed)
    assert (await library.page(10)).styles == []
    assert list((tmp_path / "pictures").glob("*.png")) == []


async def test_metadata_is_not_kept(library):
    hidden = PngImagePlugin.PngInfo()
    hidden.add_text("author", "secret")
    data = encoded(Image.new("RGB", (32, 32), "red"), pnginfo=hidden)
    style, _ = await library.add(NewStyle(data, "red", []), embed)
    stored = await library.picture(style)
    assert b"secret" in data
    assert b"secret" not in stored


async def test_everything_is_there_after_reopening(tmp_path):
    async with open_library(tmp_path) as library:
        await filled(library)
    async with open_library(tmp_path) as library:
        assert len((await library.page(10)).styles) == 3
        assert (await library.search(direction("green"), (), 1))[0].style.id == "all-green"


async def test_of_two_pictures_under_one_name_the_second_is_told(library):
    both = await asyncio.gather(
        *(library.add(NewStyle(picture(colour), "house", []), embed) for colour in ("red", "blue")),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in both) == ["Conflict", "tuple"]


async def test_many_at_once_are_all_kept(library):
    async def add(number):
        colour = (number * 6, 255 - number * 6, 99)
        return await library.add(NewStyle(picture(colour), f"style {number}", []), embed)

    results = await asyncio.gather(*(add(number) for number in range(40)))
    assert all(changed for _, changed in results)
    assert len((await library.page(100)).styles) == 40


# qdrant-client leaves its lock file to the garbage collector when the lock is taken.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_folder_open_elsewhere_is_said_plainly(tmp_path):
    async with open_library(tmp_path):
        with pytest.raises(Unavailable, match="open in another process.*Qdrant server"):
            async with open_library(tmp_path):
                pass


async def test_a_server_that_does_not_answer_is_said_plainly(tmp_path):
    with pytest.raises(Unavailable, match="Qdrant"):
        async with open_library(tmp_path, url="http://127.0.0.1:9"):
            pass


async def test_it_is_ready_while_qdrant_answers(tmp_path):
    async with open_library(tmp_path) as library:
        assert await library.is_ready()


async def test_it_is_not_ready_when_qdrant_is_away(tmp_path):
    client = AsyncQdrantClient(url="http://127.0.0.1:9", check_compatibility=False)
    assert await StyleLibrary(client, Pictures(tmp_path)).is_ready() is False
    await client.close()


async def test_it_is_not_ready_when_qdrant_is_silent(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = AsyncQdrantClient(url=url, check_compatibility=False, timeout=3600)
        asking = StyleLibrary(client, Pictures(tmp_path)).is_ready()
        assert await asyncio.wait_for(asking, 60) is False
        await client.close()


async def test_a_lost_picture_is_said_plainly(library, tmp_path):
    style, _ = await library.add(NewStyle(picture("red"), "red", []), embed)
    (tmp_path / "pictures" / f"{style.sha256}.png").unlink()
    with pytest.raises(StageFailed, match="missing.*styles add --replace"):
        await library.picture(style)


async def test_a_picture_is_read_once_while_there_is_room(library, tmp_path):
    style, _ = await library.add(NewStyle(picture("red"), "house", []), embed)
    png = await library.picture(style)
    (path,) = (tmp_path / "pictures").glob("*.png")
    path.rename(path.with_suffix(".away"))
    assert await library.picture(style) == png


async def test_a_picture_that_is_replaced_is_forgotten(library):
    old, _ = await library.add(NewStyle(picture("red"), "house", []), embed)
    await library.picture(old)
    await library.add(NewStyle(picture("blue"), "house", [], replace=True), embed)
    with pytest.raises(StageFailed, match="missing"):
        await library.picture(old)


def test_what_was_not_asked_for_longest_goes_first():
    recent = Recent(most=5)
    recent.put("one", b"11")
    recent.put("two", b"22")
    assert recent.get("one") == b"11"
    recent.put("three", b"333")
    assert [recent.get(name) for name in ("one", "two", "three")] == [b"11", None, b"333"]
    recent.put("one", b"1")
    recent.put("four", b"4")
    assert [recent.get(name) for name in ("three", "one", "four")] == [b"333", b"1", b"4"]
    recent.put("large", b"666666")
    assert [recent.get(name) for name in ("three", "one", "four", "large")] == [None] * 4


async def test_vectors_have_the_dimensions_of_the_packs_clip(tmp_path):
    async def narrow(png, clip):
        return (await embed(png, clip))[:96]

    async with open_library(tmp_path, clip_dim=96) as library:
        await library.add(NewStyle(picture("red"), "red", []), narrow)
        assert [one.style.id for one in await library.search(direction("red")[:96], (), 1)] == [
            "red"
        ]
        with pytest.raises(StageFailed, match="gave no vector of 96 finite numbers"):
            await library.add(NewStyle(picture("blue"), "blue", []), embed)
    with pytest.raises(Unavailable, match=r"vectors have 96 numbers, .* CLIP 512\. Name another"):
        async with open_library(tmp_path):
            pass
