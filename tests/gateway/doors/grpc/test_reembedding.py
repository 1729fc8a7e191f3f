"""Vectors of another CLIP through the gRPC door, as both clients and the command line see it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import fields

import grpc
from typer.testing import CliRunner

from gateway.auth.caller import Scope
from gateway.auth.keys import KeyStore
from gateway.rollout.administration import PAPER
from maquette.cli.models import app
from maquette.client import AsyncClient, Client, Reembedded
from maquette.v1 import maquette_pb2 as pb
from pipeline.errors import Unavailable
from tests.gateway.doors.grpc.conftest import refused
from tests.gateway.fakes import STYLES
from tests.gateway.waiting import until
from versions import history
from versions.locks import operating

CODE = grpc.StatusCode


async def steps_of(client, clip=None):
    return [step async for step in client.reembed(clip)]


async def test_only_administrators(door):
    _, key = KeyStore(door.settings.keys).create("eve", {Scope.RENDER, Scope.STYLES})
    async with AsyncClient(door.address, key) as client:
        code, sentence = await refused(steps_of(client, 2))
    assert (code, "needs the scope admin" in sentence) == (CODE.PERMISSION_DENIED, True)
    assert await door.stage.parts.service.library.clips() == (1,)


async def test_without_a_repository_the_remedy_is_told(door, client):
    door.stage.parts.administration._at = None
    code, sentence = await refused(steps_of(client))
    assert (code, "MAQUETTE_REPOSITORY" in sentence) == (CODE.FAILED_PRECONDITION, True)


async def test_the_client_that_waits_does_the_same(door):
    def work():
        with Client(door.address, door.key) as client:
            return list(client.reembed(2))

    assert (await asyncio.to_thread(work))[-1].complete


async def test_styles_are_embedded_anew_and_told_one_by_one(door, client):
    steps = await steps_of(client)
    assert steps[0].done == 0
    assert sorted(step.done for step in steps) == [step.done for step in steps]
    assert {step.total for step in steps} == {len(STYLES)}
    assert [step.complete for step in steps] == [*[False] * (len(steps) - 1), True]
    library = door.stage.parts.service.library
    assert await library.clips() == (1, 2)
    await library.use(2)
    (entry,) = history.read(door.repository)
    assert (entry.action, entry.model, entry.to_version) == ("reembed", "clip", 2)
    ids = {"model": "clip", "version": "2", "complete": "true"}
    assert door.audited() == [("reembed", ids, "done")]


async def test_a_style_that_fails_is_told_and_the_others_are_done(door, client, monkeypatch):
    break_one(door, monkeypatch)
    last = (await steps_of(client, 2))[-1]
    assert (last.done, last.complete) == (len(STYLES) - 1, False)
    assert list(last.failed.values()) == ["This one is too dark."]
    assert history.read(door.repository) == []
    assert door.audited()[0][1]["complete"] == "false"


async def test_a_version_that_is_not_loaded_is_told_at_once(door, client, monkeypatch):
    code, sentence = await refused(steps_of(client, 3))
    assert code is CODE.FAILED_PRECONDITION
    assert "clip 3 is not loaded" in sentence

    async def away(_png, clip=1):
        raise Unavailable(f"Triton does not serve clip {clip} at the moment.")

    monkeypatch.setattr(door.stage.painter, "embed_image", away)
    monkeypatch.setattr("maquette.client.failures.TRIES", 1)
    code, _ = await refused(steps_of(client, 2))
    assert code is CODE.UNAVAILABLE
    assert await door.stage.parts.service.library.clips() == (1,)


async def test_who_leaves_ends_it_and_the_next_goes_on(door, client, monkeypatch):
    held = asyncio.Event()
    real = door.stage.painter.embed_image

    async def waiting(png, clip=1):
        await (held.wait() if png != PAPER else asyncio.sleep(0))
        return await real(png, clip)

    monkeypatch.setattr(door.stage.painter, "embed_image", waiting)
    steps = client.reembed(2)
    assert (await anext(steps)).done == 0
    code, sentence = await refused(steps_of(client, 2))
    assert code is CODE.ALREADY_EXISTS
    assert "already" in sentence
    await steps.aclose()
    held.set()
    await until(lambda: not door.stage.parts.service.library._reembedding)
    assert (await steps_of(client, 2))[-1].complete


async def test_the_command_line(door, monkeypatch):
    def run(*words):
        environment = {"MAQUETTE_SERVER": door.address, "MAQUETTE_API_KEY": door.key}
        return asyncio.to_thread(CliRunner().invoke, app, ["reembed", *words], env=environment)

    declined = await run("3")
    assert declined.exit_code == 3
    assert "not loaded" in declined.output
    with operating(door.repository, "eve", "a long publish"):
        busy = await run("2")
    assert busy.exit_code == 4
    assert "eve is at a long publish" in busy.output
    done = await run("2", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"done": 3, "total": 3, "failed": {}, "complete": True}
    await door.stage.parts.service.library.drop(2)
    break_one(door, monkeypatch)
    failed = await run()
    assert failed.exit_code == 1
    assert "2 of 3 styles have their vector" in failed.output
    assert "too dark" in failed.output


def break_one(door, monkeypatch):
    """One style cannot be embedded, as often as it is tried."""
    real = door.stage.painter.embed_image
    seen = []

    async def choosy(png, clip=1):
        if png != PAPER:
            seen.append(png)
        if png in seen[:1]:
            raise Unavailable("This one is too dark.")
        return await real(png, clip)

    monkeypatch.setattr(door.stage.painter, "embed_image", choosy)


def test_the_result_has_the_fields_of_its_message():
    in_proto = {field.name for field in pb.ReembedStylesResponse.DESCRIPTOR.fields}
    assert {field.name for field in fields(Reembedded)} == in_proto
