"""Signing in to the studio: a key for a cookie, and what the cookie is good for."""

from http.cookies import SimpleCookie

import pytest

from gateway.auth.caller import Scope
from gateway.auth.keys import KeyStore
from gateway.doors.http import sessions

OWN = {"X-Maquette-Studio": "1", "Sec-Fetch-Site": "same-origin"}


async def sign_in(served, *scopes, **headers):
    """The answer to signing in with a new key, and the cookie as a browser sends it."""
    key = served.key(*scopes) if scopes else {}
    response = await served.client.post("/session", headers={**OWN, **key, **headers})
    found = SimpleCookie(response.headers.get("set-cookie", "")).get(sessions.COOKIE)
    served.client.cookies.clear()
    return response, {"Cookie": f"{sessions.COOKIE}={found.value}"} if found else {}


async def test_a_session_is_as_good_as_its_key(guarded):
    assert (await guarded.client.get("/v1/info")).status_code == 401
    response, cookie = await sign_in(guarded, Scope.RENDER)
    assert response.status_code == 204
    info = await guarded.client.get("/v1/info", headers=cookie)
    assert info.json()["scopes"] == ["render"]
    sent = await guarded.client.delete("/v1/styles/winter", headers={**cookie, **OWN})
    assert sent.status_code == 403
    assert "needs the scope styles" in sent.json()["detail"]


async def test_no_script_reads_the_cookie_and_no_other_site_sends_it(guarded):
    response, _ = await sign_in(guarded, Scope.RENDER)
    said = response.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert f"max-age={sessions.LIFETIME_SECONDS}" in said
    assert "path=" not in said  # then it is for where the page is
    assert "secure" not in said


async def test_over_https_the_cookie_stays_there(guarded):
    response, _ = await sign_in(guarded, Scope.RENDER, Origin="https://studio.example")
    assert "secure" in response.headers["set-cookie"].lower()


async def test_the_key_is_not_in_the_cookie(guarded):
    key = guarded.key(Scope.RENDER)
    response = await guarded.client.post("/session", headers={**OWN, **key})
    assert key["X-API-Key"] not in response.headers["set-cookie"]


async def test_signing_out_ends_the_session_for_whoever_has_the_cookie(guarded):
    _, cookie = await sign_in(guarded, Scope.RENDER)
    assert (await guarded.client.get("/session", headers=cookie)).json() == {"signed_in": True}
    out = await guarded.client.delete("/session", headers={**cookie, **OWN})
    assert out.status_code == 204
    assert "max-age=0" in out.headers["set-cookie"].lower()
    assert (await guarded.client.get("/v1/info", headers=cookie)).status_code == 401
    assert (await guarded.client.get("/session", headers=cookie)).json() == {"signed_in": False}


async def test_a_revoked_key_ends_its_sessions(guarded):
    _, cookie = await sign_in(guarded, Scope.RENDER)
    store = KeyStore(guarded.settings.keys)
    for key in store.all():
        store.revoke(key.id)
    response = await guarded.client.get("/v1/info", headers=cookie)
    assert response.status_code == 401
    assert "revoked" in response.json()["detail"]


async def test_an_id_of_the_callers_choice_is_no_session(guarded):
    chosen = {"Cookie": f"{sessions.COOKIE}=chosen"}
    key = guarded.key(Scope.RENDER)
    response = await guarded.client.post("/session", headers={**OWN, **key, **chosen})
    assert "chosen" not in response.headers["set-cookie"]
    assert (await guarded.client.get("/v1/info", headers=chosen)).status_code == 401


async def test_signing_in_again_ends_the_session_before(guarded):
    _, first = await sign_in(guarded, Scope.RENDER)
    _, second = await sign_in(guarded, Scope.RENDER, **first)
    assert (await guarded.client.get("/v1/info", headers=first)).status_code == 401
    assert (await guarded.client.get("/v1/info", headers=second)).status_code == 200


@pytest.mark.parametrize("headers", [
    {},
    {"X-Maquette-Studio": "1"},
    {"Sec-Fetch-Site": "same-origin"},
    {"X-Maquette-Studio": "1", "Origin": "http://127.0.0.1:9999"},
    {"X-Maquette-Studio": "1", "Origin": "null"},
    {"X-Maquette-Studio": "1", "Sec-Fetch-Site": "same-site"},
    {"X-Maquette-Studio": "1", "Sec-Fetch-Site": "cross-site"},
])  # fmt: skip
async def test_no_other_page_acts_with_the_session(guarded, headers):
    _, cookie = await sign_in(guarded, Scope.RENDER)
    key = guarded.key(Scope.RENDER)
    for call in (
        guarded.client.post("/v1/renders/x/cancel", headers={**cookie, **headers}),
        guarded.client.post("/session", headers={**key, **headers}),
        guarded.client.delete("/session", headers={**cookie, **headers}),
    ):
        response = await call
        assert response.status_code == 403
        assert "studio's own page" in response.json()["detail"]
    assert (await guarded.client.get("/v1/info", headers=cookie)).status_code == 200


async def test_the_page_itself_acts_with_it_by_its_origin(guarded):
    _, cookie = await sign_in(guarded, Scope.RENDER)
    own = {"X-Maquette-Studio": "1", "Origin": guarded.url}
    response = await guarded.client.post("/v1/renders/x/cancel", headers={**cookie, **own})
    assert response.status_code == 404


async def test_no_other_page_reads_with_the_session(guarded):
    _, cookie = await sign_in(guarded, Scope.RENDER)
    other = {"Sec-Fetch-Site": "same-site"}
    assert (await guarded.client.get("/v1/info", headers={**cookie, **other})).status_code == 403


async def test_a_key_counts_before_a_session(guarded):
    _, cookie = await sign_in(guarded, Scope.RENDER)
    sent = {**cookie, "X-API-Key": "mqt_wrong"}
    assert (await guarded.client.get("/v1/info", headers=sent)).status_code == 401


async def test_what_is_no_key_begins_nothing(guarded, served):
    response, cookie = await sign_in(guarded, **{"X-API-Key": "mqt_nobody"})
    assert response.status_code == 401
    assert not cookie
    response, cookie = await sign_in(served)
    assert response.status_code == 401
    assert response.json()["detail"] == sessions.NO_KEY
    assert not cookie


def test_sessions_end_after_their_time_and_are_so_many_at_most(monkeypatch):
    credential = (b"x-api-key", b"key")
    ended = sessions.Sessions(lifetime_seconds=0)
    assert ended.find(ended.begin(credential)) is None
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    held = sessions.Sessions()
    first, *others = (held.begin(credential) for _ in range(3))
    assert held.find(first) is None
    assert all(held.find(other) for other in others)


def test_a_session_shows_no_key():
    held = sessions.Sessions()
    found = held.find(held.begin((b"x-api-key", b"mqt_secret")))
    assert "mqt_secret" not in repr(found)
