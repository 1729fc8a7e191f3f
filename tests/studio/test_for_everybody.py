"""Every view by axe in both themes and at three widths."""

import json
from itertools import product

import pytest

from tests.amounts import sample
from tests.studio.conftest import AXE, SHOTS, rendered, take_example, visiting

HEIGHTS = {360: 740, 1024: 768, 1920: 1080}
"""Pixels, by the width of the window."""
WINDOWS = sample(product(HEIGHTS, ["light", "dark"]),
                 [(360, "light"), (1024, "dark"), (1920, "light")], several=True)  # fmt: skip


async def check(page, name):
    """No finding of axe in the view that is open; its picture is kept."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SHOTS / f"{name}.png")
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run()")
    broken = [
        (one["id"], [node["html"][:150] for node in one["nodes"]]) for one in found["violations"]
    ]
    assert not broken, f"{name}: {json.dumps(broken, indent=1)}"


@pytest.mark.parametrize(("width", "theme"), WINDOWS)
async def test_every_view(browser, served, guarded, width, theme):
    options = {"viewport": {"width": width, "height": HEIGHTS[width]}, "color_scheme": theme}
    async with visiting(browser, guarded.url, **options) as page:
        await page.wait_for_selector("[name=key]")
        await check(page, f"sign-in-{width}-{theme}")
    async with visiting(browser, served.url, **options) as page:
        await page.wait_for_selector(".style img")
        await check(page, f"empty-{width}-{theme}")
        await take_example(page)
        await page.click("summary")
        await check(page, f"drawn-{width}-{theme}")
        await page.click("summary")
        served.painter.hold()
        await page.click("button.primary")
        await page.wait_for_selector(".progress")
        await check(page, f"waiting-{width}-{theme}")
        served.painter.go_on()
        await rendered(page)
        await check(page, f"compared-{width}-{theme}")
        await page.click("text=All renders")
        await check(page, f"history-{width}-{theme}")
        await page.click("text=What came from what")
        await check(page, f"tree-{width}-{theme}")
        await page.keyboard.press("Escape")
        await page.click("text=Repaint a part")
        await page.wait_for_selector(".painted canvas")
        await check(page, f"repaint-{width}-{theme}")
        await page.keyboard.press("Escape")
        await page.click("text=What made this")
        await check(page, f"made-by-{width}-{theme}")
        await page.keyboard.press("Escape")
        for name in ("Library", "What serves"):
            await page.click(f"[aria-label='{name}']")
            await check(page, f"{name.lower().replace(' ', '-')}-{width}-{theme}")
            await page.keyboard.press("Escape")
        await page.click("[aria-label=Keyboard]")
        await check(page, f"help-{width}-{theme}")
        await page.keyboard.press("Escape")
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width


async def test_german(page):
    await page.select_option(".head select", "de")
    await page.wait_for_selector("text=Rendern")
    assert await page.get_attribute("html", "lang") == "de"
    await check(page, "german-1440-light")
