"""A part of a render painted anew: by brush, by numbers, and around it."""

import asyncio
import io

import numpy as np
import pytest_asyncio
from PIL import Image
from playwright.async_api import expect

from pipeline import images
from tests.gateway.fakes import SIDE
from tests.studio.conftest import TIMEOUT, draw_house, rendered, visiting
from tests.studio.test_for_everybody import check


def pixels(png, field="mask"):
    """As the gateway reads the file."""
    return np.asarray(images.decode(png, field).convert("L"))


@pytest_asyncio.fixture(loop_scope="session")
async def looking(browser, served):
    """The studio with a render, on a screen with a finger as well as a mouse."""
    served.painter.pack = {**served.painter.pack, "native_size": 256}
    async with visiting(browser, served.url, has_touch=True) as page:
        await page.wait_for_selector(".style img")
        await draw_house(page)
        await page.fill("#sentence", "a villa")
        await page.click("button.primary")
        await rendered(page)
        yield page


async def paint(page, *points, pointer="mouse"):
    """Paint through `points`, as shares of the picture."""
    box = await page.locator(".painted canvas").bounding_box()
    spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    if pointer == "mouse":
        await page.mouse.move(*spots[0])
        await page.mouse.down()
        for spot in spots[1:]:
            await page.mouse.move(*spot, steps=6)
        await page.mouse.up()
        return
    session = await page.context.new_cdp_session(page)
    names = ["touchStart", *["touchMove"] * (len(spots) - 1), "touchEnd"]
    touched = [*([{"x": x, "y": y}] for x, y in spots), []]
    for name, spot in zip(names, touched, strict=True):
        touch = {"type": name, "touchPoints": spot}
        await session.send("Input.dispatchTouchEvent", touch)


async def shown(page):
    """The mask as it is seen: where its tint is."""
    opacity = """async () => {
      for (let n = 0; n < 3; n++) await new Promise((done) => requestAnimationFrame(done));
      const shown = document.querySelector(".painted canvas");
      const { width, height } = shown;
      const copy = Object.assign(document.createElement("canvas"), { width, height });
      const context = copy.getContext("2d", { willReadFrequently: true });
      context.drawImage(shown, 0, 0);
      const { data } = context.getImageData(0, 0, width, height);
      return Array.from({ length: width * height }, (_, n) => data[4 * n + 3]);
    }"""
    return np.array(await page.evaluate(opacity)).reshape(SIDE, SIDE) > 0


async def until_shown(page, mask):
    """Wait until `mask` is what is seen."""
    async with asyncio.timeout(TIMEOUT / 1000):
        while not np.array_equal(await shown(page), mask):  # noqa: ASYNC110 - a browser has none
            await asyncio.sleep(0.05)


async def test_what_is_painted_over_is_sent_as_it_is_seen(looking, served):
    page = looking
    before = served.painter.newest
    await page.click("text=Repaint a part")
    await paint(page, (0.2, 0.2), (0.6, 0.5))
    await paint(page, (0.8, 0.8), (0.8, 0.6), pointer="touch")
    await page.click(".painting [aria-label=Eraser]")
    await paint(page, (0.4, 0.1), (0.4, 0.6))
    seen = await shown(page)
    assert 0 < seen.mean() < 0.5
    assert seen[int(0.7 * SIDE), int(0.8 * SIDE)]
    assert not seen[int(0.3 * SIDE), int(0.4 * SIDE)]
    await check(page, "repaint-1440-light")
    await page.fill(".easel label:has-text('Soft edge') input", "3")
    await page.click("text=The edges hold there as well")
    await page.fill(".easel input:not([type])", "a villa with a tower")
    await page.click(".easel button.primary")
    await page.wait_for_selector(".compare .over[alt='a villa with a tower']")
    asked = served.painter.newest
    assert Image.open(io.BytesIO(asked.image)).size == (SIDE, SIDE)
    assert np.array_equal(pixels(asked.mask), np.where(seen, 255, 0))
    assert (asked.mask_blur, asked.control_in_mask, asked.strength) == (3, False, 1)
    assert asked.sketch == before.sketch
    assert asked.style_images == before.style_images
    await page.click("text=All renders")
    await page.click("text=What came from what")
    told = await page.inner_text(".trees .trees .branch small")
    assert told.startswith("repainted in part; other sentence")


async def test_a_mask_is_undone_swapped_cleared_and_kept_for_a_while(looking):
    page = looking
    await page.click("text=Repaint a part")
    await paint(page, (0.1, 0.1), (0.9, 0.1))
    one = await shown(page)
    await paint(page, (0.1, 0.9), (0.9, 0.9))
    two = await shown(page)
    assert two.sum() > one.sum() > 0
    await page.keyboard.press("Control+z")
    await until_shown(page, one)
    await page.keyboard.press("Control+Shift+z")
    await until_shown(page, two)
    await page.click("[aria-label='Swap painted and kept']")
    await until_shown(page, ~two)
    await page.keyboard.press("Escape")
    await page.click("text=Repaint a part")
    await page.wait_for_selector(".painted canvas")
    await until_shown(page, ~two)
    await page.click("[aria-label='Clear the mask']")
    await until_shown(page, np.zeros_like(two))
    await page.click(".easel button.primary")
    await page.wait_for_selector(".easel [role=alert]:has-text('Paint over a part')")


async def test_the_keyboard_alone_paints_a_rectangle(looking, served):
    page = looking
    await page.focus("text=Repaint a part")
    await page.keyboard.press("Enter")
    box = page.locator("fieldset:has-text('Rectangle')")
    for name, value in (("Left", 8), ("Top", 16), ("Width", 24), ("Height", 4)):
        await box.get_by_label(name).focus()
        await page.keyboard.press("Control+a")
        await page.keyboard.type(str(value))
    await box.get_by_text("Paint it").focus()
    await page.keyboard.press("Space")
    await expect(page.locator(".painted canvas")).to_have_attribute(
        "aria-label", "2 % of the picture is painted anew."
    )
    await page.focus(".easel button.primary")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".strip li >> nth=1")
    wanted = np.zeros((SIDE, SIDE), np.uint8)
    wanted[16:20, 8:32] = 255
    assert np.array_equal(pixels(served.painter.newest.mask), wanted)


async def test_what_is_around_the_picture_is_painted_as_well(looking, served):
    page = looking
    await page.click("text=Repaint a part")
    margins = page.locator("fieldset:has-text('around the picture')")
    await margins.get_by_label("Left").fill("128")
    await margins.get_by_label("Bottom").fill("64")
    await page.click(".easel button.primary")
    await page.wait_for_selector(".strip li >> nth=1")
    asked = served.painter.newest
    assert (asked.mask, asked.pad) == (b"", (128, 0, 0, 64))
    assert (asked.width, asked.height) == (192, 128)
    sketch = pixels(asked.sketch, "sketch")
    assert sketch.shape == (SIDE + 64, SIDE + 128)
    assert (sketch[:, :128] == 255).all()
    assert (sketch[:SIDE, 128:] < 128).any()
