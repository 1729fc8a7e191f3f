"""The key set that an identity provider publishes (JWKS), fetched anew while the gateway runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import jwt

from gateway.auth.tokens import PublicKey, algorithm_of
from pipeline.addresses import is_loopback
from pipeline.errors import Unauthenticated, Unavailable

REFRESH_SECONDS = 300.0
COOLDOWN_SECONDS = 10.0
"""Between two looks at it, however many tokens name keys that it has not."""
FETCH_SECONDS = 10.0

log = logging.getLogger("maquette.gateway")


class PublishedKeys:
    """The keys at `url`, by their ``kid``.

    Raises:
        Unavailable: anybody on the way could put other keys in their place.
    """

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        if place.scheme != "https" and not is_loopback(place.hostname or ""):
            raise Unavailable(
                "MAQUETTE_JWT_KEYS_URL must begin with https://, or whoever is on the way could "
                "sign tokens."
            )
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=FETCH_SECONDS)
        self._keys: dict[str, PublicKey] = {}
        self._missed = asyncio.Event()
        """A token named a key that is not there."""

    def find(self, identity: object) -> PublicKey:
        """The key that a token's header calls `identity`.

        Raises:
            Unauthenticated: the issuer has none.
            Unavailable: the key set was never fetched.
        """
        if isinstance(identity, str) and identity in self._keys:
            return self._keys[identity]
        self._missed.set()
        if not self._keys:
            raise Unavailable("The gateway could not fetch its issuer's keys; its log says why.")
        raise Unauthenticated(
            "The token's kid is none of its issuer's keys. Get a new token, or try again in "
            f"{COOLDOWN_SECONDS:g} s where its keys have just changed."
        )

    async def refresh(self) -> None:
        """Fetch them once. What was fetched before is good until then."""
        try:
            found = await asyncio.to_thread(self._client.get_signing_keys)
            self._keys = {key.key_id: key.key for key in found if key.key_id and _is_fit(key)}
        except (jwt.PyJWTError, OSError, ValueError) as error:
            log.error("the key set of tokens cannot be fetched: %s", error)

    async def follow(self) -> None:
        """Keep fetching them: every few minutes, and soon after a key was missed."""
        while True:
            await asyncio.sleep(COOLDOWN_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._missed.wait(), REFRESH_SECONDS - COOLDOWN_SECONDS)
            self._missed.clear()
            await self.refresh()


@asynccontextmanager
async def following(url: str) -> AsyncIterator[PublishedKeys]:
    """The keys at `url`, for the block.

    Raises:
        Unavailable: `url` cannot be trusted.
    """
    keys = PublishedKeys(url)
    await keys.refresh()
    task = asyncio.create_task(keys.follow(), name="key set")
    try:
        yield keys
    finally:
        task.cancel()


def _is_fit(key: jwt.PyJWK) -> bool:
    """Whether it is public, and of a kind and size that is taken."""
    if not isinstance(key.key, PublicKey):
        return False
    try:
        algorithm_of(key.key)
    except Unavailable as error:
        log.warning("a key of the key set is passed over: %s", error)
        return False
    return True
