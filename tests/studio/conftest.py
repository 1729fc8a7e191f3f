"""The studio in Debian's Chromium, over a painter in Triton's place."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import async_playwright, expect
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.routing import Route

from gateway.doors.http.studio import INDEX, PAGE
from tests.conftest import ROOT
from tests.gateway.doors.http.conftest import free_port, serve
from tests.gateway.fakes import Painter
from tests.gateway.waiting import until

NO_CHROMIUM = "There is no chromium here. `apt-get install chromium` installs Debian's."
NO_PAGE = "The studio is not built. `make studio` builds it."
AXE = ROOT / "studio/node_modules/axe-core/axe.min.js"
SHOTS = ROOT / "out/studio"
"""Screenshots of every view, to be looked at."""
TIMEOUT = 20_000
"""Milliseconds for what a test waits for; two browsers share two cores."""
expect.set_options(timeout=TIMEOUT)


def pytest_collection_modifyitems(items):
    for item in items:
        if pytest_asyncio.is_async_test(item) and "tests/studio" in str(item.path):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser():
    chromium = shutil.which("chromium")
    assert chromium, NO_CHROMIUM
    assert (PAGE / INDEX).exists(), NO_PAGE
    # Its sandbox cannot be had by root.
    arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(tmp_path_factory):
    async with serve(tmp_path_factory.mktemp("studio"), max_running=8) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def served(gateway):
    """The gateway that most tests share, with a painter that is as new."""
    yield gateway
    for render in gateway.renders.unfinished:
        render.cancel()
        await render.ended()
    vars(gateway.painter).update(vars(Painter()))


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(tmp_path):
    """A gateway that asks who calls."""
    async with serve(tmp_path, auth="required") as running:
        yield running


@asynccontextmanager
async def visiting(browser, url, **options):
    """A page in a browser of its own, with nothing in its console and no call of another host."""
    options = {"locale": "en-GB", "viewport": {"width": 1440, "height": 900}, **options}
    context = await browser.new_context(**options)
    page = await context.new_page()
    page.set_default_timeout(TIMEOUT)
    wrong: list[str] = []

    def check_message(message):
        # A failed call is written there by the browser itself, whatever the page makes of it.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            wrong.append(message.text)

    def check_request(request):
        if not request.url.startswith((url, "blob:", "data:")):
            wrong.append(f"called {request.url}")

    page.on("console", check_message)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", check_request)
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    await page.goto(f"{url}/")
    yield page
    await context.close()
    assert not wrong


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser, served):
    """The studio as somebody sees it who comes for the first time."""
    async with visiting(browser, served.url) as page:
        await page.wait_for_selector(".style img")
        yield page


@asynccontextmanager
async def proxied(served, prefix):
    """A proxy in front of `served` that has it under the path `prefix`."""
    client = httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=30)

    async def forward(request):
        url = httpx.URL(path=f"/{request.path_params['path']}", query=request.url.query.encode())
        sent = client.build_request(
            request.method, url, headers=request.headers.raw, content=request.stream()
        )
        answer = await client.send(sent, stream=True)
        done = BackgroundTask(answer.aclose)
        return StreamingResponse(
            answer.aiter_raw(), answer.status_code, answer.headers, background=done
        )

    routes = [Route(f"{prefix}/{{path:path}}", forward, methods=["GET", "POST", "DELETE"])]
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=port, log_level="error"))
    async with client:
        running = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        yield f"http://127.0.0.1:{port}{prefix}"
        server.should_exit = True
        await running


async def draw(page, *points):
    """Draw a stroke with the mouse through `points`, as shares of the sheet's canvas."""
    box = await page.locator("#sheet").bounding_box()
    spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    await page.mouse.move(*spots[0])
    await page.mouse.down()
    for spot in spots[1:]:
        await page.mouse.move(*spot, steps=4)
    await page.mouse.up()


async def draw_house(page):
    await draw(page, (0.3, 0.7), (0.3, 0.45), (0.5, 0.3), (0.7, 0.45), (0.7, 0.7), (0.3, 0.7))


async def take_example(page):
    """Have the example on the sheet; the sentence has the focus when it is there."""
    await page.click("text=Take an example")
    await page.wait_for_selector("#sentence:focus")


async def rendered(page):
    """Wait for the render that is looked at to be there."""
    await page.wait_for_selector(".compare .over")


THINGS = """
() => new Promise((resolve, reject) => {
  const opening = indexedDB.open("maquette-studio");
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const things = opening.result.transaction("things").objectStore("things");
    const [keys, values] = [things.getAllKeys(), things.getAll()];
    things.transaction.oncomplete = () => {
      opening.result.close();
      resolve(Object.fromEntries(keys.result.map((key, at) => [key, values.result[at]])));
    };
  };
})
"""


async def until_kept(page, holds):
    """Wait until what the browser keeps of drawings and settings, by key, is such that `holds`."""
    async with asyncio.timeout(TIMEOUT / 1000):
        while not holds(await page.evaluate(THINGS)):  # noqa: ASYNC110 - a browser has none
            await asyncio.sleep(0.05)


def drawings(things):
    """How many elements each tab's drawing has, the emptiest first."""
    return sorted(len(v["elements"]) for k, v in things.items() if k.startswith("drawing/"))
