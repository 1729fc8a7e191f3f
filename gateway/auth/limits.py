"""How much a caller gets: calls and renders a minute, renders a day, renders at once.

Counts are this gateway's own, or shared by several through Redis.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.auth.caller import Caller, Quota
from gateway.auth.concurrency import (
    ConcurrencyLimiter,
    GiveBack,
    MemoryConcurrency,
    RedisConcurrency,
    answering,
)
from pipeline.errors import Overloaded, Unavailable

LEASE_SECONDS = 30.0
"""After which a place is free whose gateway has died."""


class Permit:
    """A caller's place among their renders at once, given back at the end of the block."""

    def __init__(self, give_back: GiveBack | None = None) -> None:
        self._give_back = give_back

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.give_back()

    async def give_back(self) -> None:
        """Give the place back; nothing happens the second time."""
        give_back, self._give_back = self._give_back, None
        if give_back:
            await give_back()


class Limits:
    """Counts what callers do. One without a quota is not counted.

    Args:
        redis_url: ``redis://``, ``rediss://`` or ``unix://``; None: counted in memory.
        lease_seconds: how long a place in Redis stays taken when its gateway has died.

    Raises:
        Unavailable: the URL is none.
    """

    def __init__(self, redis_url: str | None = None, lease_seconds: float = LEASE_SECONDS) -> None:
        self._redis = _connected(redis_url) if redis_url else None
        self._storage: Storage = MemoryStorage()
        self._places: ConcurrencyLimiter = MemoryConcurrency()
        if self._redis:
            pool: dict[str, Any] = {"connection_pool": self._redis.connection_pool}
            self._storage = RedisStorage(
                "redis://", implementation="redispy", key_prefix="maquette:limits", **pool
            )
            self._places = RedisConcurrency(self._redis, lease_seconds)
        self._by_minute = MovingWindowRateLimiter(self._storage)
        self._by_day = FixedWindowRateLimiter(self._storage)

    async def close(self) -> None:
        """Leave Redis."""
        if self._redis:
            await self._redis.aclose()

    async def count_call(self, caller: Caller) -> None:
        """Count a call of `caller`.

        Raises:
            Overloaded: they have made as many within a minute as they may; says when to go on.
            Unavailable: Redis does not answer.
        """
        if caller.quota:
            per_minute = RateLimitItemPerMinute(caller.quota.calls_per_minute, namespace="calls")
            async with answering():
                await self._hit_minute("calls_per_minute", per_minute, caller.id)

    async def begin(self, caller: Caller) -> Permit:
        """Let `caller` begin a render, which holds the permit until it has ended.

        What is refused for one limit is not counted in the others.

        Raises:
            Overloaded: one of the caller's limits is used up; says which, and when to go on.
            Unavailable: Redis does not answer.
        """
        quota = caller.quota
        if quota is None:
            return Permit()
        async with answering():
            give_back = await self._places.take(caller.id, quota.renders_at_once)
            if give_back is None:
                raise Overloaded(
                    f"renders_at_once is {quota.renders_at_once:,} for you, and as many wait or "
                    "run. Try again when one has ended, or cancel one."
                )
            permit = Permit(give_back)
            try:
                await self._count_render(caller.id, quota)
            except BaseException:
                await permit.give_back()
                raise
        return permit

    async def _count_render(self, caller: str, quota: Quota) -> None:
        # The day first: a moving window, as the minute's is, gives nothing back.
        per_day = RateLimitItemPerDay(quota.renders_per_day, namespace="renders")
        per_minute = RateLimitItemPerMinute(quota.renders_per_minute, namespace="renders")
        # The date is part of the key, which makes the fixed window a calendar day.
        now = datetime.now(UTC)
        today = f"{now:%Y-%m-%d}"
        try:
            if not await self._by_day.hit(per_day, caller, today):
                midnight = now.replace(hour=0, minute=0, second=0) + timedelta(days=1)
                raise _used_up("renders_per_day", per_day.amount, (midnight - now).total_seconds())
            await self._hit_minute("renders_per_minute", per_minute, caller)
        except Overloaded:
            await self._storage.incr(per_day.key_for(caller, today), per_day.get_expiry(), -1)
            raise

    async def _hit_minute(self, name: str, limit: RateLimitItem, caller: str) -> None:
        if not await self._by_minute.hit(limit, caller):
            window = await self._by_minute.get_window_stats(limit, caller)
            raise _used_up(name, limit.amount, window.reset_time - time.time())


def _connected(url: str) -> Redis:
    try:
        # Tried again once, for a connection that Redis has closed since; `answering` says how long.
        return Redis.from_url(url, retry=Retry(NoBackoff(), 1))
    except ValueError as error:
        # Without the URL, which may hold a password.
        raise Unavailable(
            "The URL of Redis must look like redis://HOST:6379/0, rediss://… or unix:///PATH."
        ) from error


def _used_up(name: str, amount: int, seconds: float) -> Overloaded:
    wait = max(1, math.ceil(seconds))
    return Overloaded(
        f"{name} is {amount:,} for you, and used up. Try again in {_words(wait)}.", float(wait)
    )


def _words(seconds: int) -> str:
    """`seconds` as a person says them, never too short."""
    if seconds <= 120:
        return f"{seconds} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes <= 120 else f"{minutes // 60} h {minutes % 60} min"
