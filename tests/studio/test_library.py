"""The library and what serves, for who may look after them."""

from playwright.async_api import expect

from gateway.auth.caller import Scope
from tests.studio.conftest import visiting


async def signed_in(page, served, *scopes):
    await page.fill("[name=key]", served.key(*scopes)["X-API-Key"])
    await page.click("button.primary")
    await page.wait_for_selector(".style img")


async def test_styles_are_added_tagged_taken_out_and_brought_back(browser, guarded):
    picture = await guarded.client.get("/v1/styles/winter/image", headers=guarded.key(Scope.RENDER))
    async with visiting(browser, guarded.url) as page:
        await signed_in(page, guarded, Scope.RENDER, Scope.STYLES)
        await page.click("[aria-label=Library]")
        await page.fill(".drop input:not([type=file])", "cold, night")
        files = [
            {"name": name, "mimeType": "image/png", "buffer": content}
            for name, content in (("first_snow.png", picture.content), ("no.png", b"x"))
        ]
        await page.set_input_files(".drop input[type=file]", files)
        lines = page.locator(".dialog-body > [role=status] p")
        await expect(lines).to_have_count(2)
        assert (await lines.all_inner_texts())[0] == "first snow is in the library."
        assert (await lines.all_inner_texts())[1].startswith("no.png: image is ")
        tags = page.locator("[aria-label='Tags of first snow']")
        await expect(tags).to_have_value("cold, night")
        await tags.fill("warm")
        await tags.press("Enter")
        await page.click("[aria-label='Remove first snow']")
        await expect(tags).to_have_count(0)
        await page.keyboard.press("Escape")
        await page.click("text=Bring it back")
        style = page.locator(".style:has-text('first snow')")
        await expect(style).to_have_attribute("title", "warm")


async def test_who_may_render_alone_sees_no_library_and_what_serves(browser, guarded):
    async with visiting(browser, guarded.url) as page:
        await signed_in(page, guarded, Scope.RENDER)
        assert await page.locator("[aria-label=Library]").count() == 0
        await page.click("[aria-label='What serves']")
        await page.wait_for_selector("text=1 of 1 ready")
