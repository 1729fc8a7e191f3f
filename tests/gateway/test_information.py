from __future__ import annotations

from contextlib import aclosing

from gateway import messages
from gateway.information import Information
from gateway.protection.caller import ANYBODY
from gateway.web.bodies import InfoBody
from maquette.client import results
from retrieval.library import open_library
from tests.gateway.fakes import Painter


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
