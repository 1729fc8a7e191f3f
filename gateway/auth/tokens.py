"""JSON Web Tokens that somebody else issues."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.exceptions import InvalidSubjectError

from gateway.auth.caller import Caller, Quota, Scope
from pipeline.errors import Unauthenticated, Unavailable

MIN_SECRET_BYTES = 32
"""As many as HS256 puts out (RFC 7518, 3.2)."""
MIN_RSA_BITS = 2048
MAX_SUBJECT = 128
PREFIX = "maquette:"
LEEWAY_SECONDS = 10
"""How far the issuer's clock may be off."""

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

BAD_SUBJECT = f"The token's sub must be 1 to {MAX_SUBJECT} printable characters."
WRONG: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "The token has expired. Get a new one.",
    jwt.ImmatureSignatureError: "The token is not valid yet. Wait, or set its issuer's clock.",
    jwt.InvalidSignatureError: "The token's signature is wrong: another key than ours made it.",
    InvalidSubjectError: BAD_SUBJECT,
    jwt.InvalidIssuerError: "The token's iss is not the issuer that this gateway trusts.",
    jwt.InvalidAudienceError: "The token's aud is not this gateway. Ask for a token made for it.",
}
UNREADABLE = "The token cannot be read as a JSON Web Token. Send it whole, or get a new one."


class KeySet(Protocol):
    """The public keys of an issuer, which change."""

    def find(self, identity: object) -> PublicKey:
        """The key that a token's header calls `identity` (``kid``).

        Raises:
            Unauthenticated: the issuer has none.
            Unavailable: nobody knows yet.
        """


Key = bytes | PublicKey | KeySet


class Tokens:
    """Checks tokens against a key, whose kind decides which algorithm they must be signed with.

    Args:
        key: a secret of at least 32 bytes (HS256), a public key (RS256, ES256, EdDSA), or many.
        audience: the ``aud`` that tokens must have, so that those of other applications of the
            same issuer do not count.
        issuer: the ``iss`` that tokens must have; None: any.
        prefix: of the scopes that are ours: ``maquette:admin``.

    Raises:
        Unavailable: no token could be trusted with this key.
    """

    def __init__(
        self, key: Key, audience: str, issuer: str | None = None, prefix: str = PREFIX
    ) -> None:
        self._key = key
        if isinstance(key, bytes | PublicKey):
            algorithm_of(key)
        self._audience = audience
        self._issuer = issuer
        self._prefix = prefix

    def caller(self, token: str, quota: Quota) -> Caller:
        """Whoever `token` belongs to; an admin has no limits, everybody else has `quota`.

        Raises:
            Unauthenticated: the token proves nothing; says why, and nothing of its content.
        """
        # Never what the token's header says: a public key is no secret, and would sign HS256.
        algorithm = ""
        try:
            key = self._key_of(token)
            algorithm = algorithm_of(key)
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, OverflowError) as error:
            raise Unauthenticated(_told(error, algorithm)) from error
        scopes = _scopes(claims, self._prefix)
        limits = None if Scope.ADMIN in scopes else quota
        return Caller(f"token:{_subject(claims)}", scopes, limits)

    def _key_of(self, token: str) -> bytes | PublicKey:
        if isinstance(self._key, bytes | PublicKey):
            return self._key
        return self._key.find(jwt.get_unverified_header(token).get("kid"))


def _told(error: Exception, algorithm: str) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"The token has no {error.claim}. Ask for one that has."
    if isinstance(error, jwt.InvalidAlgorithmError):
        return f"The token is not signed with {algorithm}, the one algorithm taken for its key."
    return next((words for kind, words in WRONG.items() if isinstance(error, kind)), UNREADABLE)


def read_public_key(path: Path) -> PublicKey:
    """The public key in the PEM file `path`.

    Raises:
        Unavailable: it cannot be read, or is not a public key of a kind that is taken.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise Unavailable(
            f"The tokens' public key {path} cannot be read as a PEM file that begins with "
            f"BEGIN PUBLIC KEY: {error}."
        ) from error
    if not isinstance(key, PublicKey):
        _refuse_key(f"{path} is of another kind")
    return key


def algorithm_of(key: bytes | PublicKey) -> str:
    """The one algorithm that tokens of `key` are signed with.

    Raises:
        Unavailable: no token could be trusted with it.
    """
    if isinstance(key, bytes):
        if len(key) < MIN_SECRET_BYTES:
            raise Unavailable(
                f"The secret of the tokens has {len(key)} bytes; allowed: at least "
                f"{MIN_SECRET_BYTES}. Make one with `openssl rand -base64 32`."
            )
        return "HS256"
    if isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            _refuse_key(f"this RSA key has {key.key_size} bits")
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey):
        if not isinstance(key.curve, SECP256R1):
            _refuse_key(f"this one is on {key.curve.name}")
        return "ES256"
    return "EdDSA"


def _refuse_key(found: str) -> NoReturn:
    raise Unavailable(
        f"Tokens are checked with an RSA key of at least {MIN_RSA_BITS} bits, an EC key on P-256 "
        f"or an Ed25519 key; {found}."
    )


def _subject(claims: Mapping[str, Any]) -> str:
    # It goes into logs and counters, so a caller's name has a bound.
    subject: str = claims["sub"]
    if not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise Unauthenticated(BAD_SUBJECT)
    return subject


def _scopes(claims: Mapping[str, Any], prefix: str) -> frozenset[Scope]:
    """Those of the token's scopes that are ours; an issuer may put others beside them."""
    given = claims.get("scope", claims.get("scopes", ()))
    words = given.split() if isinstance(given, str) else given
    if not isinstance(words, list | tuple):
        raise Unauthenticated("The token's scope must be words with spaces between, or a list.")
    return frozenset(scope for scope in Scope if f"{prefix}{scope}" in words)
