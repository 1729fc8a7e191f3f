from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import asdict, replace

import pytest

from gateway.auth.caller import ANYBODY
from gateway.doors.grpc import messages
from gateway.doors.http.schemas import InfoBody
from gateway.information import Information
from maquette.client import results
from pipeline.pinned_versions import PinnedVersions
from pipeline.topology import SD15
from retrieval.library import open_library
from retrieval.styles import NewStyle
from tests.gateway.fakes import PACK, Painter
from tests.versions.engines import write_version
from versions.repositories import LocalRepository


async def test_it_tells_the_pack_and_engines_that_serve(tmp_path, monkeypatch):
    """Not those of the last export, where others were promoted since."""
    monkeypatch.setitem(PACK, "engines", {"unet": "a" * 16, "vae_encoder": "b" * 16})
    write_version(tmp_path / "unet/3", "unet", fingerprint="d" * 64, pack="mine")
    painter = Painter()
    information = Information(painter, repository=LocalRepository(tmp_path))
    before = await information.facts()
    painter.served_versions.by_alias = {"champion": PinnedVersions(unet=3)}
    after = await information.facts()
    assert (before.pack, after.pack) == ("painted", "painted (unet of mine)")
    assert before.pack_revision != after.pack_revision
    painter.served_versions.by_alias = {"champion": PinnedVersions()}
    assert await information.facts() == before


async def test_it_names_the_pair_that_embeds_and_finds_styles(tmp_path, style_image):
    painter = Painter()
    async with open_library(tmp_path) as library, painter.served_versions.following(library):
        await library.add(NewStyle(style_image, "winter", []), painter.embed_image)
        assert (await Information(painter).facts()).clip == 1
        async with aclosing(library.reembed(2, painter.embed_image)) as steps:
            assert [step async for step in steps][-1].complete
        await library.use(2)
        facts = await Information(painter).facts()
    assert results.info(messages.info(facts, ANYBODY)).clip == 2
    assert InfoBody.of(facts, ANYBODY).clip == 2


async def test_it_tells_what_the_pack_can_paint(tmp_path):
    painter = Painter()
    exported = tmp_path / "render/1/pack.json"
    exported.parent.mkdir(parents=True)
    smaller = asdict(replace(SD15, layers_per_block=1))
    exported.write_text(json.dumps({"pack": "x", "native_size": 256, "topology": smaller}))
    painter.pack = {}
    unknown = (await Information(painter).facts()).limits
    assert (unknown.max_pixels, unknown.cross_attention_layers) == (0, 0)
    facts = await Information(painter, repository=LocalRepository(tmp_path)).facts()
    assert (facts.limits.native_side, facts.limits.max_pixels) == (256, 512 * 512)
    assert facts.limits.cross_attention_layers == 10
    painter.pack = {**PACK, "native_size": 512}
    facts = await Information(painter, repository=LocalRepository(tmp_path)).facts()
    limits = results.info(messages.info(facts, ANYBODY)).limits
    assert (limits.native_side, limits.max_pixels, limits.side_step) == (512, 1024 * 1024, 64)
    assert limits.cross_attention_layers == 16, "of a pack that does not name its topology"
    assert (limits.max_steps["ddim"], limits.max_steps["lcm"]) == (150, 50)
    assert vars(InfoBody.of(facts, ANYBODY).limits) == vars(limits)


@pytest.mark.parametrize("content", [None, "", "{"])
async def test_an_export_that_cannot_be_read_tells_nothing(tmp_path, content):
    if content is not None:
        (tmp_path / "render/1").mkdir(parents=True)
        (tmp_path / "render/1/pack.json").write_text(content)
    painter = Painter()
    painter.pack = {}
    assert (
        await Information(painter, repository=LocalRepository(tmp_path)).facts()
    ).limits.native_side == 0
