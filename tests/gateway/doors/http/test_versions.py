"""/v1/versions: versions over HTTP."""

from __future__ import annotations

import json

import pytest
import pytest_asyncio

from gateway.auth.caller import Scope
from pipeline.errors import Unavailable
from tests.gateway.doors.http.conftest import events_of, serve
from tests.gateway.versioned import MODEL, versioned
from tests.versions.engines import describe, write_version
from versions import aliases, canary, fetching, history, sources
from versions.aliases import Aliases
from versions.errors import Declined

ACTIONS = ("publish", "promote", "rollback", "retire")
ROUTES = ("canary", *(f"{MODEL}/{action}" for action in ACTIONS))
LOOKS = ("", "/history", f"/{MODEL}/diff")
FORCED = {"force": True, "why": "a test"}


@pytest_asyncio.fixture(loop_scope="session")
async def ruled(tmp_path):
    """A server that asks who calls, over versions."""
    repository = versioned(tmp_path / "repository")
    audit = tmp_path / "audit.log"
    set_aside = {"incoming": tmp_path / "incoming", "publish_sources": ["models:/unet"]}
    async with serve(
        tmp_path, auth="required", audit=audit, repository=repository, **set_aside
    ) as running:
        running.client.headers.update(running.key(Scope.ADMIN))
        yield running


def of(ruled):
    return aliases.read(ruled.settings.repository).of(MODEL)


