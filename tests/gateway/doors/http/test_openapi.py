"""/openapi.json says what is so: ranges are those that are checked, and every example runs."""

from __future__ import annotations

import base64
from dataclasses import fields

import pytest
import pytest_asyncio

from gateway.doors.http import openapi
from gateway.doors.http.bodies import JSON
from gateway.doors.http.forms import FORM
from gateway.triton.pinned_versions import ServedVersions
from pipeline.request import DEFAULTS, FIELDS, MAX_PROMPT, RANGES, RenderRequest
from tests.gateway.doors.http.conftest import serve
from tests.gateway.versioned import MODEL, versioned
from tests.versions.engines import write_version
from versions import aliases, sources

PICTURE_FIELDS = {"file", "sketch", "image"}
UNDOCUMENTED = {"/v2/wrong", "/broken"}


@pytest_asyncio.fixture(loop_scope="session")
async def document(served):
    response = await served.client.get("/openapi.json")
    return response.json()


def operations(document):
    """(method, path, operation), in the order in which their examples can be run."""
    listed = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path not in UNDOCUMENTED
    ]
    first = [item for item in listed if item[0] == "post" and "{" not in item[1]]
    last = [item for item in listed if item[0] == "delete" or item[1].endswith("cancel")]
    return [*first, *(item for item in listed if item not in first + last), *last]


@pytest.fixture
def described(document):
    """The schema of each field of a render in JSON."""
    content = document["paths"]["/v1/renders"]["post"]["requestBody"]["content"]
    return content[JSON]["schema"]["properties"]


def test_every_field_is_described(described):
    names = {field.name for field in fields(RenderRequest)}
    assert names <= described.keys()
    assert all(schema["description"] for schema in described.values())


def test_ranges_and_defaults_are_those_that_are_checked(described):
    for name, allowed in RANGES.items():
        number = described[name]["anyOf"][0]
        number = number.get("items", number)
        assert (number["minimum"], number["maximum"]) == (allowed.low, allowed.high)
    assert described["guidance_scale"]["default"] == DEFAULTS["guidance_scale"]
    assert described["ip_adapter_scale"]["default"] == list(DEFAULTS["ip_adapter_scale"])
    assert "default" not in described["seed"]
    assert described["prompt"]["maxLength"] == MAX_PROMPT


async def test_what_is_taken_is_what_is_described(document):
    for path, name in (("/v1/renders", "sketch"), ("/generate", "file")):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        for kind in content.values():
            taken = set(kind["schema"]["properties"])
            assert taken == (set(FIELDS) - {"sketch"}) | {name, "id", "keep_running"}


class Following(ServedVersions):
    """Serves what the aliases of a repository name, at once."""

    def __init__(self, repository):
        self._repository = repository
        super().__init__()

    @property
    def by_alias(self):
        return aliases.read(self._repository).served_versions()

    @by_alias.setter
    def by_alias(self, found):
        pass


async def test_every_example_works(tmp_path, document, monkeypatch):
    ran = set()
    # Engines are tried in processes, which have tests of their own.
    monkeypatch.setattr(sources, "try_one", lambda *arguments: None)
    repository = versioned(tmp_path / "repository")
    write_version(tmp_path / "incoming" / "new", MODEL, seed=9)
    async with serve(
        tmp_path, triton_metrics="127.0.0.1:1", repository=repository,
        incoming=tmp_path / "incoming",
    ) as served:  # fmt: skip
        served.painter.served_versions = Following(repository)
        for method, path, operation in operations(document):
            for content in contents(operation):
                response = await run_example(served, method, path, operation, content)
                assert "event: error" not in response.text, response.text
                expected = (503,) if path == "/metrics/triton" else (200, 201)
                assert response.status_code in expected, (method, path, content, response.text)
                assert str(response.status_code) in operation["responses"] or (
                    response.status_code == 503
                )
                ran.add((method, path))
    assert ran == {(method, path) for method, path, _ in operations(document)}


def contents(operation):
    body = operation.get("requestBody")
    return list(body["content"].items()) if body else [None]


async def run_example(served, method, path, operation, content):
    query = {}
    for parameter in operation.get("parameters", []):
        examples = parameter.get("examples") or parameter["schema"].get("examples")
        example = parameter.get("example", examples[0] if examples else None)
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(example))
        elif parameter["in"] == "query" and example is not None:
            query[parameter["name"]] = example
    return await served.client.request(method, path, params=query, **body_of(content))


def body_of(content):
    if content is None:
        return {}
    kind, described = content
    example = dict(described["example"])
    if kind != FORM:
        # Each kind of body begins a render of its own.
        return {"json": {name: value for name, value in example.items() if name != "id"}}
    either = described["schema"].get("anyOf", [{"required": []}])[0]["required"]
    required = PICTURE_FIELDS & {*described["schema"]["required"], *either}
    return {"data": example, "files": {name: base64.b64decode(openapi.SKETCH) for name in required}}


async def test_every_operation_says_what_goes_wrong(document):
    for _, path, operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        assert "422" not in operation["responses"], path
        assert "default" in operation["responses"], path
