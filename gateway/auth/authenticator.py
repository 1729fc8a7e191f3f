"""Who is let in: every call of every door passes here first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.auth.caller import ANYBODY, Caller, Quota, Scope
from gateway.auth.keys import PREFIX, KeyStore
from gateway.auth.limits import Limits
from gateway.auth.tokens import Tokens
from pipeline.errors import Unauthenticated

PROXIES = ("forwarded", "via", "x-real-ip")
NOTHING_SENT = (
    "This gateway asks who calls, and nothing was sent. Send an API key as `x-api-key: KEY` or "
    "`authorization: Bearer KEY`; `maquette keys create NAME` makes one."
)
FORWARDED = (
    "The call was forwarded, as its {} says, and whoever is behind a proxy must say who they are. "
    "Send an API key as `x-api-key: KEY` (`maquette keys create NAME` makes one), and set "
    "MAQUETTE_AUTH=required where a proxy is; or call the gateway itself."
)
UNKNOWN_KEY = (
    "The API key is not known here: it is mistyped, revoked or another gateway's. "
    "`maquette keys create NAME` makes a new one."
)
NO_TOKENS = (
    "What came as `authorization: Bearer` is not an API key (those begin with mqt_), and this "
    "gateway takes no tokens. `maquette keys create NAME` makes a key."
)


@dataclass(frozen=True)
class Credentials:
    """What a caller says of who they are, as sent and unchecked."""

    api_key: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    """An API key, or a token. Not looked at when `api_key` is there."""
    forwarded: str = ""
    """The header that says that somebody handed the call on; empty where none does."""


def forwarded_by(headers: Iterable[str]) -> str:
    """The first of `headers`, by name, that a proxy adds; empty where none does."""
    names = (name.lower() for name in headers)
    return next((name for name in names if name.startswith("x-forwarded") or name in PROXIES), "")


class Authenticator:
    """Lets known callers in, and counts their calls.

    Args:
        limits: where calls are counted.
        quota: how much a caller may have whose key says nothing else.
        keys: the API keys there are.
        tokens: what checks tokens; None: none are taken.
        required: whether callers must say who they are. What they say is checked in any case.
    """

    def __init__(
        self,
        limits: Limits,
        quota: Quota,
        keys: KeyStore,
        tokens: Tokens | None = None,
        *,
        required: bool,
    ) -> None:
        self._limits = limits
        self._quota = quota
        self._keys = keys
        self._tokens = tokens
        self._required = required

    async def admit(self, credentials: Credentials, scope: Scope | None) -> Caller:
        """Whoever `credentials` belong to, once they may make this call.

        Args:
            scope: what the call needs; None: anyone who is known may make it.

        Raises:
            Unauthenticated: nothing was sent where that is asked for, or it proves nothing.
            Forbidden: the caller is known, and may not do this.
            Overloaded: too many calls within a minute.
            Unavailable: the keys or the counts cannot be read.
        """
        return await self.authorize(self.identify(credentials), scope)

    async def authorize(self, caller: Caller, scope: Scope | None) -> Caller:
        """`caller`, who is identified already, once they may make this call.

        Raises:
            Forbidden: they may not do this.
            Overloaded: too many calls within a minute.
            Unavailable: the counts cannot be read.
        """
        await self._limits.count_call(caller)
        if scope:
            caller.require(scope)
        return caller

    def identify(self, credentials: Credentials) -> Caller:
        """Whoever `credentials` belong to, without counting a call.

        Raises:
            Unauthenticated: nothing was sent where that is asked for, or it proves nothing.
            Unavailable: the keys cannot be read.
        """
        bearer = credentials.bearer
        key = credentials.api_key or (bearer if bearer.startswith(PREFIX) else "")
        if key:
            return self._holder(key)
        if bearer:
            return self._bearer(bearer)
        if self._required:
            raise Unauthenticated(NOTHING_SENT)
        # Otherwise a proxy on this machine would open it to everybody.
        if credentials.forwarded:
            raise Unauthenticated(FORWARDED.format(credentials.forwarded))
        return ANYBODY

    def _holder(self, sent: str) -> Caller:
        key = self._keys.find(sent)
        if key is None:
            raise Unauthenticated(UNKNOWN_KEY)
        if key.has_expired:
            raise Unauthenticated(
                f"The API key {key.id} expired on {key.expires:%Y-%m-%d at %H:%M %Z}. "
                "`maquette keys create NAME` makes a new one."
            )
        return Caller(f"key:{key.id}", key.scopes, key.quota(self._quota))

    def _bearer(self, token: str) -> Caller:
        if self._tokens is None:
            raise Unauthenticated(NO_TOKENS)
        return self._tokens.caller(token, self._quota)
