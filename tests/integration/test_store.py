"""`maquette up` over a repository in a real object store, which another machine changes."""

from __future__ import annotations

import shutil

import httpx

from drill import candidates
from maquette.client import Client
from tests.exported import EXPORTED
from tests.integration.stack import live_stack, wait_until
from tests.versions import object_store
from versions import aliases, operations
from versions.repositories import ObjectStoreRepository, publish

SECONDS = 90
URL = f"s3://{object_store.BUCKET}/maquette"


def test_a_gateway_follows_the_store_and_outlives_it(tmp_path, sketch, monkeypatch):
    exported = shutil.copytree(
        EXPORTED, tmp_path / "exported", ignore=shutil.ignore_patterns("aliases.json")
    )
    other = candidates.tinted(exported / "unet/1", tmp_path / "other")

    def render(client):
        result = client.render(sketch, "a house", style="cyberpunk", seed=4, num_inference_steps=2)
        return result.versions["unet"]

    with object_store.running(tmp_path / "server") as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        elsewhere = ObjectStoreRepository(URL, tmp_path / "elsewhere")
        elsewhere.fill(exported, "eve")
        stack = live_stack(tmp_path / "state", "--repository", URL)
        with stack as serving, Client(serving.address) as client:
            assert render(client) == 1
            publish(elsewhere, "unet", str(other), who="bob")
            elsewhere.change(
                lambda at: operations.promote(at, "unet", who="bob", force=True, why="a test")
            )
            wait_until(lambda: client.info().served_versions["champion"]["unet"] == 3, SECONDS)
            assert render(client) == 3

            rollback = f"http://{serving.http_address}/v1/versions/unet/rollback"
            answer = httpx.post(rollback, json={"why": "too pale"}, timeout=SECONDS)
            assert answer.status_code == 200, answer.text
            elsewhere.pull()
            assert aliases.read(elsewhere.folder).of("unet").champion == 1
            wait_until(lambda: client.info().served_versions["champion"]["unet"] == 1, SECONDS)

            store.stop()
            wait_until(lambda: URL in client.info().problem, SECONDS)
            assert render(client) == 1
            answer = httpx.post(rollback, json={}, timeout=SECONDS)
            assert (answer.status_code, "cannot be used" in answer.text) == (503, True)
            log = (tmp_path / "state/gateway.log").read_text()
            assert log.count("the repository's copy may be behind") == 1
            assert store.environment["AWS_SECRET_ACCESS_KEY"] not in log
