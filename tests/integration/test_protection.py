"""Keys, tokens, limits, moderation and TLS, on a real gateway in front of the real Triton."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import jwt
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from maquette.v1 import maquette_pb2 as pb
from tests.certificates import self_signed
from tests.integration.gateways import add_style, gateway
from tests.integration.stack import MAQUETTE, stub_of, wait_until

SECRET = "a secret of tokens that has well over 32 bytes"
CODE = grpc.StatusCode


def key(folder, name, *options):
    made = subprocess.run(
        [MAQUETTE, "keys", "create", name, "--file", folder / "keys.json", *options],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return made.stdout.strip()


def bearer(credentials):
    return (("authorization", f"Bearer {credentials}"),)


def token(**claims):
    now = int(time.time())
    usual = {"sub": "ann", "exp": now + 60, "aud": "maquette", "scope": "maquette:render"}
    return jwt.encode({**usual, **claims}, SECRET)


def refused(call, request, metadata=()):
    with pytest.raises(grpc.RpcError) as failed:
        call(request, metadata=metadata)
    return failed.value


def retry_seconds(error):
    for detail in rpc_status.from_call(error).details:
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta().total_seconds()
    return None


@pytest.fixture(scope="module")
def guarded(live, tmp_path_factory):
    """A gateway that asks who calls, and its keys."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = {
        "admin": key(folder, "admin", "--scope", "admin"),
        "render": key(folder, "render", "--scope", "render"),
        "styles": key(folder, "styles", "--scope", "styles"),
        "tight": key(folder, "tight", "--scope", "render", "--renders-per-minute", "3"),
    }
    settings = {
        "AUTH": "required", "JWT_SECRET": SECRET, "JWT_AUDIENCE": "maquette",
        "AUDIT": folder / "audit.log",
    }  # fmt: skip
    with gateway(live, folder, **settings) as started, started.channel() as channel:
        add_style(channel, bearer(keys["styles"]))
        yield started, keys, folder


@pytest.fixture
def calls(guarded):
    with guarded[0].channel() as channel:
        yield stub_of(channel)


def test_nobody_unknown_gets_in(guarded, calls, request_for):
    wrong = {
        "nothing": (),
        "another's": bearer("mqt_AAAAAAAA_" + "A" * 43),
        "cut": bearer(guarded[1]["render"][:-1]),
        "no token": bearer("abc"),
        "expired": bearer(token(exp=int(time.time()) - 60)),
        "forged": bearer(jwt.encode({"sub": "ann", "exp": 2**31}, SECRET + "x")),
        "unsigned": bearer(jwt.encode({"sub": "ann", "exp": 2**31}, None, algorithm="none")),
    }
    for name, metadata in wrong.items():
        error = refused(calls.Render, request_for(), metadata)
        assert error.code() is CODE.UNAUTHENTICATED, name
        assert "mqt_AAAA" not in error.details()
    answered = httpx.get(f"http://{guarded[0].http_address}/v1/styles")
    assert answered.status_code == 401
    assert answered.headers["www-authenticate"].startswith("Bearer")


def test_scopes_open_what_they_name(guarded, calls, request_for):
    keys = guarded[1]
    image = pb.AddStyleRequest(image=b"x", name="x")
    error = refused(calls.AddStyle, image, bearer(keys["render"]))
    assert error.code() is CODE.PERMISSION_DENIED
    assert "needs the scope styles" in error.details()
    assert refused(calls.AddStyle, image, bearer(keys["styles"])).code() is CODE.INVALID_ARGUMENT
    error = refused(calls.Render, request_for(), bearer(keys["styles"]))
    assert error.code() is CODE.PERMISSION_DENIED
    assert calls.Render(request_for(), metadata=bearer(keys["admin"])).images
    assert calls.Render(request_for(), metadata=bearer(token())).images
    assert calls.ListStyles(pb.ListStylesRequest(), metadata=bearer(keys["render"])).styles


def test_metrics_are_for_admins(guarded):
    url, keys = f"http://{guarded[0].http_address}/metrics", guarded[1]
    statuses = [
        httpx.get(url, headers=dict(metadata)).status_code
        for metadata in ((), bearer(keys["render"]), bearer(keys["admin"]))
    ]
    assert statuses == [401, 403, 200]


def test_an_expired_and_a_revoked_key_are_told(guarded, calls):
    folder = guarded[2]
    old, gone = key(folder, "old", "--expires", "1d"), key(folder, "gone")
    for made in (old, gone):
        assert made not in (folder / "keys.json").read_text()
        assert calls.ListStyles(pb.ListStylesRequest(), metadata=bearer(made)).styles
    known = json.loads((folder / "keys.json").read_text())
    entry = next(entry for entry in known["keys"] if entry["name"] == "old")
    entry["expires"] = "2026-01-01T00:00:00Z"
    (folder / "aside.json").write_text(json.dumps(known))
    (folder / "aside.json").rename(folder / "keys.json")
    command = [MAQUETTE, "keys", "revoke", gone.split("_")[1], "--file", folder / "keys.json"]
    subprocess.run(command, check=True, capture_output=True)
    error = refused(calls.ListStyles, pb.ListStylesRequest(), bearer(old))
    assert error.code() is CODE.UNAUTHENTICATED
    assert "expired on 2026-01-01" in error.details()
    error = refused(calls.ListStyles, pb.ListStylesRequest(), bearer(gone))
    assert error.code() is CODE.UNAUTHENTICATED


