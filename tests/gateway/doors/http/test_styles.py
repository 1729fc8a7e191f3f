"""/v1/styles: the library over HTTP."""

from __future__ import annotations

import io

import pytest
import pytest_asyncio
from PIL import Image

from pipeline.request import MAX_PROMPT
from tests.gateway.fakes import STYLES
from tests.pictures import encoded

SMALL = encoded(Image.new("RGB", (40, 20), "teal"))


def upload(name="Teal", image=SMALL, **fields):
    return {"data": {"name": name, **fields}, "files": {"image": ("teal.png", image)}}


@pytest_asyncio.fixture(loop_scope="session")
async def teal(served):
    """A style of this test's own."""
    response = await served.client.post("/v1/styles", **upload(tags=["cool", "flat"]))
    assert response.status_code == 201
    added = response.json()
    assert added.pop("warnings") == []
    yield added
    await served.client.delete("/v1/styles/teal")


async def test_added_once(served, teal):
    assert (teal["id"], teal["name"], teal["tags"]) == ("teal", "Teal", ["cool", "flat"])
    assert (teal["width"], teal["height"]) == (40, 20)
    again = await served.client.post("/v1/styles", **upload(tags=["cool", "flat"]))
    assert (again.status_code, again.json()) == (200, {**teal, "warnings": []})
    assert again.headers["location"] == "/v1/styles/teal"
    other = encoded(Image.new("RGB", (40, 20), "navy"))
    assert (await served.client.post("/v1/styles", **upload(image=other))).status_code == 409
    replaced = await served.client.post("/v1/styles", **upload(image=other, replace="true"))
    assert replaced.status_code == 201
    stored = (await served.client.get("/v1/styles/teal")).json()
    assert replaced.json() == {**stored, "warnings": []}


async def test_a_picture_that_was_scaled_down_is_told(served, teal):
    wide = encoded(Image.new("RGB", (3000, 300), "teal"))
    added = await served.client.post("/v1/styles", **upload(image=wide, replace="true"))
    (warning,) = added.json()["warnings"]
    assert warning.startswith("image of 900,000 pixels was scaled down to 2048 x 205")
    assert added.json()["width"] == 2048


async def test_removed(served, teal):
    gone = await served.client.delete("/v1/styles/teal")
    assert (gone.status_code, gone.json()) == (200, teal)
    assert (await served.client.get("/v1/styles/teal")).status_code == 404
    assert (await served.client.delete("/v1/styles/teal")).status_code == 404


async def test_pages_in_order(served):
    first = (await served.client.get("/v1/styles?page_size=2")).json()
    rest = (await served.client.get(f"/v1/styles?page_token={first['next_page_token']}")).json()
    ids = [style["id"] for style in first["styles"] + rest["styles"]]
    assert ids == sorted(STYLES)
    assert rest["next_page_token"] == ""


async def test_search(served):
    query = {"q": "snow at dusk", "tag": ["winter", "bundled"]}
    found = (await served.client.get("/v1/styles/search", params=query)).json()["styles"]
    assert [scored["style"]["id"] for scored in found] == ["winter"]
    limited = await served.client.get("/v1/styles/search", params={"q": "snow", "limit": 2})
    scores = [scored["score"] for scored in limited.json()["styles"]]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)


async def test_styles_like_another(served):
    found = (await served.client.get("/v1/styles/winter/similar?limit=2")).json()["styles"]
    assert len(found) == 2
    assert "winter" not in {scored["style"]["id"] for scored in found}
    assert found[0]["score"] >= found[1]["score"]
    assert (await served.client.get("/v1/styles/absent/similar")).status_code == 404


async def test_pictures_are_sent_once(served, teal):
    whole = await served.client.get("/v1/styles/teal/image")
    assert Image.open(io.BytesIO(whole.content)).size == (40, 20)
    assert whole.headers["etag"] == f'"{teal["sha256"]}"'
    small = await served.client.get("/v1/styles/teal/image?size=16")
    assert Image.open(io.BytesIO(small.content)).size == (16, 8)
    assert small.headers["etag"] != whole.headers["etag"]
    assert "no-store" not in small.headers["cache-control"]
    for sent, status in (
        (small.headers["etag"], 304),
        (f'"x", W/{small.headers["etag"]}', 304),
        ("*", 304),
        (whole.headers["etag"], 200),
    ):
        headers = {"If-None-Match": sent}
        again = await served.client.get("/v1/styles/teal/image?size=16", headers=headers)
        assert again.status_code == status
        assert again.headers["etag"] == small.headers["etag"]
    assert (await served.client.get(teal["thumbnail"])).status_code == 200


@pytest.mark.parametrize(
    ("path", "field", "words"),
    [
        ("/v1/styles?page_size=0", "page_size", "1 or more"),
        ("/v1/styles?page_size=1001", "page_size", "1000 or less"),
        ("/v1/styles?page_size=many", "page_size", "a whole number"),
        ("/v1/styles/winter/image?size=8", "size", "16 or more"),
        ("/v1/styles/search", "q", "missing"),
        ("/v1/styles/search?q=+", "q", f"1 to {MAX_PROMPT}"),
        ("/v1/styles/search?q=a&tag=", "tag", "1 to 40"),
        ("/v1/styles/search?q=a&limit=1e9", "limit", "a whole number"),
    ],
)
async def test_wrong_queries(served, path, field, words):
    response = await served.client.get(path)
    assert (response.status_code, response.json()["field"]) == (400, field)
    assert response.json()["detail"].startswith(field)
    assert words in response.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "!?"}, "name"),
        ({"name": "Search"}, "name"),
        ({"image": b"hello"}, "image"),
        ({"tags": ["x" * 41]}, "tags"),
        ({"replace": "perhaps"}, "replace"),
        ({"colour": "teal"}, "'colour'"),
    ],
)
async def test_wrong_uploads(served, fields, field):
    response = await served.client.post("/v1/styles", **upload(**fields))
    assert (response.status_code, response.json()["field"]) == (400, field)
