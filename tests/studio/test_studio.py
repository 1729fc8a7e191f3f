"""What somebody does in the studio, from the first stroke to the history."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.async_api import expect

from gateway.auth.caller import Scope
from tests.gateway.waiting import until
from tests.studio.conftest import draw, draw_house, rendered, take_example, visiting

DRAWN = {}


def sent_to(served):
    """The newest sketch that was sent, as pixels."""
    return np.asarray(Image.open(io.BytesIO(served.painter.newest.sketch)).convert("L"))


async def exported(page):
    """The sketch as it is saved, as pixels."""
    async with page.expect_download() as saved:
        await page.click("[aria-label='Save the sketch as PNG']")
    return np.asarray(Image.open(await (await saved.value).path()).convert("L"))


async def test_four_actions_lead_to_a_picture(page, served):
    await draw_house(page)
    await page.fill("#sentence", "a villa in winter")
    await page.click("button.primary")
    await rendered(page)
    assert served.painter.begun == 1
    pixels = sent_to(served)
    assert pixels.shape == (512, 512)
    assert pixels[0, 0] == 255
    assert (pixels < 64).mean() > 0.005
    assert await page.locator(".strip li").count() == 1
    assert "follows the sketch" in await page.inner_text(".facts")


async def test_the_example_is_one_click(page):
    await take_example(page)
    await page.click("button.primary")
    await rendered(page)


async def test_who_holds_it_in_the_hand_photographs_a_sketch(browser, served, sketch):
    options = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    async with visiting(browser, served.url, **options) as page:
        camera = page.locator("input[capture=environment]")
        photograph = {"name": "image.jpg", "mimeType": "image/png", "buffer": sketch}
        await camera.set_input_files([photograph])
        await page.wait_for_selector("text=The picture is part of the sketch now")
        await expect(
            page.locator("button[aria-label='Take a photograph of a sketch']")
        ).to_be_visible()


async def test_a_field_of_the_api_has_a_control_with_its_help_and_range(page, served):
    await draw_house(page)
    await page.fill("#sentence", "a villa")
    await page.click("summary")
    end = page.locator("label:has-text('Sentence pulls until')")
    assert "no longer does" in await end.inner_text()
    await end.locator("input").fill("0.5")
    await page.select_option("label:has-text('Kind of sketch') select", "clean")
    tags = page.locator("label:has-text('Only styles with these tags') input")
    await tags.fill("snow, bundled")
    await tags.press("Tab")
    await page.locator("label:has-text('Variation') >> nth=0").locator("input").fill("0.3")
    await page.click("button.primary")
    await rendered(page)
    asked = served.painter.newest
    assert (asked.guidance_end, asked.sketch_kind, asked.variation_strength) == (0.5, "clean", 0.3)
    assert asked.style_filter == ("snow", "bundled")


async def test_who_comes_first_draws_at_the_size_of_the_pack(browser, served):
    served.painter.pack = {**served.painter.pack, "native_size": 256}
    async with visiting(browser, served.url) as page:
        await page.wait_for_selector(".composer option[value='256x256']:checked", state="attached")


@pytest.mark.parametrize("ratio", [1, 1.5, 2])
async def test_what_is_sent_is_what_is_drawn(browser, served, ratio):
    """The same at every pixel ratio, and the same as the export."""
    async with visiting(browser, served.url, device_scale_factor=ratio) as page:
        await page.wait_for_selector(".style img")
        await draw_house(page)
        await page.keyboard.press("r")
        await draw(page, (0.45, 0.5), (0.55, 0.7))
        await page.keyboard.press("e")
        await draw(page, (0.3, 0.5), (0.7, 0.6))
        saved = await exported(page)
        await page.fill("#sentence", "a villa")
        await page.click("button.primary")
        await rendered(page)
        sent = sent_to(served)
        assert (sent < 64).any()
        assert np.array_equal(sent, saved)
        assert np.array_equal(sent, DRAWN.setdefault("at any ratio", sent))


async def test_strokes_are_undone_and_done_again(page):
    await draw(page, (0.3, 0.3), (0.6, 0.6))
    await draw(page, (0.6, 0.3), (0.3, 0.6))
    undo, redo = page.locator("[aria-label=Undo]"), page.locator("[aria-label=Redo]")
    await page.keyboard.press("Control+z")
    await undo.click()
    assert await undo.is_disabled()
    await page.wait_for_selector(".invitation")
    await page.keyboard.press("Control+Shift+z")
    await redo.click()
    assert await redo.is_disabled()


async def test_live_renders_one_at_a_time_and_the_last_stroke_wins(page, served):
    await page.fill("#sentence", "a villa")
    await page.click("text=Live")
    served.painter.hold()
    sent = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    for n in range(20):
        await draw(page, (0.3, 0.3 + n / 50), (0.6, 0.3 + n / 50))
    await until(lambda: served.painter.begun == 1)
    assert len(sent) == 1
    served.painter.go_on()
    await until(lambda: served.painter.begun == 2)
    await page.wait_for_selector("text=Keep this picture")
    await until(lambda: not served.renders.unfinished)
    assert len(sent) == 2
    assert np.array_equal(sent_to(served), await exported(page))
    await page.click("text=Keep this picture")
    await page.wait_for_selector(".strip li")


async def test_errors_are_the_gateways_own_sentences(page):
    await draw_house(page)
    await page.fill("#sentence", "something forbidden")
    await page.click("button.primary")
    told = page.locator(".result [role=alert]")
    await told.wait_for()
    assert re.search("forbidden|refused|not rendered|denied", await told.inner_text())
    assert await page.locator("text=Render again").count() == 1


async def test_somebody_with_a_key_signs_in_and_out(browser, guarded):
    async with visiting(browser, guarded.url) as page:
        await page.fill("[name=key]", "mqt_wrong")
        await page.click("button.primary")
        await page.wait_for_selector("text=not known here")
        await page.fill("[name=key]", guarded.key(Scope.RENDER)["X-API-Key"])
        await page.click("button.primary")
        await page.wait_for_selector(".style img")
        (cookie,) = await page.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        await take_example(page)
        await page.click("button.primary")
        await rendered(page)
        stored = await page.evaluate("JSON.stringify([{...localStorage}, document.cookie])")
        assert "mqt_" not in stored
        assert cookie["value"] not in stored
        await page.click("[aria-label='Sign out']")
        await page.wait_for_selector("[name=key]")


async def test_the_keyboard_alone_draws_says_renders_and_compares(page):
    await page.focus("#sheet")
    keys = ["l", "Enter", *["ArrowRight"] * 8, "Enter", "r", "Enter", *["Shift+ArrowDown"] * 2,
            "Shift+ArrowLeft", "Enter"]  # fmt: skip
    for key in keys:
        await page.keyboard.press(key)
    assert await page.locator("[aria-label=Undo]").is_enabled()
    for _ in range(30):
        if await page.evaluate("document.activeElement.id") == "sentence":
            break
        await page.keyboard.press("Tab")
    await page.keyboard.type("a villa in winter")
    await page.keyboard.press("Control+Enter")
    await rendered(page)
    await page.focus(".compare input")
    await page.keyboard.press("Home")
    assert await page.input_value(".compare input") == "0"
