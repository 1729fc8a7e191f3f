"""Whatever is sent, it is never the server's fault."""

from __future__ import annotations

import asyncio
import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import strategies as st

from gateway.doors.http.openapi import SKETCH
from pipeline.request import FIELDS
from tests.fuzzing import fuzzed
from tests.gateway.doors.http.conftest import serve
from tests.gateway.versioned import versioned

FINE = {200, 400, 404, 409, 413, 415, 422}
PICTURE = base64.b64decode(SKETCH)
NAMES = st.sampled_from([
    *FIELDS, "id", "keep_running", "file", "image", "image[]", "mask", "n", "size", "model",
    "response_format", "stream", "name", "tags", "replace", "unknown", "source", "renders",
    "version", "alias", "force", "expected", "share", "least_renders", "why", "dry_run",
])  # fmt: skip
WORDS = st.sampled_from([
    "", "a house", "1", "0", "-1", "1e400", "nan", "inf", "0.5", "64", "256x256", "true", "winter",
    "ddim", "http://127.0.0.1/a.png", "data:image/png;base64,", SKETCH, "é", "\x00", "9" * 25,
]) | st.text(max_size=8)  # fmt: skip
SCALARS = (
    WORDS
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**400, "\ud800", {}, [[]], {"a": [1]}])
)
PATHS = st.sampled_from([
    "/v1/renders", "/generate", "/v1/images/generations", "/v1/images/edits", "/v1/styles",
    "/v1/versions/unet/promote", "/v1/versions/canary", "/v1/versions/unet/publish",
])  # fmt: skip
CHARSETS = ("utf-8", "idna", "punycode", "utf-7", "unicode_escape", "base64", "undefined", "utf-16")


@pytest.fixture(scope="module")
def send(tmp_path_factory):
    """Sends to a server of this module's own, and looks at the status."""
    runner = asyncio.Runner()
    folder = tmp_path_factory.mktemp("fuzz")
    repository, incoming = versioned(folder / "repository"), folder / "incoming"
    serving = serve(folder, repository=repository, incoming=incoming)
    served = runner.run(serving.__aenter__())

    def request(method, path, **sent):
        response = runner.run(served.client.request(method, path, **sent))
        assert response.status_code in FINE, (path, response.status_code, response.text)

    yield request
    runner.run(serving.__aexit__(None, None, None))
    runner.close()


@fuzzed(70, 700, path=PATHS, fields=st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=3)))
def test_json(send, path, fields):
    of_a_render = {"prompt": "a house", "sketch": SKETCH, "num_inference_steps": 1}
    sound = {} if path.startswith("/v1/versions") else of_a_render
    content = json.dumps({**sound, **fields})
    send("POST", path, content=content, headers={"Content-Type": "application/json"})


@fuzzed(
    70,
    700,
    path=PATHS,
    fields=st.lists(st.tuples(NAMES, WORDS | st.binary(max_size=20)), max_size=6),
    picture=st.sampled_from(["sketch", "file", "image", "image[]"]),
)
def test_forms(send, path, fields, picture):
    files = [(picture, ("a.png", PICTURE)), ("num_inference_steps", (None, "1"))]
    for name, value in fields:
        is_file = isinstance(value, bytes)
        files.append((name, ("x" if is_file else None, value)))
    send("POST", path, files=files)


@fuzzed(
    70,
    700,
    path=PATHS,
    kind=st.sampled_from(["application/json", "multipart/form-data; boundary=x", "text/plain", ""]),
    charset=st.sampled_from(CHARSETS),
    body=st.binary(max_size=200)
    | st.binary(max_size=60).map(
        lambda part: (
            b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
            + part
            + b"\r\n--x--\r\n"
        )
    ),
)
def test_bytes(send, path, kind, charset, body):
    send("POST", path, content=body, headers={"Content-Type": f"{kind}; charset={charset}"})


@fuzzed(
    70, 700,
    path=st.sampled_from([
        "/v1/styles", "/v1/styles/search", "/v1/styles/winter/image", "/v1/renders/x/images/0",
        "/v1/versions", "/v1/versions/history", "/v1/versions/vae_decoder/diff",
    ]),
    query=st.dictionaries(
        st.sampled_from([
            "page_size", "page_token", "q", "limit", "tag", "size", "model", "one", "other",
        ]),
        WORDS,
    ),
    tail=st.text(st.characters(codec="utf-8"), max_size=5),
)  # fmt: skip
def test_queries(send, path, query, tail):
    send("GET", quote(path + "/" * bool(tail) + tail), params=query)
