"""What others wrote is shown as text: names of styles, tags, sentences, errors, files, links."""

import base64
import json
from urllib.parse import quote

from playwright.async_api import expect

from gateway.auth.caller import Scope
from tests.gateway.fakes import DENIED
from tests.studio.conftest import draw_house, rendered, visiting

MARKUP = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>", "<iframe src=javascript:alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>", "<body onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>", "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)>", "<audio src=x onerror=alert(1)>",
    "<marquee onstart=alert(1)>", "<object data=javascript:alert(1)>", "<embed src=//evil.test/x>",
    "<link rel=stylesheet href=//evil.test/x>", "<meta http-equiv=refresh content=0;//evil.test>",
    "<base href=//evil.test/>", "<form action=//evil.test><input type=submit>",
    "<a href=javascript:alert(1)>a</a>", "<math><mi xlink:href=javascript:alert(1)>a",
    "<style>*{display:none}</style>", "<p style=position:fixed;inset:0>a", "<template><b>a",
    "</title><script>alert(1)</script>", "</textarea><script>alert(1)</script>",
    "</script><script>alert(1)</script>", "\"><script>alert(1)</script>", "'><img src onerror=a()>",
    "\" onmouseover=alert(1) x=\"", "' onfocus=alert(1) autofocus x='", "javascript:alert(1)",
    "JaVaScRiPt:alert(1)", "data:text/html,<script>alert(1)</script>", "'-alert(1)-'",
    "\\';alert(1)//", "{{constructor.constructor('alert(1)')()}}", "${alert(1)}",
    "&lt;script&gt;alert(1)&lt;/script&gt;", "<scr<script>ipt>alert(1)", "<!--><script>alert(1)-->",
]  # fmt: skip
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>"
NODES = "document.querySelectorAll('{}').length"
STRANGE = "iframe, object, embed, base, form form, [onerror], [onload], [onfocus], main style"


def sentences(length=480):
    """All of them, in as few sentences as can be sent."""
    found = [""]
    for markup in MARKUP:
        if len(found[-1]) + len(markup) > length:
            found.append("")
        found[-1] = f"{found[-1]} {markup}".strip()
    return found


async def test_what_others_wrote_is_text(browser, guarded, sketch):
    assert len(MARKUP) == 40
    key = guarded.key(Scope.ADMIN)
    picture = (await guarded.client.get("/v1/styles/winter/image", headers=key)).content
    for n, markup in enumerate(MARKUP):
        fields = {"name": f"{n} {markup}"[:60], "tags": [markup[:40]]}
        sent = await guarded.client.post(
            "/v1/styles", headers=key, data=fields, files={"image": picture}
        )
        assert sent.status_code == 201, sent.text
    sent = await guarded.client.post(
        "/v1/renders", headers=key, data={"prompt": MARKUP[3]}, files={"sketch": sketch}
    )
    render = base64.b64decode(sent.json()["images"][0]["png"])
    async with visiting(browser, guarded.url) as page:
        await page.fill("[name=key]", MARKUP[0])
        await page.click("button.primary")
        await page.wait_for_selector("#why.warning")
        await page.fill("[name=key]", key["X-API-Key"])
        await page.click("button.primary")
        await page.wait_for_selector(f".style:has-text({json.dumps(f'0 {MARKUP[0]}')})")
        await draw_house(page)
        for sentence in sentences():
            await page.fill("#sentence", sentence)
            await page.click("button.primary")
            await expect(page.locator(".compare .over")).to_have_attribute("alt", sentence)
        await page.fill("#sentence", f"{DENIED} {MARKUP[0]}")
        await page.click("button.primary")
        await page.wait_for_selector(".result [role=alert]")
        await page.click(".strip .thumbnail >> nth=1")
        await rendered(page)
        await page.click("text=All renders")
        await page.click("text=What came from what")
        await page.keyboard.press("Escape")
        await page.click("text=What made this")
        await page.keyboard.press("Escape")
        linked = quote(json.dumps({"prompt": MARKUP[1], "style": MARKUP[2]}))
        await page.evaluate(f"location.hash = '{linked}'")
        await page.wait_for_selector("text=The settings of the link are set")
        assert await page.input_value("#sentence") == MARKUP[1]
        for name, content in (("<b onload=alert(1)>.svg", SVG), ("<i>.png", render)):
            file = {"name": name, "mimeType": "image/png", "buffer": content}
            await page.set_input_files(".tools input[type=file]", [file])
            await page.wait_for_selector(".notice")
        await expect(page.locator("#sentence")).to_have_value(MARKUP[3])
        assert await page.evaluate(NODES.format(STRANGE)) == 0
        assert await page.evaluate(NODES.format("script")) == 1
