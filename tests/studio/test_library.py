"""The library and what serves, for who may look after them."""

from playwright.async_api import expect

from gateway.auth.caller import Scope
from tests.gateway.doors.http.conftest import serve
from tests.gateway.versioned import MODEL, versioned
from tests.studio.conftest import visiting
from tests.studio.test_for_everybody import check
from versions import aliases, canary, history


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


async def test_a_style_gets_another_name(browser, guarded):
    async with visiting(browser, guarded.url) as page:
        await signed_in(page, guarded, Scope.RENDER, Scope.STYLES)
        await page.click("[aria-label=Library]")
        for before, after in (("winter", "Winter"), ("Winter", "Deep winter")):
            await page.fill(f"[aria-label='Name of {before}']", after)
            await page.keyboard.press("Enter")
            await page.wait_for_selector(f"[aria-label='Name of {after}']")
        assert await page.locator(".shelf li").count() == 3
        await page.fill("[aria-label='Name of Deep winter']", "sunset")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("[role=status]:has-text('Choose another name')")
        await expect(page.locator("[aria-label='Name of Deep winter']")).to_have_value(
            "Deep winter"
        )
        styles = (await guarded.client.get("/v1/styles", headers=guarded.key(Scope.RENDER))).json()
        assert [each["id"] for each in styles["styles"]] == ["blueprint", "deep-winter", "sunset"]


async def test_versions_are_tried_promoted_rolled_back_and_retired(browser, tmp_path):
    repository = versioned(tmp_path / "repository")
    async with (
        serve(tmp_path, auth="required", repository=repository) as served,
        visiting(browser, served.url) as page,
    ):
        await signed_in(page, served, Scope.ADMIN)
        await page.click("[aria-label='What serves']")

        async def change(label, sentence, why=""):
            await page.click(f"dialog.wide button:has-text('{label}'), [aria-label='{label}']")
            ask = page.locator(".confirm")
            if why:
                await ask.locator("[role=alert]:has-text('has not been at its gate')").wait_for()
                await expect(ask.locator("button.primary")).to_be_disabled()
                await ask.get_by_text("Without a passed gate").click()
                await ask.locator("input:not([type])").fill(why)
            else:
                await ask.locator("[role=status]:not(:empty)").wait_for()
            if label.startswith("Promote"):
                await check(page, "promote-1440-light")
            await ask.locator("button.primary").click()
            # What it would come to is said in the same words before.
            await ask.wait_for(state="hidden")
            await page.wait_for_selector(f"dialog.wide [role=status]:has-text('{sentence}')")
            return aliases.read(repository).of(MODEL)

        await page.locator("label:has-text('the candidate makes') input").fill("0.25")
        await change("Try it", "makes 25% of the renders", "a try")
        assert canary.read(repository).share == 0.25
        await page.wait_for_selector("text=It makes 25 % of the renders")
        promoted = await change(f"Promote: {MODEL} 2", f"{MODEL} 2 is the champion", "sharper")
        assert (promoted.champion, promoted.previous) == (2, 1)
        back = await change(f"Roll back: {MODEL} 1", f"{MODEL} 1 is the champion again")
        assert (back.champion, back.previous) == (1, 2)
        await change(f"Retire: {MODEL} 3", f"{MODEL} 3 is retired")
        assert not (repository / MODEL / "3").exists()
        without = await change(f"Take the alias away: {MODEL} 2", "no longer the previous")
        assert without.previous is None
        whys = [entry.why for entry in history.read(repository)]
        assert whys[:2] == ["a try", "sharper"]
