"""Who is let in."""

from __future__ import annotations

from datetime import timedelta

import jwt
import pytest

from gateway.auth.authenticator import Authenticator, Credentials, forwarded_by
from gateway.auth.caller import ANYBODY, Quota, Scope
from gateway.auth.keys import KeyStore
from gateway.auth.limits import Limits
from gateway.auth.tokens import Tokens
from pipeline.errors import Forbidden, Overloaded, Unauthenticated

QUOTA = Quota(3, 10, 4, 1000)
SECRET = b"a secret of thirty-two bytes or more"


@pytest.fixture
def store(tmp_path):
    return KeyStore(tmp_path / "keys.json")


@pytest.fixture
def strict(store):
    return Authenticator(Limits(), QUOTA, store, Tokens(SECRET, "maquette"), required=True)


@pytest.fixture
def easy(store):
    return Authenticator(Limits(), QUOTA, store, required=False)


def token(**claims):
    return jwt.encode(
        {"sub": "studio", "exp": 4_000_000_000, "aud": "maquette"} | claims, SECRET, "HS256"
    )


async def refusal(authenticator, **credentials):
    with pytest.raises(Unauthenticated) as error:
        await authenticator.admit(Credentials(**credentials), None)
    return str(error.value)


@pytest.mark.parametrize("header", ["api_key", "bearer"])
async def test_a_key_lets_its_holder_in_by_either_header(strict, store, header):
    key, secret = store.create("studio", [Scope.RENDER], limits={"renders_per_day": 5})
    caller = await strict.admit(Credentials(**{header: secret}), Scope.RENDER)
    assert caller.id == f"key:{key.id}"
    assert caller.scopes == {Scope.RENDER}
    assert caller.quota == Quota(3, 10, 4, 5)


async def test_a_token_lets_its_holder_in(strict):
    caller = await strict.admit(Credentials(bearer=token(scope="maquette:render")), Scope.RENDER)
    assert (caller.id, caller.quota) == ("token:studio", QUOTA)


async def test_nobody_comes_in_without_saying_who_they_are(strict):
    told = await refusal(strict)
    assert "`x-api-key: KEY`" in told
    assert "`authorization: Bearer KEY`" in told
    assert "maquette keys create" in told


async def test_where_nobody_is_asked_anybody_comes_in(easy):
    assert await easy.admit(Credentials(), Scope.ADMIN) == ANYBODY


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "x-forwarded-host", "Forwarded", "via", "X-Real-IP"]
)
async def test_where_nobody_is_asked_who_was_forwarded_is(easy, store, header):
    """A proxy on this machine would make a stranger anybody, who is an admin."""
    forwarded = forwarded_by(["accept", header])
    told = await refusal(easy, forwarded=forwarded)
    assert f"as its {header.lower()} says" in told
    assert "MAQUETTE_AUTH=required" in told
    _, secret = store.create("studio", [Scope.RENDER])
    assert await easy.admit(Credentials(api_key=secret, forwarded=forwarded), Scope.RENDER)
    assert forwarded_by(["host", "x-request-id", "user-agent"]) == ""


async def test_what_is_sent_is_checked_where_nobody_is_asked(easy, store):
    assert "not known here" in await refusal(easy, api_key="wrong")
    assert "takes no tokens" in await refusal(easy, bearer=token())
    key, secret = store.create("studio", [Scope.RENDER])
    assert (await easy.admit(Credentials(api_key=secret), None)).id == f"key:{key.id}"
    with pytest.raises(Forbidden):
        await easy.admit(Credentials(api_key=secret), Scope.STYLES)


async def test_whether_an_id_exists_is_not_told(strict, store):
    _, secret = store.create("studio", [Scope.RENDER])
    wrong_secret = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    unknown_id = "mqt_aaaaaaaa_" + secret.split("_", 2)[2]
    assert await refusal(strict, api_key=wrong_secret) == await refusal(strict, api_key=unknown_id)


async def test_an_expired_key_is_told_to_its_holder_alone(strict, store):
    key, secret = store.create("past", [Scope.RENDER], timedelta(days=-1))
    told = await refusal(strict, api_key=secret)
    assert f"The API key {key.id} expired on {key.expires:%Y-%m-%d}" in told
    assert " UTC." in told
    assert "expired" not in await refusal(strict, api_key=secret[:-1])


async def test_a_token_that_proves_nothing_is_refused(strict):
    assert "signature is wrong" in await refusal(strict, bearer=token()[:-4] + "AAAA")


async def test_a_wrong_key_beside_a_good_token_is_refused(strict):
    assert "not known here" in await refusal(strict, api_key="mqt_a_b", bearer=token())


async def test_the_scope_is_demanded_and_named(strict, store):
    _, secret = store.create("studio", [Scope.RENDER])
    with pytest.raises(Forbidden, match="needs the scope styles; the key or token has render"):
        await strict.admit(Credentials(api_key=secret), Scope.STYLES)
    _, admin = store.create("admin", [Scope.ADMIN])
    assert (await strict.admit(Credentials(api_key=admin), Scope.STYLES)).is_admin


async def test_calls_are_counted_and_so_are_forbidden_ones(strict, store):
    _, secret = store.create("studio", [Scope.RENDER])
    with pytest.raises(Forbidden):
        await strict.admit(Credentials(api_key=secret), Scope.STYLES)
    for _ in range(2):
        await strict.admit(Credentials(api_key=secret), None)
    with pytest.raises(Overloaded, match="calls_per_minute is 3 for you"):
        await strict.admit(Credentials(api_key=secret), None)


async def test_a_revoked_key_is_refused_at_the_next_call(strict, store):
    key, secret = store.create("studio", [Scope.RENDER])
    await strict.admit(Credentials(api_key=secret), None)
    store.revoke(key.id)
    assert "not known here" in await refusal(strict, api_key=secret)


def test_credentials_do_not_show_themselves():
    assert "geheim" not in repr(Credentials("geheim", "geheim"))