async def test_the_life_of_a_version(ruled):
    async def change(path, **body):
        response = await ruled.client.post(f"/v1/versions/{path}", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    tried = {"share": 0.5, "least_renders": 3, "force": True, "why": "a try"}
    would = await change("canary", dry_run=True, **tried)
    assert (would["changed"], would["would_change"]) == (False, True)
    assert (await change("canary", **tried))["changed"]
    listed = (await ruled.client.get("/v1/versions", params={"model": MODEL})).json()
    assert [(each["version"], each["aliases"]) for each in listed["versions"]] == [
        (1, ["champion"]), (2, ["candidate"]), (3, []),
    ]  # fmt: skip
    candidate = listed["versions"][1]
    assert candidate["manifests"][MODEL]["pack"] == "little"
    assert (candidate["problem"], candidate["loaded"]) == ("", False)
    assert len(candidate["sha256"][MODEL]) == 64
    assert (listed["canary"]["share"], listed["canary"]["bounds"]["least_renders"]) == (0.5, 3)
    assert canary.read(ruled.settings.repository).why == "a try"
    counts = ("candidate_renders", "failed_renders", "champion_renders")
    assert [listed["counts"][name] for name in counts] == [0, 0, 0]
    assert (await change(f"{MODEL}/promote", dry_run=True, **FORCED))["would_change"]
    assert of(ruled).champion == 1
    promoted = await change(f"{MODEL}/promote", version=2, expected=1, **FORCED)
    assert (promoted["model"], promoted["version"], promoted["clip"]) == (MODEL, 2, 1)
    assert promoted["served_versions"]["champion"][MODEL] == 2
    assert promoted["said"][-1] == "The canary is over."
    assert (await change(f"{MODEL}/rollback", why="too sharp"))["version"] == 1
    await change(f"{MODEL}/retire", alias="previous")
    await change(f"{MODEL}/retire", version=2)
    assert of(ruled) == Aliases(champion=1)
    assert not (ruled.settings.repository / MODEL / "2").exists()
    done = ["canary", "promote", "rollback", "withdraw", "retire"]
    entries = history.read(ruled.settings.repository)
    assert [entry.action for entry in entries] == done
    assert len({entry.who for entry in entries}) == 1
    lines = map(json.loads, ruled.settings.audit.read_text().splitlines())
    assert [line["action"] for line in lines if "dry_run" not in line["ids"]] == done


async def test_only_administrators(ruled):
    others = ruled.key(Scope.RENDER, Scope.STYLES)
    calls = [*(("GET", look) for look in LOOKS), *(("POST", f"/{route}") for route in ROUTES)]
    for method, path in calls:
        response = await ruled.client.request(
            method, f"/v1/versions{path}", headers=others, content=b"{"
        )
        assert response.status_code == 403, path
        assert "needs the scope admin" in response.json()["detail"]
    assert history.read(ruled.settings.repository) == []


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (f"{MODEL}/promote", {}, 422, "not been at its gate"),
        (f"{MODEL}/promote", {}, 422, "with `force` and `why`"),
        ("clip/promote", FORCED, 422, "no vectors of clip 2"),
        ("canary", {"share": 0.1}, 422, "not been at its gate"),
        ("canary", {"share": 0.1, "force": True}, 400, "why is ''"),
        ("canary", {"share": 1}, 400, "allowed: 0 to less than 1"),
        (f"{MODEL}/promote", {"version": 9, **FORCED}, 404, "no version 9"),
        (f"{MODEL}/promote", {"expected": 7, **FORCED}, 409, "somebody was"),
        (f"{MODEL}/promote", {"force": "perhaps"}, 400, "true or false"),
        (f"{MODEL}/promote", {"nonsense": 1}, 400, "nonsense"),
        ("nonsense/rollback", {}, 400, "model is 'nonsense'"),
        (f"{MODEL}/retire", {}, 400, "a version, or else an alias"),
        (f"{MODEL}/retire", {"version": 1}, 422, "the champion version"),
        (f"{MODEL}/publish", {"source": "new"}, 422, "Start it with MAQUETTE_INCOMING"),
        (f"{MODEL}/publish", {}, 400, "Say where the engine is"),
        (f"{MODEL}/publish", {"source": 3}, 400, "source is 3"),
        (f"{MODEL}/publish", {"source": "gopher://x"}, 400, "gopher://x"),
        ("nonsense/publish", {"source": "new"}, 400, "model is 'nonsense'"),
        (f"{MODEL}/rollback", {}, 422, "no previous"),
        (f"{MODEL}/promote", {"why": "x" * 501}, 400, "at most 500 characters"),
        (f"{MODEL}/publish", {"source": "new", "why": "x" * 501}, 400, "at most 500 characters"),
        ("unet/promote", FORCED, 404, "no candidate"),
        (f"{MODEL}/retire", {"version": 9}, 404, "no version 9"),
        (f"{MODEL}/retire", {"alias": "champion"}, 400, "candidate or previous"),
        ("canary", {"share": 2}, 400, "share is 2"),
        ("canary", {"max_latency_ratio": -1}, 400, "max_latency_ratio is -1"),
    ],
)
async def test_what_may_not_be_is_told(changeless, path, body, status, words):
    response = await changeless.client.post(f"/v1/versions/{path}", json=body)
    assert (response.status_code, words in response.json()["detail"]) == (status, True)
    assert history.read(changeless.settings.repository) == []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def changeless(tmp_path_factory):
    folder = tmp_path_factory.mktemp("changeless")
    async with serve(folder, repository=versioned(folder / "repository")) as running:
        yield running


async def test_without_a_repository_the_remedy_is_told(served):
    for call in (
        *(served.client.get(f"/v1/versions{look}") for look in LOOKS),
        *(served.client.post(f"/v1/versions/{route}", json={}) for route in ROUTES[:-1]),
    ):
        response = await call
        assert response.status_code == 422
        assert "MAQUETTE_REPOSITORY" in response.json()["detail"]


# publishing, step by step


@pytest.fixture
def new(ruled, monkeypatch):
    """An engine to publish; it is tried in no process, and those have tests of their own."""
    monkeypatch.setattr(sources, "try_one", lambda *arguments: None)
    return write_version(ruled.settings.incoming / "new", MODEL, seed=9)


async def told(ruled, path, **body):
    async with ruled.client.stream("POST", f"/v1/versions/{path}", json=body) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        return [(name, json.loads(data)) async for name, data in events_of(response)]


