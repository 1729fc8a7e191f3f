"""Which tokens are believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gateway.auth.caller import Quota, Scope
from gateway.auth.tokens import MIN_SECRET_BYTES, Tokens, read_public_key
from gateway.settings import read
from pipeline.errors import Unauthenticated, Unavailable

QUOTA = Quota(600, 10, 4, 1000)
SECRET = b"a secret of thirty-two bytes or more"
CLAIMS = {"sub": "studio", "exp": 4_000_000_000, "aud": "maquette", "scope": "maquette:render"}
KINDS = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@pytest.fixture(scope="module", params=KINDS)
def pair(request):
    """An algorithm, its private key and the PEM of the public one."""
    private = KINDS[request.param]()
    return request.param, private, pem_of(private.public_key())


@pytest.fixture
def tokens():
    return Tokens(SECRET, "maquette")


@pytest.fixture
def public(pair, tmp_path):
    (tmp_path / "public.pem").write_bytes(pair[2])
    return Tokens(read_public_key(tmp_path / "public.pem"), "maquette")


def pem_of(public_key):
    return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed(key=SECRET, algorithm="HS256", **claims):
    wanted = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(wanted, key, algorithm)


def forged(secret, **header):
    """A token signed with HMAC by hand: PyJWT refuses to use a public key as a secret."""
    parts = [
        json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"} | header, CLAIMS)
    ]
    message = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.new(secret, message, hashlib.sha256).digest() if secret else b""
    return (message + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def refusal(tokens, token):
    with pytest.raises(Unauthenticated) as error:
        tokens.caller(token, QUOTA)
    return str(error.value)


def test_a_token_says_who_calls_and_what_they_may(tokens):
    caller = tokens.caller(signed(scope="openid maquette:styles maquette:render"), QUOTA)
    assert caller.id == "token:studio"
    assert caller.scopes == {Scope.RENDER, Scope.STYLES}
    assert caller.quota == QUOTA


def test_scopes_may_be_a_list_or_missing(tokens):
    listed = tokens.caller(signed(scope=None, scopes=["maquette:admin", 5]), QUOTA)
    assert (listed.scopes, listed.quota) == ({Scope.ADMIN}, None)
    assert tokens.caller(signed(scope=None), QUOTA).scopes == frozenset()
    assert "scope must be words" in refusal(tokens, signed(scope=5))


def test_a_scope_is_a_whole_word(tokens):
    assert (
        tokens.caller(
            signed(scope="admin render maquette:administrator maquette:render2"), QUOTA
        ).scopes
        == frozenset()
    )


def test_public_keys_are_taken(public, pair):
    algorithm, private, _ = pair
    assert public.caller(signed(private, algorithm), QUOTA).id == "token:studio"


def test_a_public_key_is_no_secret(public, pair):
    """The attack on libraries that let the token choose: sign HS256 with the public key."""
    algorithm, _, pem = pair
    for secret in (pem, pem.strip(), pem.rstrip(b"\n")):
        assert f"is not signed with {algorithm}" in refusal(public, forged(secret))


def test_another_key_of_the_same_kind_is_refused(public, pair):
    algorithm = pair[0]
    assert "signature is wrong" in refusal(public, signed(KINDS[algorithm](), algorithm))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, ["HS256"], {}, 5])
def test_unsigned_tokens_are_refused(tokens, public, algorithm):
    for one in (tokens, public):
        assert "is not signed with" in refusal(one, forged(b"", alg=algorithm))


def test_a_longer_hash_is_another_algorithm(tokens):
    assert "is not signed with HS256" in refusal(tokens, signed(SECRET * 2, "HS512"))


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": 1_000_000_000}, "The token has expired"),
        ({"exp": None}, "The token has no exp"),
        ({"exp": "soon"}, "cannot be read as a JSON Web Token"),
        ({"sub": None}, "The token has no sub"),
        ({"nbf": 3_900_000_000}, "The token is not valid yet"),
        ({"iat": 3_900_000_000}, "The token is not valid yet"),
        ({"sub": ""}, "sub must be 1 to 128 printable characters"),
        ({"sub": "a\nb"}, "sub must be 1 to 128 printable characters"),
        ({"sub": "x" * 129}, "sub must be 1 to 128 printable characters"),
    ],
)
def test_what_is_wrong_is_told_without_the_tokens_content(tokens, claims, words):
    token = signed(**{"sub": "studio-geheim"} | claims)
    told = refusal(tokens, token)
    assert words in told
    assert "geheim" not in told
    assert token not in told


def test_clocks_may_be_some_seconds_off(tokens):
    now = time.time()
    assert tokens.caller(signed(exp=int(now) - 2, nbf=int(now) + 5), QUOTA)
    assert "expired" in refusal(tokens, signed(exp=int(now) - 60))


def test_a_changed_token_is_refused(tokens):
    head, _, signature = signed().split(".")
    body = base64.urlsafe_b64encode(json.dumps(CLAIMS | {"scope": "admin"}).encode()).decode()
    assert "signature is wrong" in refusal(tokens, f"{head}.{body.rstrip('=')}.{signature}")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b",
        "a.b.c",
        "é.é.é",
        "\ud800.a.b",
        "x" * 9000,
        "." * 9000,
        "W1tb" * 2000 + ".a.b",
    ],
)
def test_what_is_no_token_is_refused(tokens, token):
    assert "cannot be read as a JSON Web Token" in refusal(tokens, token)


def test_the_audience_is_checked_and_the_issuer_when_it_is_set(tokens):
    strict = Tokens(SECRET, "maquette", issuer="https://id.example")
    right = {"iss": "https://id.example", "aud": "maquette"}
    assert strict.caller(signed(**right), QUOTA)
    assert strict.caller(signed(**right | {"aud": ["other", "maquette"]}), QUOTA)
    assert "iss is not the issuer" in refusal(strict, signed(**right | {"iss": "https://evil"}))
    assert "has no iss" in refusal(strict, signed(**right | {"iss": None}))
    assert "aud is not this gateway" in refusal(strict, signed(**right | {"aud": "other"}))
    assert "has no aud" in refusal(strict, signed(**right | {"aud": None}))
    assert tokens.caller(signed(iss="anybody"), QUOTA)
    assert "aud is not this gateway" in refusal(tokens, signed(aud="another application"))


def test_the_prefix_of_scopes_is_a_setting():
    other = Tokens(SECRET, "maquette", prefix="studio/")
    assert other.caller(signed(scope="studio/admin maquette:render"), QUOTA).scopes == {Scope.ADMIN}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"jwt_secret": "x" * 32}, "tokens need MAQUETTE_JWT_AUDIENCE"),
        ({"jwt_keys_url": "https://id.example/keys"}, "tokens need MAQUETTE_JWT_AUDIENCE"),
        ({"jwt_secret": "x" * 32, "jwt_public_key": "a.pem", "jwt_audience": "a"}, "have one of"),
    ],
)
def test_settings_that_would_trust_too_much_end_the_start(changed, words):
    with pytest.raises(Unavailable, match=words):
        read(**changed)


def test_a_short_secret_is_refused_at_start():
    with pytest.raises(Unavailable, match="has 31 bytes; allowed: at least 32.*openssl rand"):
        Tokens(b"x" * (MIN_SECRET_BYTES - 1), "maquette")


@pytest.mark.parametrize(
    ("private", "words"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), "this RSA key has 1024 bits"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "this one is on secp384r1"),
        (lambda: dsa.generate_private_key(1024), "public.pem is of another kind"),
    ],
)
def test_keys_that_are_too_weak_or_of_another_kind_are_refused(tmp_path, private, words):
    (tmp_path / "public.pem").write_bytes(pem_of(private().public_key()))
    with pytest.raises(Unavailable, match=words):
        Tokens(read_public_key(tmp_path / "public.pem"), "maquette")


def test_a_private_key_or_none_is_refused(tmp_path):
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "private.pem").write_bytes(pem)
    for name in ("private.pem", "missing.pem"):
        with pytest.raises(Unavailable, match="BEGIN PUBLIC KEY"):
            read_public_key(tmp_path / name)
