"""Long strokes: they cost no more at their end, and look as they will when they are done."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.studio.conftest import take_example

POINTS = 1000
DRAW = """async ([from, count, box]) => {
  const canvas = document.querySelector("#sheet");
  const end = from + count;
  await new Promise((resolve) => {
    const frame = () => {
      for (let n = 0; n < 8 && from < end; n++, from++) {
        const [angle, reach] = [from / 60, 0.4 - from / 20000];
        canvas.dispatchEvent(new PointerEvent("pointermove", {
          pointerId: 1, pointerType: "mouse", bubbles: true, buttons: 1,
          clientX: box.x + box.width * (0.5 + reach * Math.cos(angle)),
          clientY: box.y + box.height * (0.47 + reach * Math.sin(angle)),
        }));
      }
      requestAnimationFrame(from < end ? frame : () => requestAnimationFrame(resolve));
    };
    frame();
  });
}"""
"""Goes on with the mouse's stroke along a spiral, eight points a frame."""


async def begin(page, tool):
    await take_example(page)
    await page.focus("#sheet")
    await page.keyboard.press(tool)
    box = await page.locator("#sheet").bounding_box()
    await page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.47 * box["height"])
    await page.mouse.down()
    return box


async def test_a_stroke_of_5000_points_costs_no_more_at_its_end(page):
    """In time of the processor, which other processes do not lengthen."""
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})

    async def spent():
        metrics = (await session.send("Performance.getMetrics"))["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")

    box = await begin(page, "p")
    costs = []
    for n in range(5):
        before = await spent()
        await page.evaluate(DRAW, [n * POINTS, POINTS, box])
        costs.append(await spent() - before)
    await page.mouse.up()
    assert costs[-1] < 2 * costs[0], costs
    assert costs[-1] / (POINTS / 8) < 0.016, costs


@pytest.mark.parametrize("tool", ["p", "e"])
async def test_a_stroke_on_its_way_looks_as_when_it_is_done(page, tool):
    box = await begin(page, tool)

    async def seen():
        shot = await page.locator("#sheet").screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("L")).astype(int)

    blank = await seen()
    await page.evaluate(DRAW, [0, 600, box])
    on_its_way = await seen()
    await page.mouse.up()
    await page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    done = await seen()
    assert (abs(done - blank) > 100).mean() > 0.002
    assert (abs(on_its_way - done) > 100).mean() < 0.0005
