"""What was rendered: found again, as a tree, deleted, printed, sent as a link."""

import asyncio

from tests.studio.conftest import draw_house, rendered, take_example, until_kept


async def test_a_render_brings_its_settings_back(page, tmp_path):
    await draw_house(page)
    await page.fill("#sentence", "a façade at dusk")
    await page.select_option(".composer select >> nth=0", "fast")
    await page.click("button.primary")
    await rendered(page)
    async with page.expect_download() as saved:
        await page.click("text=Save the render")
    await (await saved.value).save_as(tmp_path / "render.png")
    await page.fill("#sentence", "else")
    await page.select_option(".composer select >> nth=0", "balanced")
    await page.set_input_files(".tools input[type=file]", tmp_path / "render.png")
    await page.wait_for_selector("text=The settings of this render are back")
    assert await page.input_value("#sentence") == "a façade at dusk"
    assert await page.input_value(".composer select >> nth=0") == "fast"
    assert await page.input_value(".seed input")


async def test_the_history_is_searched_and_what_is_deleted_comes_back(page):
    await take_example(page)
    for sentence in ("a villa in winter", "offices in the desert"):
        await page.fill("#sentence", sentence)
        await page.click("button.primary")
        await page.wait_for_selector(f".compare .over[alt='{sentence}']")
    await page.click("text=All renders")
    await page.fill("dialog input[type=search]", "winter")
    assert await page.locator(".card").count() == 1
    await page.click(".card [aria-label=Favourite]")
    await page.fill("dialog input[type=search]", "")
    await page.click("text=Favourites only")
    assert await page.inner_text(".card p") == "a villa in winter"
    await page.click(".card [aria-label=Delete]")
    await page.keyboard.press("Escape")
    await page.wait_for_selector("text=The render is deleted")
    assert await page.locator(".strip li").count() == 1
    await page.click("text=Bring it back")
    await page.wait_for_selector(".strip li >> nth=1")


async def test_renders_are_put_into_projects(page):
    await take_example(page)

    async def render(sentence):
        await page.fill("#sentence", sentence)
        await page.click("button.primary")
        await page.wait_for_selector(f".compare .over[alt='{sentence}']")
        await page.click("text=All renders")

    await render("a villa")
    await page.fill("dialog [name=project]", "Lake house")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".card small:has-text('Lake house')")
    await page.keyboard.press("Escape")
    await render("a villa at night")
    assert await page.locator(".card small:has-text('Lake house')").count() == 2
    await page.select_option("dialog .history-head select", "")
    await page.keyboard.press("Escape")
    await render("offices")
    assert await page.locator(".card").count() == 3
    await page.select_option("dialog .history-head select", "Lake house")
    await page.wait_for_selector("text=Renders: 2")
    await page.keyboard.press("Escape")
    await until_kept(page, lambda kept: kept.get("project") == "Lake house")
    await page.reload()
    await page.click("text=All renders")
    await page.wait_for_selector("text=Renders: 2")


async def test_the_history_shows_what_came_from_what(page):
    await take_example(page)
    for sentence in ("a villa in winter", "a villa in the desert"):
        await page.fill("#sentence", sentence)
        await page.click("button.primary")
        await page.wait_for_selector(f".compare .over[alt='{sentence}']")
    await page.click("text=All renders")
    await page.click("text=What came from what")
    branch = page.locator(".trees .trees .branch")
    assert (await branch.inner_text()).split("\n") == [
        "a villa in the desert", "other sentence, Seed",
    ]  # fmt: skip
    await page.click(".branch >> nth=0")
    await page.wait_for_selector(".compare .over[alt='a villa in winter']")


async def test_a_link_brings_the_settings(page, served):
    await draw_house(page)
    await page.fill("#sentence", "a villa")
    await page.click(".style-grid button:has-text('winter')")
    await page.click("button.primary")
    await rendered(page)
    await page.click("text=What made this")
    link = await page.inner_text("pre >> nth=0")
    assert link.startswith(f"{served.url}/#")
    other = await page.context.browser.new_context()
    tab = await other.new_page()
    await tab.goto(link)
    await tab.wait_for_selector("text=The settings of the link are set")
    assert await tab.input_value("#sentence") == "a villa"
    await tab.wait_for_selector("[aria-pressed=true]:has-text('winter')")
    assert "#" not in tab.url
    await other.close()


async def test_a_board_is_printed(page):
    await take_example(page)
    await page.click("button.primary")
    await rendered(page)
    # Chromium without a window has no dialog to print in.
    await page.evaluate("print = () => (document.body.dataset.print = 'asked')")
    await page.click("text=All renders")
    await page.click("text=Print or PDF")
    await page.wait_for_selector("[data-print=asked]")
    await page.emulate_media(media="print")
    assert await page.locator(".printed img").count() == 3
    assert not await page.locator("main").is_visible()
    assert (await page.pdf()).startswith(b"%PDF")
    await page.emulate_media(media="screen")
    assert not await page.locator(".printed").is_visible()


async def test_five_hundred_renders_open_at_once(page):
    await page.evaluate(MANY)
    await page.reload()
    await page.wait_for_selector(".strip li >> nth=23")
    started = asyncio.get_running_loop().time()
    await page.click("text=All renders")
    await page.wait_for_selector("text=Renders: 500")
    assert asyncio.get_running_loop().time() - started < 5
    assert await page.locator(".card").count() == 500


MANY = """async () => {
  const open = indexedDB.open("maquette-studio", 1);
  const db = await new Promise((resolve) => (open.onsuccess = () => resolve(open.result)));
  const png = await new Promise((resolve) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 192;
    canvas.toBlob(resolve);
  });
  const writing = db.transaction(["renders"], "readwrite");
  for (let n = 0; n < 500; n++)
    writing.objectStore("renders").put({
      id: `r${n}`, created: n, state: "done", from: "", favourite: false, images: [], seconds: 1,
      warnings: [], versions: {}, error: "", thumbnail: png,
      wish: { prompt: `house ${n}`, style_images: [], style_weights: [], width: 512, height: 512 },
    });
  await new Promise((resolve) => (writing.oncomplete = resolve));
  db.close();
}"""
