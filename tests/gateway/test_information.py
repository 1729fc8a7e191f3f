from __future__ import annotations

from contextlib import aclosing

from gateway import messages
from gateway.information import Information
from gateway.protection.caller import ANYBODY
from gateway.web.bodies import InfoBody
from maquette.client import results
from pipeline.lineup import LineUp
from retrieval.library import open_library
from tests.gateway.fakes import PACK, Painter
from tests.versions.engines import write_version
from versions.repositories import Plain


async def test_it_tells_the_pack_and_engines_that_serve(tmp_path, monkeypatch):
    """Not those of the last export, where others were promoted since."""
    monkeypatch.setitem(PACK, "engines", {"unet": "a" * 16, "vae_encoder": "b" * 16})
    write_version(tmp_path / "unet/3", "unet", fingerprint="d" * 64, pack="mine")
    painter = Painter()
    information = Information(painter, repository=Plain(tmp_path))
    before = await information.facts()
    painter.line_ups.by_alias = {"champion": LineUp(unet=3)}
    after = await information.facts()
    assert (before.pack, after.pack) == ("painted", "painted (unet of mine)")
    assert before.pack_revision != after.pack_revision
    painter.line_ups.by_alias = {"champion": LineUp()}
    assert await information.facts() == before


async def test_it_names_the_pair_that_embeds_and_finds_styles(tmp_path, style_image):
    painter = Painter()
    async with open_library(tmp_path) as library, painter.line_ups.following(library):
        await library.add(style_image, "winter", [], painter.embed_image)
        assert (await Information(painter).facts()).clip == 1
        async with aclosing(library.reembed(2, painter.embed_image)) as steps:
            assert [step async for step in steps][-1].complete
        await library.use(2)
        facts = await Information(painter).facts()
    assert results.info(messages.info(facts, ANYBODY)).clip == 2
    assert InfoBody.of(facts, ANYBODY).clip == 2
