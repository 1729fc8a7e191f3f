"""What hinders a render: a reload, a cancel, another tab, a gateway that is away or new."""

import asyncio
from contextlib import AsyncExitStack

from gateway.auth.caller import Scope
from tests.gateway.doors.http.conftest import free_port, serve
from tests.gateway.waiting import until
from tests.studio.conftest import draw_house, drawings, proxied, rendered, until_kept, visiting


async def begin(page):
    await draw_house(page)
    await page.fill("#sentence", "a villa")
    await page.click("button.primary")


async def test_a_reload_loses_nothing(page, served):
    served.painter.hold()
    await draw_house(page)
    await page.fill("#sentence", "a villa")
    await page.click("button.primary")
    await until(lambda: served.painter.begun == 1)
    await until_kept(page, lambda kept: any(drawings(kept)) and kept["wish"]["prompt"] == "a villa")
    await page.reload()
    await page.wait_for_selector(".progress progress")
    served.painter.go_on()
    await rendered(page)
    assert served.painter.begun == 1
    assert await page.locator(".invitation").count() == 0
    assert await page.input_value("#sentence") == "a villa"


async def test_a_render_is_cancelled(page, served):
    served.painter.hold()
    await draw_house(page)
    await page.fill("#sentence", "a villa")
    await page.click("button.primary")
    await page.click("text=Cancel")
    await page.wait_for_selector("button.primary:has-text('Render')")
    served.painter.go_on()
    await until(lambda: served.painter.left_early == 1)
    assert await page.locator(".strip li").count() == 0


async def test_what_is_cancelled_before_it_was_sent_is_cancelled(page, served):
    served.painter.hold()
    cancelled = asyncio.Event()

    async def delay(route):
        await cancelled.wait()
        await route.continue_()

    await page.route("**/v1/renders", delay)
    await draw_house(page)
    await page.fill("#sentence", "a villa")
    await page.click("button.primary")
    await page.click("text=Cancel")
    cancelled.set()
    await page.wait_for_selector("button.primary:has-text('Render')")
    assert not served.renders.unfinished


async def test_a_gateway_that_is_away_is_told_and_waited_for(page, served):
    await draw_house(page)
    await page.fill("#sentence", "a villa")
    await page.context.set_offline(True)
    await page.click("button.primary")
    await page.wait_for_selector("text=The connection is lost")
    await page.context.set_offline(False)
    await rendered(page)
    assert served.painter.begun == 1


async def test_the_place_in_the_queue_is_told(browser, tmp_path, sketch):
    async with serve(tmp_path, max_running=1) as served:
        served.painter.hold()
        send = served.client.post
        for _ in range(2):
            await send(
                "/v1/renders",
                headers={"Prefer": "respond-async"},
                files={"sketch": sketch},
                data={"prompt": "a house"},
            )
        await until(lambda: served.painter.begun == 1)
        async with visiting(browser, served.url) as page:
            await begin(page)
            await page.wait_for_selector("text=before it: 1")
            served.painter.go_on()
            await rendered(page)


async def test_two_tabs_show_one_render_and_keep_a_drawing_each(page, served):
    served.painter.hold()
    await begin(page)
    await until(lambda: served.painter.begun == 1)
    other = await page.context.new_page()
    await other.goto(f"{served.url}/")
    await other.wait_for_selector(".progress progress")
    await other.click("[aria-label='Clear the sheet']")
    await other.wait_for_selector(".invitation")
    await other.click("text=Cancel")
    for tab in (page, other):
        await tab.wait_for_selector("button.primary:has-text('Render')")
        assert await tab.locator(".strip li").count() == 0
    assert served.painter.begun == 1
    await until_kept(page, lambda kept: [bool(each) for each in drawings(kept)] == [False, True])
    for tab, invitations in ((page, 0), (other, 1)):
        await tab.reload()
        await tab.wait_for_selector(".style img")
        assert await tab.locator(".invitation").count() == invitations


async def test_a_gateway_that_was_started_anew_gets_the_render_once_more(browser, tmp_path):
    port = free_port()
    async with AsyncExitStack() as held:
        async with serve(tmp_path, http_port=port) as before:
            before.painter.hold()
            page = await held.enter_async_context(visiting(browser, before.url))
            await begin(page)
            await until(lambda: before.painter.begun == 1)
            await page.context.set_offline(True)
        after = await held.enter_async_context(serve(tmp_path, http_port=port))
        await page.context.set_offline(False)
        await page.wait_for_selector("text=it is rendered once more")
        await rendered(page)
        assert after.painter.begun == 1
        assert await page.locator(".strip li").count() == 1


async def test_it_works_under_a_path_of_a_proxy(browser, guarded):
    async with proxied(guarded, "/team/studio") as url, visiting(browser, url) as page:
        await page.fill("[name=key]", guarded.key(Scope.RENDER)["X-API-Key"])
        await page.click("button.primary")
        await page.wait_for_selector(".style img")
        (cookie,) = await page.context.cookies()
        assert cookie["path"] == "/team/studio"
        await begin(page)
        await rendered(page)
