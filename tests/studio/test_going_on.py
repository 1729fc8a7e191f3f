"""What a render leads to: variations, the next render, a larger one."""

import io

import pytest_asyncio
from PIL import Image

from tests.gateway.fakes import SIDE
from tests.studio.conftest import draw_house, rendered, visiting


@pytest_asyncio.fixture(loop_scope="session")
async def looking(browser, served):
    """The studio with a render, of a pack that paints four times as many pixels as well."""
    served.painter.pack = {**served.painter.pack, "native_size": 512}
    async with visiting(browser, served.url) as page:
        await page.wait_for_selector(".style img")
        await draw_house(page)
        await page.fill("#sentence", "a villa")
        await page.click("button.primary")
        await rendered(page)
        yield page


async def test_variations_have_other_seeds_and_the_same_style(looking, served):
    before = served.painter.newest
    await looking.click("text=Four variations")
    await looking.wait_for_selector(".compare-head option:has-text('Render 4')", state="attached")
    after = served.painter.newest
    assert after.num_images == 4
    assert after.sketch == before.sketch
    assert after.style_images == before.style_images


async def test_the_next_render_begins_with_this_one(looking, served):
    seed = int((await looking.inner_text(".facts")).partition("Seed ")[2].split()[0])
    await looking.click("text=Use as base")
    await looking.locator("text=How much of it changes").wait_for()
    await looking.fill("#sentence", "a villa in winter")
    await looking.click("button.primary")
    await looking.wait_for_selector(".compare .over[alt='a villa in winter']")
    asked = served.painter.newest
    assert Image.open(io.BytesIO(asked.image)).size == (SIDE, SIDE)
    assert (asked.strength, asked.seed) == (0.6, seed)
    await looking.click("text=Without a base")
    await looking.click("button.primary")
    await looking.wait_for_selector(".strip li >> nth=2")
    assert not served.painter.newest.image


async def test_a_render_is_enlarged(looking, served):
    await looking.click("text=Enlarge")
    await looking.wait_for_selector(".strip li >> nth=1")
    await rendered(looking)
    asked = served.painter.newest
    assert (asked.upscale, asked.strength, asked.only_enlarges) == (2, None, True)
    assert Image.open(io.BytesIO(asked.image)).size == (SIDE, SIDE)
