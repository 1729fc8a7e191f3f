"""/v1/versions: versions over HTTP."""

from __future__ import annotations

import json

import pytest
import pytest_asyncio

from gateway.protection.caller import Scope
from tests.gateway.versioned import MODEL, versioned
from tests.gateway.web.conftest import serve
from versions import aliases, canary, history
from versions.aliases import Aliases

ROUTES = ("canary", *(f"{MODEL}/{action}" for action in ("promote", "rollback", "retire")))
FORCED = {"force": True, "why": "a test"}


@pytest_asyncio.fixture(loop_scope="session")
async def ruled(tmp_path):
    """A server that asks who calls, over versions."""
    repository = versioned(tmp_path / "repository")
    audit = tmp_path / "audit.log"
    async with serve(tmp_path, auth="required", audit=audit, repository=repository) as running:
        running.client.headers.update(running.key(Scope.ADMIN))
        yield running


def of(ruled):
    return aliases.read(ruled.settings.repository).of(MODEL)


async def test_the_life_of_a_version(ruled):
    async def change(path, **body):
        response = await ruled.client.post(f"/v1/versions/{path}", json=body)
        assert response.status_code == 200, response.text
        return response.json()

    await change("canary", share=0.5, least_renders=3, why="a try")
    listed = (await ruled.client.get("/v1/versions", params={"model": MODEL})).json()
    assert [(each["version"], each["aliases"]) for each in listed["versions"]] == [
        (1, ["champion"]), (2, ["candidate"]), (3, []),
    ]  # fmt: skip
    assert listed["versions"][1]["manifests"][0]["pack"] == "little"
    assert (listed["canary"]["share"], listed["canary"]["bounds"]["least_renders"]) == (0.5, 3)
    assert canary.read(ruled.settings.repository).why == "a try"
    assert (await change(f"{MODEL}/promote", dry_run=True, **FORCED))["changed"]
    assert of(ruled).champion == 1
    promoted = await change(f"{MODEL}/promote", version=2, expected=1, **FORCED)
    assert (promoted["model"], promoted["version"], promoted["champion"][MODEL]) == (MODEL, 2, 2)
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
    calls = [("GET", ""), *(("POST", f"/{route}") for route in ROUTES)]
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
        (f"{MODEL}/promote", {"version": 9, **FORCED}, 404, "no version 9"),
        (f"{MODEL}/promote", {"expected": 7, **FORCED}, 409, "somebody was"),
        (f"{MODEL}/promote", {"force": "perhaps"}, 400, "true or false"),
        (f"{MODEL}/promote", {"nonsense": 1}, 400, "nonsense"),
        ("nonsense/rollback", {}, 400, "model is 'nonsense'"),
        (f"{MODEL}/retire", {}, 400, "a version, or else an alias"),
        (f"{MODEL}/retire", {"version": 1}, 422, "the champion version"),
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
        served.client.get("/v1/versions"),
        *(served.client.post(f"/v1/versions/{route}", json={}) for route in ROUTES[:-1]),
    ):
        response = await call
        assert response.status_code == 422
        assert "MAQUETTE_REPOSITORY" in response.json()["detail"]