async def test_an_engine_is_published_step_by_step(ruled, new):
    *steps, (last, change) = await told(ruled, f"{MODEL}/publish", source="new", why="sharper")
    assert {name for name, _ in steps} == {"progress"}
    assert "copying model.onnx" in {step["doing"] for _, step in steps}
    assert (last, change["version"], change["changed"]) == ("result", 4, True)
    assert of(ruled).candidate == 4
    line = json.loads(ruled.settings.audit.read_text())
    assert (line["action"], line["ids"]["source"], line["outcome"]) == ("publish", "new", "done")


async def test_what_is_wrong_from_the_first_has_a_status_of_its_own(ruled, new):
    describe(new, "unet")
    response = await ruled.client.post(f"/v1/versions/{MODEL}/publish", json={"source": "new"})
    assert response.status_code == 422
    assert "holds an engine for unet" in response.json()["detail"]


async def test_a_secret_in_a_source_is_written_down_nowhere(ruled):
    body = {"source": "s3://ada:hush@engines/unet"}
    response = await ruled.client.post(f"/v1/versions/{MODEL}/publish", json=body)
    assert (response.status_code, "hush" in response.text) == (400, False)
    audited = ruled.settings.audit.read_text()
    assert "invalid_argument" in audited
    assert "hush" not in audited


async def test_a_first_step_is_told_before_a_registry_is_asked(ruled, monkeypatch):
    def away(source):
        raise Unavailable("MLflow does not answer.")

    monkeypatch.setattr(fetching, "resolved", away)
    (first, step), (last, problem) = await told(
        ruled, f"{MODEL}/publish", source="models:/unet@new"
    )
    assert (first, step["doing"]) == ("progress", "looking for the engine")
    assert (last, problem["status"]) == ("error", 503)
    line = json.loads(ruled.settings.audit.read_text())
    assert (line["ids"]["source"], line["outcome"]) == ("models:/unet@new", "unavailable")


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (Declined("It paints nothing but fog."), 422, "It paints nothing but fog."),
        (ZeroDivisionError("a secret of the inside"), 500, "in a way it does not know"),
    ],
)
async def test_what_goes_wrong_later_is_an_event(error, status, says, ruled, new, monkeypatch):
    def refuse(*arguments):
        raise error

    monkeypatch.setattr(sources, "try_one", refuse)
    *_, (last, problem) = await told(ruled, f"{MODEL}/publish", source="new")
    assert (last, problem["status"]) == ("error", status)
    assert says in problem["detail"]
    assert "secret" not in str(problem)
    assert of(ruled).candidate == 2


async def test_the_history_and_differences_are_told(ruled):
    for body in ({"share": 0.5, "force": True, "why": "one"}, {"share": 0, "why": "two"}):
        await ruled.client.post("/v1/versions/canary", json=body)
    page = (await ruled.client.get("/v1/versions/history", params={"page_size": 1})).json()
    assert [change["why"] for change in page["changes"]] == ["two"]
    query = {"page_token": page["next_page_token"], "model": MODEL}
    page = (await ruled.client.get("/v1/versions/history", params=query)).json()
    assert [change["why"] for change in page["changes"]] == ["one"]
    assert page["next_page_token"] == ""
    compared = (await ruled.client.get(f"/v1/versions/{MODEL}/diff")).json()
    assert (compared["one"], compared["other"]) == (1, 2)
    assert {each["name"] for each in compared["differences"]} == {"files.model.onnx", "sha256"}
    query = {"one": "candidate", "other": "3"}
    compared = (await ruled.client.get(f"/v1/versions/{MODEL}/diff", params=query)).json()
    assert (compared["one"], compared["other"]) == (2, 3)
    for query, status in (({"one": "newest"}, 400), ({"other": "9"}, 404)):
        response = await ruled.client.get(f"/v1/versions/{MODEL}/diff", params=query)
        assert response.status_code == status
