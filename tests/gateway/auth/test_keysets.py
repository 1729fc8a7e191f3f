"""Keys that an issuer publishes, over HTTP as it does."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from gateway.auth import keysets
from gateway.auth.caller import Quota
from gateway.auth.keysets import following
from gateway.auth.tokens import Tokens
from pipeline.errors import Unauthenticated, Unavailable

QUOTA = Quota(600, 10, 4, 1000)
CLAIMS = {"sub": "studio", "exp": 4_000_000_000, "aud": "maquette"}
OLD, NEW = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
SECRET = b"a secret that somebody published"


def published(key, identity):
    return {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": identity, "use": "sig"}


def signed(key, identity, algorithm="ES256"):
    return jwt.encode(CLAIMS, key, algorithm, headers={"kid": identity} if identity else None)


class Issuer:
    """A server of key sets."""

    def __init__(self):
        issuer = self
        self.keys, self.status, self.asked = [published(OLD, "old")], 200, 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                self.send_response(issuer.status)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": issuer.keys}).encode())

            def log_message(self, *_arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def issuer(monkeypatch):
    monkeypatch.setattr(keysets, "COOLDOWN_SECONDS", 0.1)
    made = Issuer()
    yield made
    made.stop()


async def until_taken(tokens, token):
    async with asyncio.timeout(30):
        while True:
            try:
                return tokens.caller(token, QUOTA)
            except (Unauthenticated, Unavailable):
                await asyncio.sleep(0.01)


async def test_a_key_that_the_issuer_begins_to_use_is_fetched(issuer):
    async with following(issuer.url) as keys:
        tokens = Tokens(keys, "maquette")
        assert tokens.caller(signed(OLD, "old"), QUOTA).id == "token:studio"
        issuer.keys = [published(NEW, "new")]
        with pytest.raises(Unauthenticated, match="kid is none of its issuer's keys"):
            tokens.caller(signed(NEW, "new"), QUOTA)
        assert await until_taken(tokens, signed(NEW, "new"))
        with pytest.raises(Unauthenticated, match="kid is none"):
            tokens.caller(signed(OLD, "old"), QUOTA)


async def test_a_key_is_not_taken_for_another(issuer):
    issuer.keys.append(published(NEW, "new"))
    async with following(issuer.url) as keys:
        tokens = Tokens(keys, "maquette")
        with pytest.raises(Unauthenticated, match="signature is wrong"):
            tokens.caller(signed(NEW, "old"), QUOTA)
        for token in (signed(OLD, None), "x"):
            with pytest.raises(Unauthenticated):
                tokens.caller(token, QUOTA)


async def test_secrets_and_weak_keys_are_passed_over(issuer, caplog):
    weak = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))
    secret = {"kty": "oct", "k": jwt.utils.base64url_encode(SECRET).decode()}
    issuer.keys += [{**weak, "kid": "weak"}, {**secret, "kid": "oct"}]
    async with following(issuer.url) as keys:
        tokens = Tokens(keys, "maquette")
        assert tokens.caller(signed(OLD, "old"), QUOTA)
        for token in (signed(SECRET, "oct", "HS256"), signed(OLD, "weak")):
            with pytest.raises(Unauthenticated, match="kid is none"):
                tokens.caller(token, QUOTA)
    assert "1024 bits" in caplog.text


async def test_what_was_fetched_is_good_while_the_issuer_is_away(issuer, caplog):
    async with following(issuer.url) as keys:
        tokens = Tokens(keys, "maquette")
        issuer.status = 503
        await keys.refresh()
        assert tokens.caller(signed(OLD, "old"), QUOTA)
    assert "cannot be fetched" in caplog.text


async def test_an_issuer_that_is_away_at_the_start_is_asked_again(issuer):
    issuer.status = 503
    async with following(issuer.url) as keys:
        tokens = Tokens(keys, "maquette")
        with pytest.raises(Unavailable, match="could not fetch"):
            tokens.caller(signed(OLD, "old"), QUOTA)
        issuer.status = 200
        assert await until_taken(tokens, signed(OLD, "old"))


async def test_however_many_keys_are_missed_the_issuer_is_asked_now_and_then(issuer, monkeypatch):
    monkeypatch.setattr(keysets, "COOLDOWN_SECONDS", 60)
    async with following(issuer.url) as keys:
        for number in range(100):
            with pytest.raises(Unauthenticated, match="try again in 60 s"):
                keys.find(f"made up {number}")
            await asyncio.sleep(0)
        assert issuer.asked == 1


async def test_keys_are_not_fetched_where_others_can_put_theirs():
    with pytest.raises(Unavailable, match="must begin with https://"):
        async with following("http://id.example/keys"):
            pass
