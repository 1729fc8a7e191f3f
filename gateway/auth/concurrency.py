"""How many renders of a caller there are at once, in one gateway or in several."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from pipeline.errors import Unavailable

ANSWER_SECONDS = 2.0
"""How long Redis may take, with everything that is tried again."""

log = logging.getLogger("maquette.gateway")

GiveBack = Callable[[], Awaitable[None]]


class ConcurrencyLimiter(Protocol):
    """Where a caller's renders take their places."""

    async def take(self, caller: str, allowed: int) -> GiveBack | None:
        """Take one of the `allowed` places of `caller`; None when all are taken."""


class MemoryConcurrency:
    """Within this gateway."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    async def take(self, caller: str, allowed: int) -> GiveBack | None:
        if self._taken[caller] >= allowed:
            return None
        self._taken[caller] += 1

        async def give_back() -> None:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]

        return give_back


# Both go by the clock of Redis, so that the gateways' own may differ.
_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
_TAKE = f"""{_NOW}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
# XX: a renewal that arrives after the place was given back must not take it again.
_RENEW = f"""{_NOW}
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


class RedisConcurrency:
    """Shared by several gateways: a sorted set of leases for each caller, by expiry.

    A lease is renewed as long as its place is held, and ends by itself when its gateway has died.
    """

    def __init__(self, redis: Redis, lease_seconds: float) -> None:
        self._redis = redis
        self._lease_seconds = lease_seconds
        self._milliseconds = round(lease_seconds * 1000)
        self._take = redis.register_script(_TAKE)
        self._renew = redis.register_script(_RENEW)

    async def take(self, caller: str, allowed: int) -> GiveBack | None:
        key, lease = f"maquette:running:{caller}", uuid.uuid4().hex
        if not await self._take([key], [lease, self._milliseconds, allowed]):
            return None
        renewing = asyncio.create_task(self._keep(key, lease), name=f"lease {lease}")

        async def give_back() -> None:
            renewing.cancel()
            try:
                async with answering():
                    await self._redis.zrem(key, lease)
            except Unavailable:
                log.warning("a place of %s could not be given back; its lease runs out", caller)

        return give_back

    async def _keep(self, key: str, lease: str) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                async with answering():
                    await self._renew([key], [lease, self._milliseconds])
            except Unavailable:
                # There is another trial before the lease has run out.
                continue


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Ask Redis in this block.

    Raises:
        Unavailable: it does not answer, or not in time.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("Redis does not answer: %s", error or type(error).__name__)
        raise Unavailable(
            "The gateway cannot count calls at the moment, and so takes none. Try again soon."
        ) from error