def test_anothers_render_cannot_be_seen(guarded, calls, request_for):
    keys = guarded[1]
    done = calls.Render(request_for(id="private"), metadata=bearer(keys["admin"]))
    assert done.id == "private"
    error = refused(calls.GetRender, pb.GetRenderRequest(id="private"), bearer(token()))
    assert error.code() is CODE.NOT_FOUND
    own = calls.GetRender(pb.GetRenderRequest(id="private"), metadata=bearer(keys["admin"]))
    assert own.result.images[0].png == done.images[0].png


def test_a_hundred_at_once_over_the_limit(live, guarded, request_for):
    metadata = bearer(guarded[1]["tight"])
    before = live.executions("vae_decoder")

    def render(number):
        with guarded[0].channel() as channel:
            try:
                stub_of(channel).Render(
                    request_for(seed=number, num_inference_steps=1), metadata=metadata
                )
            except grpc.RpcError as error:
                return error
        return None

    with ThreadPoolExecutor(100) as pool:
        errors = list(pool.map(render, range(100)))
    codes = Counter(error.code() if error else CODE.OK for error in errors)
    assert codes == {CODE.OK: 3, CODE.RESOURCE_EXHAUSTED: 97}
    assert live.executions("vae_decoder") - before <= 3
    waits = [retry_seconds(error) for error in errors if error]
    assert all(0 < wait <= 60 for wait in waits)


def test_the_audit_log_tells_who_and_what_but_no_secret(guarded, calls, request_for):
    prompt = "a prompt that nobody else should read"
    request = request_for(prompt=prompt, id="audited")
    calls.Render(request, metadata=(*bearer(token()), ("x-request-id", "r-1")))
    log = guarded[2] / "audit.log"
    # The render is answered first and written down then.
    wait_until(lambda: '"audited"' in log.read_text(), seconds=30)
    text = log.read_text()
    line = next(line for line in map(json.loads, text.splitlines()) if "audited" in str(line))
    assert line["caller"] == "token:ann"
    assert line["action"] == "render"
    assert line["ids"] == {"render": "audited", "style": "cyberpunk"}
    assert line["outcome"] == "succeeded"
    assert line["request_id"] == "r-1"
    everything = text + guarded[0].log.read_text()
    assert prompt not in everything
    assert not [made for made in guarded[1].values() if made in everything]


def test_moderation_refuses_before_anything_is_rendered(live, tmp_path, request_for):
    (tmp_path / "words.txt").write_text("forbidden castle\n")
    settings = {"DENIED_WORDS": tmp_path / "words.txt"}
    with gateway(live, tmp_path, **settings) as started, started.channel() as channel:
        add_style(channel)
        before = live.executions()
        error = refused(stub_of(channel).Render, request_for(prompt="a FORBIDDEN-castle at sea"))
        assert error.code() is CODE.FAILED_PRECONDITION
        assert "The prompt was refused" in error.details()
        assert live.executions() == before
        assert stub_of(channel).Render(request_for()).images


def test_a_hook_that_is_not_there_ends_the_start(live, tmp_path):
    with (
        pytest.raises(AssertionError, match="no_such_module"),
        gateway(live, tmp_path, MODERATORS='["no_such_module:make"]'),
    ):
        pass
    assert "Traceback" not in (tmp_path / "gateway.log").read_text()


def test_tls_on_both_doors(live, tmp_path, request_for):
    certificate, private = self_signed(None, "127.0.0.1")
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(private)
    settings = {"TLS_CERTIFICATE": tmp_path / "cert.pem", "TLS_KEY": tmp_path / "key.pem"}
    with gateway(live, tmp_path, certificate, **settings) as started:
        with started.channel(certificate) as channel:
            add_style(channel)
            assert stub_of(channel).Render(request_for()).images
        with started.channel() as plain:
            error = refused(stub_of(plain).ListStyles, pb.ListStylesRequest())
            assert error.code() is CODE.UNAVAILABLE
        context = ssl.create_default_context(cadata=certificate.decode())
        ready = httpx.get(f"https://{started.http_address}/readyz", verify=context)
        assert ready.status_code == 200
        assert "max-age" in ready.headers["strict-transport-security"]


def test_open_to_others_it_asks_who_calls(live, tmp_path):
    with gateway(live, tmp_path, HOST="0.0.0.0") as started, started.channel() as channel:
        error = refused(stub_of(channel).ListStyles, pb.ListStylesRequest())
        assert error.code() is CODE.UNAUTHENTICATED
