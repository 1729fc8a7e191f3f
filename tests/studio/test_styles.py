"""Styles in the studio: found by tags, by likeness, and pinned."""

from playwright.async_api import expect

from tests.studio.conftest import draw_house, rendered, until_kept


async def names(page):
    return await page.locator(".style:not(.automatic)").all_inner_texts()


async def test_styles_are_narrowed_by_a_tag(page):
    tag = page.locator(".tags button").first
    await tag.click()
    assert len(await names(page)) < 3
    await tag.click()
    await expect(page.locator(".style:not(.automatic)")).to_have_count(3)


async def test_styles_like_one_are_shown_beside_it(page):
    await page.click(".style:has-text('winter')")
    await page.click("text=More like this")
    await page.wait_for_selector("text=Like winter")
    assert (await names(page))[0] == "winter"
    await page.click("[aria-label='All styles']")
    await expect(page.locator(".style:not(.automatic)").first).to_have_text("blueprint")


async def test_a_style_that_is_pinned_stands_first(page):
    await page.click(".style:has-text('winter')")
    await page.click("text=Pin")
    assert (await names(page))[0] == "★ winter"
    await until_kept(page, lambda kept: kept.get("pins"))
    await page.reload()
    await page.wait_for_selector(".style img")
    assert (await names(page))[0] == "★ winter"


async def test_several_styles_are_blended_by_their_weights(page, served):
    await draw_house(page)
    await page.fill("#sentence", "a villa")
    await page.click("text=Several")
    for name in ("winter", "sunset", "blueprint", "blueprint"):
        await page.click(f".style-grid button:has-text('{name}')")
    await expect(page.locator(".style[aria-pressed=true]")).to_have_count(2)
    await page.locator(".styles label:has-text('sunset') input").fill("0.25")
    await page.click("button.primary")
    await rendered(page)
    asked = served.painter.newest
    assert len(asked.style_images) == 2
    assert asked.weights == (0.8, 0.2)
    await page.click("text=What made this")
    assert "winter, sunset" in await page.inner_text("dialog table")
    await page.keyboard.press("Escape")
    await page.click("text=Several")
    await page.click(".style-grid button:has-text('winter')")
    await expect(page.locator(".style[aria-pressed=true]")).to_have_text("winter")
