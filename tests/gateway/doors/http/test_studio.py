"""The page of the studio: how its files are served, and under which policy."""

import gzip
import re

import httpx
import pytest
from fastapi import FastAPI

from gateway.doors.http import studio

SCRIPT = "assets/index-1a2b3c.js"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(f"<!doctype html><script src='./{SCRIPT}'></script>")
    (tmp_path / SCRIPT).write_text("draw();" * 100)
    return tmp_path


@pytest.fixture
async def page(folder):
    app = FastAPI()
    studio.serve(app, folder)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://studio") as client:
        yield client


async def test_browsers_get_the_page(page):
    response = await page.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"


async def test_scripts_that_ask_for_json_get_json(served):
    response = await served.client.get("/", headers={"Accept": "application/json"})
    assert response.status_code == 404
    assert response.json()["detail"].startswith("There is no GET / here")


@pytest.mark.parametrize("path", ["/", f"/{SCRIPT}"])
async def test_what_has_not_changed_is_not_sent_again(page, path):
    etag = (await page.get(path)).headers["etag"]
    again = await page.get(path, headers={"If-None-Match": etag})
    assert again.status_code == 304
    assert not again.content
    assert (await page.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_files_named_by_their_content_are_kept_for_ever(page):
    response = await page.get(f"/{SCRIPT}")
    assert "immutable" in response.headers["cache-control"]
    assert response.headers["content-type"].startswith("text/javascript")


async def test_what_is_sent_is_compressed_where_that_is_understood(page, folder):
    async with page.stream("GET", f"/{SCRIPT}", headers={"Accept-Encoding": "gzip"}) as response:
        packed = b"".join([part async for part in response.aiter_raw()])
    assert gzip.decompress(packed) == (folder / SCRIPT).read_bytes()
    plain = await page.get(f"/{SCRIPT}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == (folder / SCRIPT).read_bytes()


async def test_the_policy_lets_in_nothing_foreign_and_nothing_inline(page):
    headers = (await page.get("/")).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"unsafe|https?:|\*", headers["content-security-policy"])


async def test_the_page_has_the_headers_of_every_answer(served):
    headers = (await served.client.get("/", headers={"Accept": "text/html"})).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == studio.POLICY


@pytest.mark.parametrize("path", ["/assets/", "/assets/../index.html", "/assets/%2e%2e/index.html",
                                  "/index.html", "/assets/none.js"])  # fmt: skip
async def test_only_what_was_built_is_there(page, path):
    assert (await page.get(path)).status_code == 404


async def test_a_page_that_is_not_built_says_how_to_build_it(tmp_path):
    app = FastAPI()
    studio.serve(app, tmp_path / "page")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://studio") as client:
        assert "make studio" in (await client.get("/")).text


async def test_pages_of_others_may_not_call_the_gateway_for_its_page(served):
    headers = {"Accept": "text/html", "Host": "rebound.example"}
    response = await served.client.get("/", headers=headers)
    assert response.status_code == 403
