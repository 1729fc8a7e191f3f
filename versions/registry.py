"""Versions in an MLflow registry, over MLflow's REST API.

The server is ``MLFLOW_TRACKING_URI``; ``MLFLOW_TRACKING_TOKEN``, or ``MLFLOW_TRACKING_USERNAME``
and ``MLFLOW_TRACKING_PASSWORD``, say who asks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from pipeline.errors import InvalidRequest, NotFound, Unavailable
from versions import downloads, objects
from versions.manifest import Report

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
SCHEMES = ("models:/", "runs:/")
"""What its addresses begin with."""
SECONDS = 30.0
MODEL = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")
RUN = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.+)")
SHOWN = 200
"""Characters of what the server says."""


def resolved(source: str) -> str:
    """`source` with the version that an alias names today in the alias's place.

    Raises:
        InvalidRequest: it is no address of a registry.
        NotFound: there is no such version.
        Unavailable: the registry does not answer.
    """
    model = MODEL.fullmatch(source)
    if model is None:
        _run(source)
        return source
    if model["alias"] is None:
        return source
    with _client() as client:
        asked = {"name": model["name"], "alias": model["alias"]}
        found = _ask(client, f"{API}/registered-models/alias", asked)["model_version"]
    return f"models:/{found['name']}/{found['version']}"


def download(source: str, folder: Path, report: Report) -> None:
    """Write the files of `source` into `folder`.

    Raises:
        InvalidRequest: it is no address of a registry, or a file's name leads out of `folder`.
        NotFound: there is no such version, or it has no files.
        Unavailable: the registry or its store does not answer, or there is no room.
    """
    version = resolved(source)
    with _client() as client:
        place = _place(client, version)
        parts = urlsplit(place)
        if parts.scheme == "mlflow-artifacts" and not parts.netloc:
            _from_server(client, source, parts.path.strip("/"), folder, report)
        elif place.startswith(objects.SCHEME):
            objects.download(place, folder, report)
        else:
            raise Unavailable(
                f"{source} lies at {objects.discreet(place)}, where only MLflow can reach it. "
                "Give the server --artifacts-destination, or s3://, for its files, or copy them to "
                "a folder."
            )


def _place(client: httpx.Client, source: str) -> str:
    """The address of the files of `source`, as the server has it."""
    if model := MODEL.fullmatch(source):
        asked = {"name": model["name"], "version": model["version"]}
        return str(_ask(client, f"{API}/model-versions/get-download-uri", asked)["artifact_uri"])
    run = _run(source)
    info = _ask(client, f"{API}/runs/get", {"run_id": run["run"]})["run"]["info"]
    return f"{info['artifact_uri']}/{run['path']}"


def _run(source: str) -> re.Match[str]:
    found = RUN.fullmatch(source)
    if found is None:
        allowed = "models:/name/3, models:/name@alias or runs:/id/path"
        raise InvalidRequest("source", source, allowed, "MLflow's page of the version has it.")
    return found


def _from_server(
    client: httpx.Client, source: str, root: str, folder: Path, report: Report
) -> None:
    """Have the server itself hand out the files below `root`."""
    sizes = dict(_listed(client, root))
    for name, path in downloads.planned(source, folder, sizes).items():
        done = 0
        with (
            path.open("wb") as file,
            client.stream("GET", f"{ARTIFACTS}/{quote(f'{root}/{name}')}") as reply,
        ):
            _require_success(reply)
            for part in reply.iter_bytes():
                file.write(part)
                done += len(part)
                report(f"fetching {path.name}", done, sizes[name])


def _listed(client: httpx.Client, root: str, below: str = "") -> Iterator[tuple[str, int]]:
    """Names below `root`, and bytes, of all files in its folder `below`."""
    folder = f"{root}/{below}".rstrip("/")
    for found in _ask(client, ARTIFACTS, {"path": folder}).get("files", []):
        name = f"{below}{found['path']}"
        if found["is_dir"]:
            yield from _listed(client, root, f"{name}/")
        else:
            yield name, int(found.get("file_size", 0))


@contextmanager
def _client() -> Iterator[httpx.Client]:
    """Asks the registry; what goes wrong is one sentence."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not address.startswith(("http://", "https://")):
        # The rest may hold a password.
        scheme, separator, _ = address.partition("://")
        raise _no_address(f"begins with {scheme}{separator}" if separator else "is no address")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    auth = (user, password) if user and not token else None
    try:
        with httpx.Client(
            base_url=address, headers=headers, auth=auth, timeout=SECONDS, trust_env=False
        ) as client:
            yield client
    except httpx.InvalidURL as error:
        raise _no_address("is no address") from error
    except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
        raise Unavailable(
            f"The MLflow server at {urlsplit(address).hostname} does not answer as it should "
            f"({type(error).__name__}: {str(error)[:SHOWN]}). See that MLFLOW_TRACKING_URI names "
            "it."
        ) from error


def _no_address(said: str) -> Unavailable:
    return Unavailable(
        f"MLFLOW_TRACKING_URI {said}; let it be the http address of an MLflow server."
    )


def _ask(client: httpx.Client, path: str, asked: dict[str, str]) -> Any:
    reply = client.get(path, params=asked)
    _require_success(reply)
    return reply.json()


def _require_success(reply: httpx.Response) -> None:
    """Raise what the server said where it did not do as asked."""
    if reply.is_success:
        return
    said = " ".join(reply.read().decode(errors="replace").split())[:SHOWN]
    # An alias that nobody has is a wrong parameter to MLflow.
    if reply.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST}:
        raise NotFound(f"MLflow has nothing at that address: {said}")
    raise Unavailable(
        f"MLflow answered {reply.status_code}: {said}. See that MLFLOW_TRACKING_TOKEN, or "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, may read it."
    )
