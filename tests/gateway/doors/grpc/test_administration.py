"""Versions through the gRPC door, as both clients and the command line see it."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import fields

import grpc
import pytest
from typer.testing import CliRunner

from gateway.auth.caller import Scope
from gateway.auth.keys import KeyStore
from gateway.rollout.administration import MAX_REASON, PAPER
from gateway.triton.inference import ServedModel
from maquette.cli.models import app
from maquette.client import (
    Change,
    Client,
    Manifest,
    ModelVersion,
    Reembedded,
)
from maquette.v1 import maquette_pb2 as pb
from maquette.v1.maquette_pb2_grpc import MaquetteServiceStub
from pipeline.errors import Unavailable
from tests.gateway.doors.grpc.conftest import refused
from tests.gateway.fakes import STYLES
from tests.gateway.versioned import MODEL
from versions import canary, gates, history
from versions.aliases import Aliases
from versions.locks import operating

CODE = grpc.StatusCode
FORCED = {"force": True, "why": "a test"}


class Held:
    """A change of versions that waits, in its thread and with the lock, to be let go on."""

    def __init__(self, check):
        self.inside = asyncio.Event()
        self.go_on = threading.Event()
        self._check = check
        self._loop = asyncio.get_running_loop()

    def __call__(self, *arguments):
        self._loop.call_soon_threadsafe(self.inside.set)
        assert self.go_on.wait(30)
        return self._check(*arguments)


@pytest.fixture
async def held(door, monkeypatch):
    held = Held(gates.why_not)
    monkeypatch.setattr(gates, "why_not", held)
    yield held
    held.go_on.set()


async def steps_of(client, clip=None):
    return [step async for step in client.reembed(clip)]


# what may be done, and by whom


def test_every_method_about_versions_is_tried_below():
    named = {method.name for method in pb.DESCRIPTOR.services_by_name["MaquetteService"].methods}
    assert {name for name in named if "Version" in name} <= set(CALLS)


CALLS = {
    "DiffVersions": pb.DiffVersionsRequest(model=MODEL),
    "ListVersionChanges": pb.ListVersionChangesRequest(),
    "PublishVersion": pb.PublishVersionRequest(model=MODEL, source="new"),
    "GateVersion": pb.GateVersionRequest(model=MODEL),
    "ListVersions": pb.ListVersionsRequest(),
    "PromoteVersion": pb.PromoteVersionRequest(model=MODEL, **FORCED),
    "RollbackVersion": pb.RollbackVersionRequest(model=MODEL),
    "RetireVersion": pb.RetireVersionRequest(model=MODEL, version=3),
    "SetCanary": pb.SetCanaryRequest(share=0.5),
    "ReembedStyles": pb.ReembedStylesRequest(clip=2),
}


STREAMS = {"ReembedStyles", "PublishVersion", "GateVersion"}


async def test_only_administrators(door):
    _, key = KeyStore(door.settings.keys).create("eve", {Scope.RENDER, Scope.STYLES})
    async with grpc.aio.insecure_channel(door.address) as channel:
        for method, request in CALLS.items():
            send = getattr(MaquetteServiceStub(channel), method)
            call = send(request, metadata=(("x-api-key", key),))
            with pytest.raises(grpc.aio.AioRpcError) as turned_away:
                await (call.read() if method in STREAMS else call)
            assert turned_away.value.code() is CODE.PERMISSION_DENIED, method
            assert "needs the scope admin" in turned_away.value.details()
    assert history.read(door.repository) == []
    assert not (door.repository / canary.FILE).exists()
    assert (door.repository / MODEL / "3").is_dir()
    assert await door.stage.parts.service.library.clips() == (1,)


async def test_without_a_repository_the_remedy_is_told(door, client):
    door.stage.parts.administration._at = None
    for call in (client.versions(), client.promote(MODEL, **FORCED), steps_of(client)):
        code, sentence = await refused(call)
        assert code is CODE.FAILED_PRECONDITION
        assert "MAQUETTE_REPOSITORY" in sentence


# versions


async def test_versions_are_listed(door, client):
    found = {each.version: each for each in await client.versions(MODEL)}
    assert {n: each.aliases for n, each in found.items()} == {
        1: ("champion",), 2: ("candidate",), 3: (),
    }  # fmt: skip
    assert [each.problem for each in found.values()] == ["", "", ""]
    (manifest,) = found[2].manifests
    assert (manifest.network, manifest.pack, manifest.opset) == (MODEL, "little", 20)
    assert manifest.build == {"engine": "onnx", "precision": "fp32"}
    assert len(manifest.sha256) == 64
    assert {each.model for each in await client.versions()} > {MODEL, "unet", "clip"}
    code, sentence = await refused(client.versions("nonsense"))
    assert code is CODE.INVALID_ARGUMENT
    assert "unet" in sentence


async def test_loaded_is_what_triton_says(door, client, monkeypatch):
    ready = [(MODEL, "1"), ("clip_text", "1"), ("clip_image", "1"), ("clip_text", "2")]
    models = [ServedModel(*each, ready=True) for each in ready]

    async def told():
        return "2.51.0", (*models, ServedModel(MODEL, "2", ready=False))

    monkeypatch.setattr(door.stage.painter, "served", told)
    loaded = {(each.model, each.version) for each in await client.versions() if each.loaded}
    assert loaded == {(MODEL, 1), ("clip", 1)}


async def test_promoted_and_rolled_back(door, client):
    change = await client.promote(MODEL, **FORCED)
    assert (change.changed, change.model, change.version) == (True, MODEL, 2)
    assert change.champion[MODEL] == 2
    assert change.said == (f"{MODEL} 2 is the champion, and 1 the previous one.",)
    assert door.of() == Aliases(champion=2, previous=1)
    assert (await client.rollback(MODEL, why="too sharp")).version == 1
    assert door.of() == Aliases(champion=1, previous=2)
    entries = history.read(door.repository)
    assert [(each.action, each.who, each.why) for each in entries] == [
        ("promote", door.who, "a test"),
        ("rollback", door.who, "too sharp"),
    ]
    ids = {"model": MODEL, "version": "2"}
    assert door.audited() == [
        ("promote", ids, "done"),
        ("rollback", {**ids, "version": "1"}, "done"),
    ]


async def test_the_client_that_waits_does_the_same(door):
    def work():
        with Client(door.address, door.key) as client:
            would = client.promote(MODEL, 2, dry_run=True, **FORCED)
            assert (would.changed, would.would_change) == (False, True)
            assert door.of().champion == 1
            assert client.promote(MODEL, 2, expected_champion=1, **FORCED).version == 2
            assert client.rollback(MODEL).version == 1
            assert client.retire(MODEL, "previous").changed
            assert client.retire(MODEL, 2).changed
            assert [each.version for each in client.versions(MODEL)] == [1, 3]
            steps = list(client.reembed(2))
            assert steps[-1].complete

    await asyncio.to_thread(work)
    assert [ids.get("dry_run") for _, ids, _ in door.audited()] == ["true", *[None] * 5]


async def test_what_may_not_be_is_told_in_the_right_code(door, client):
    for call, code, words in (
        (client.promote(MODEL), CODE.FAILED_PRECONDITION, "not been at its gate"),
        (client.set_canary(0.1), CODE.FAILED_PRECONDITION, "not been at its gate"),
        (client.set_canary(1.0), CODE.INVALID_ARGUMENT, "0 to less than 1"),
        (client.promote("clip", **FORCED), CODE.FAILED_PRECONDITION, "no vectors of clip 2"),
        (client.promote(MODEL, force=True), CODE.INVALID_ARGUMENT, "why"),
        (client.promote(MODEL, 9, **FORCED), CODE.NOT_FOUND, "no version 9"),
        (client.promote("unet", **FORCED), CODE.NOT_FOUND, "no candidate"),
        (client.promote(MODEL, expected_champion=7, **FORCED), CODE.ABORTED, "somebody was"),
        (client.promote(MODEL, why="x" * (MAX_REASON + 1)), CODE.INVALID_ARGUMENT, "at most"),
        (client.rollback(MODEL), CODE.FAILED_PRECONDITION, "no previous"),
        (client.retire(MODEL, 1), CODE.FAILED_PRECONDITION, "the champion version"),
        (client.retire(MODEL, 9), CODE.NOT_FOUND, "no version 9"),
        (client.retire(MODEL, "champion"), CODE.INVALID_ARGUMENT, "candidate or previous"),
    ):
        found, sentence = await refused(call)
        assert (found, words in sentence) == (code, True), sentence
    assert history.read(door.repository) == []
    assert door.audited()[0] == ("promote", {"model": MODEL}, "failed_precondition")
    assert len(door.audited()) == 12


async def test_of_two_at_once_one_wins_and_the_other_is_told(door, client, held):
    first = asyncio.create_task(client.promote(MODEL, 2, **FORCED))
    await held.inside.wait()
    code, sentence = await refused(client.promote(MODEL, 3, **FORCED))
    assert code is CODE.ABORTED
    assert f"is at promote of {MODEL}" in sentence
    held.go_on.set()
    assert (await first).version == 2
    assert door.of().champion == 2
    assert [outcome for *_, outcome in door.audited()] == ["aborted", "done"]


async def test_a_change_is_done_and_noted_when_its_caller_leaves(door, client, held):
    call = asyncio.create_task(client.promote(MODEL, 2, **FORCED))
    await held.inside.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (task,) = door.stage.parts.administration._changing
    held.go_on.set()
    assert (await task).version == 2
    assert door.audited() == [("promote", {"model": MODEL, "version": "2"}, "done")]


async def test_the_canary_is_set(door):
    async with grpc.aio.insecure_channel(door.address) as channel:
        stub, metadata = MaquetteServiceStub(channel), (("x-api-key", door.key),)
        bounds = pb.CanaryBounds(max_error_share=0)
        request = pb.SetCanaryRequest(share=0.25, bounds=bounds, force=True, why="a try")
        answer = await stub.SetCanary(request, metadata=metadata)
        assert "25%" in answer.change.said[0]
        listed = await stub.ListVersions(pb.ListVersionsRequest(), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as wrong:
            await stub.SetCanary(pb.SetCanaryRequest(share=2), metadata=metadata)
    assert wrong.value.code() is CODE.INVALID_ARGUMENT
    assert (listed.canary.share, listed.canary.who) == (0.25, door.who)
    assert listed.canary.bounds.max_error_share == 0
    found = canary.read(door.repository)
    assert (found.bounds.max_error_share, found.bounds.least_renders) == (0, 20)
    assert door.audited()[0] == ("canary", {"share": "0.25", "shadow": "0"}, "done")


# re-embedding


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
    while door.stage.parts.service.library._reembedding:  # noqa: ASYNC110 - it knows no event
        await asyncio.sleep(0.005)
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


def test_the_results_have_the_fields_of_their_messages():
    for ours, theirs in (
        (Change, pb.VersionChange),
        (Manifest, pb.Manifest),
        (ModelVersion, pb.ModelVersion),
        (Reembedded, pb.ReembedStylesResponse),
    ):
        in_proto = {field.name for field in theirs.DESCRIPTOR.fields}
        assert {field.name for field in fields(ours)} == in_proto
