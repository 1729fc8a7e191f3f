"""/v1/renders: at once, step by step, later; leaving, cancelling, sending twice."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re

import pytest

from gateway.auth.caller import Scope
from pipeline.style import TEMPERATURE, weights_of
from tests.gateway.doors.http.conftest import events_of, serve
from tests.gateway.fakes import DENIED, STYLES
from tests.gateway.waiting import until

PNG = b"\x89PNG"
STEPS = 3


@pytest.fixture
def form(sketch):
    """Arguments of a POST with a form; keywords are further fields."""

    def make(**fields):
        data = {"prompt": "a house", "num_inference_steps": STEPS, "seed": 7, **fields}
        return {"data": data, "files": {"sketch": ("sketch.png", sketch)}}

    return make


@pytest.fixture
def as_json(sketch):
    def make(**fields):
        encoded = base64.b64encode(sketch).decode()
        return {"prompt": "a house", "num_inference_steps": STEPS, "sketch": encoded, **fields}

    return make


async def test_waits_and_answers_with_the_pictures(served, form):
    response = await served.client.post("/v1/renders", **form(num_images=2))
    body = response.json()
    assert (response.status_code, body["state"]) == (200, "succeeded")
    assert [image["seed"] for image in body["images"]] == [7, 8]
    assert body["style"]["style"]["id"] in STYLES
    assert -1 <= body["style"]["score"] <= 1
    assert body["progress"] == {"step": STEPS, "steps": STEPS, "previews": []}
    assert body["timings"]["denoise"] == pytest.approx(0.2)
    assert body["error"] is None
    for image in body["images"]:
        stored = await served.client.get(image["url"])
        assert stored.content == base64.b64decode(image["png"])
        assert (stored.headers["content-type"], stored.content[:4]) == ("image/png", PNG)
        assert stored.headers["cache-control"] == "no-store"


async def test_a_blend_says_each_style_its_weight_and_what_made_it(served, form, as_json):
    named = as_json(styles=["sunset", "winter"], style_weights=[0.75, 0.5])
    body = (await served.client.post("/v1/renders", json=named)).json()
    assert body["style"] == body["styles"][0]
    assert [(each["style"]["id"], each["weight"], each["score"]) for each in body["styles"]] == [
        ("sunset", 0.75, None), ("winter", 0.5, None),
    ]  # fmt: skip
    assert body["style_temperature"] is None
    found = (await served.client.post("/v1/renders", **form(style_count=2))).json()
    assert found["style_temperature"] == TEMPERATURE
    scores = [each["score"] for each in found["styles"]]
    assert [each["weight"] for each in found["styles"]] == list(weights_of(scores))
    looked_up = (await served.client.get(f"/v1/renders/{found['id']}")).json()
    assert looked_up["styles"] == found["styles"]


async def test_json_says_the_same_as_a_form(served, form, as_json):
    first = (await served.client.post("/v1/renders", **form())).json()
    second = (await served.client.post("/v1/renders", json=as_json(seed=7.0))).json()
    strip = ("url", "png")
    assert {k: v for k, v in first["images"][0].items() if k not in strip} == {
        k: v for k, v in second["images"][0].items() if k not in strip
    }
    assert first["style"] == second["style"]


async def test_pictures_in_json_may_be_data_urls(served, as_json, sketch):
    inline = "data:image/png;base64," + base64.b64encode(sketch).decode()
    response = await served.client.post("/v1/renders", json=as_json(style_images=[inline]))
    assert response.status_code == 200
    assert response.json()["style"] is None


async def test_events_come_in_order(served, form):
    headers = {"Accept": "text/event-stream"}
    asked = form(preview_interval=2)
    async with served.client.stream("POST", "/v1/renders", headers=headers, **asked) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        told = [(name, json.loads(data)) async for name, data in events_of(response)]
    names = [name for name, _ in told]
    assert names == ["accepted", "progress", "style", *["progress"] * STEPS, "result"]
    steps = [data["step"] for name, data in told if name == "progress"]
    assert steps == list(range(STEPS + 1))
    with_preview = [data for name, data in told if name == "progress" and data["previews"]]
    assert [data["step"] for data in with_preview] == [2]
    preview = with_preview[0]["previews"][0]
    assert base64.b64decode(preview.removeprefix("data:image/png;base64,"))[:4] == PNG
    result = told[-1][1]
    assert (result["state"], result["id"]) == ("succeeded", told[0][1]["id"])
    assert base64.b64decode(result["images"][0]["png"])[:4] == PNG


async def test_who_comes_again_hears_what_follows(served, form):
    await served.client.post("/v1/renders", **form(id="again"))

    async def since(last):
        headers = {"Last-Event-ID": last}
        response = await served.client.get("/v1/renders/again/events", headers=headers)
        ids = re.findall("^id: (.+)$", response.text, re.MULTILINE)
        return response.status_code, list(map(int, ids))

    last = STEPS + 3
    assert await since("") == await since("what?") == (200, list(range(last + 1)))
    assert await since("0") == (200, list(range(1, last + 1)))
    assert await since(str(last - 1)) == (200, [last])
    # That ends a browser's EventSource, which would ask again and again.
    assert await since(str(last)) == await since("999") == (204, [])


async def test_after_a_failure_there_is_nothing_to_come_for_again(served, form):
    served.painter.failure = ZeroDivisionError()
    headers = {"Accept": "text/event-stream"}
    asked = form(id="lost", keep_running="true")
    told = (await served.client.post("/v1/renders", headers=headers, **asked)).text
    last = re.findall("^id: (.+)$", told, re.MULTILINE)[-1]
    for heard, status, errors in ((int(last) - 1, 200, 1), (int(last), 204, 0)):
        headers = {"Last-Event-ID": str(heard)}
        response = await served.client.get("/v1/renders/lost/events", headers=headers)
        assert (response.status_code, response.text.count("event: error")) == (status, errors)


async def test_lists_ones_own(guarded, form):
    mine, anothers = guarded.key(Scope.RENDER), guarded.key(Scope.ADMIN)
    for n in range(3):
        await guarded.client.post("/v1/renders", headers=mine, **form(id=f"r{n}"))
    await guarded.client.post("/v1/renders", headers=anothers, **form(id="x"))
    page, told = {}, []
    for _ in range(2):
        response = await guarded.client.get(
            "/v1/renders",
            headers=mine,
            params={"page_size": 2, "page_token": page.get("next_page_token", "")},
        )
        page = response.json()
        told.append([render["id"] for render in page["renders"]])
        assert all(image["png"] is None for render in page["renders"] for image in render["images"])
    assert (told, page["next_page_token"]) == ([["r2", "r1"], ["r0"]], "")
    response = await guarded.client.get("/v1/renders", headers=anothers)
    assert [render["id"] for render in response.json()["renders"]] == ["x"]
    response = await guarded.client.get("/v1/renders?page_token=x", headers=mine)
    assert (response.status_code, response.json()["field"]) == (400, "page_token")


@pytest.mark.parametrize("name", ["image/png", "image/jpg", "IMAGE/JPEG", "image/svg+xml", ""])
async def test_data_urls_of_any_name_and_wrapped(served, as_json, sketch, name):
    wrapped = base64.encodebytes(sketch).decode()
    body = {**as_json(), "sketch": f"data:{name};base64,{wrapped}"}
    response = await served.client.post("/v1/renders", json=body)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("packed", [bytes, base64.b64encode], ids=["as it is", "base64"])
async def test_a_part_may_have_no_file_name(served, sketch, packed):
    head = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    parts = {b"sketch": packed(sketch), b"prompt": b"a house", b"num_inference_steps": b"1"}
    content = b"".join(head % part for part in parts.items()) + b"--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = await served.client.post("/v1/renders", content=content, headers=headers)
    assert response.status_code == 200, response.text
    for size in (0, 50, len(content) // 2, len(content) - 6):
        response = await served.client.post("/v1/renders", content=content[:size], headers=headers)
        assert (response.status_code, response.json()["detail"]) == (
            400,
            "body is cut short; allowed: a whole form. Send all of it, up to the last boundary.",
        )


async def test_a_failure_is_the_last_event(served, form):
    served.painter.failure = ZeroDivisionError("a secret of the inside")
    headers = {"Accept": "text/event-stream"}
    async with served.client.stream("POST", "/v1/renders", headers=headers, **form()) as response:
        told = [(name, json.loads(data)) async for name, data in events_of(response)]
    name, problem = told[-1]
    assert (name, problem["status"], problem["title"]) == ("error", 500, "Internal Server Error")
    assert "secret" not in problem["detail"]


async def test_what_is_wrong_is_told_before_any_event(served, form):
    headers = {"Accept": "text/event-stream"}
    response = await served.client.post("/v1/renders", headers=headers, **form(guidance_scale=99))
    assert response.status_code == 400
    assert response.json()["field"] == "guidance_scale"


async def test_attempts_are_events_and_stand_in_the_answer(served, form):
    headers = {"Accept": "text/event-stream"}
    asked = form(id="tried", keep_running="true", structure_min=0.875, max_attempts=2)
    async with served.client.stream("POST", "/v1/renders", headers=headers, **asked) as response:
        told = [(name, json.loads(data)) async for name, data in events_of(response)]
    steps = ["progress"] * STEPS
    names = ["accepted", "progress", "style", *steps, "attempt", *steps, "attempt", "result"]
    assert [name for name, _ in told] == names
    tried = [data for name, data in told if name == "attempt"]
    assert [(one["attempt"], one["max_attempts"]) for one in tried] == [(1, 2), (2, 2)]
    body = (await served.client.get("/v1/renders/tried")).json()
    assert body["attempts"] == [one["images"][0] for one in tried]
    assert [(one["seed"], one["structure_f1"]) for one in body["attempts"]] == [
        (7, 0.75), (8, 0.75),
    ]  # fmt: skip
    assert body["images"][0]["seed"] == 7
    assert "structure_min is 0.875" in body["warnings"][0]


async def test_who_waits_is_told_how_many_wait_before(tmp_path, form):
    headers = {"Prefer": "respond-async"}
    async with serve(tmp_path, max_running=1) as served:
        served.painter.hold()
        for name in ("runs", "next", "last"):
            await served.client.post("/v1/renders", headers=headers, **form(id=name))
        await until(lambda: served.painter.begun == 1)

        async def ahead(name):
            return (await served.client.get(f"/v1/renders/{name}")).json()["ahead"]

        assert [await ahead(name) for name in ("runs", "next", "last")] == [None, 0, 1]
        await served.client.post("/v1/renders/next/cancel")
        assert await ahead("last") == 0
        await served.client.post("/v1/renders/last/cancel")


async def test_later(served, form):
    served.painter.hold()
    headers = {"Prefer": "respond-async"}
    response = await served.client.post("/v1/renders", headers=headers, **form(id="mine"))
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "respond-async"
    assert response.headers["location"] == "/v1/renders/mine"
    path = response.headers["location"]
    assert (await served.client.get(path)).json()["state"] in ("queued", "running")
    assert (await served.client.get(f"{path}/images/0")).status_code == 404
    served.painter.go_on()
    async with served.client.stream("GET", f"{path}/events") as events:
        names = [name async for name, _ in events_of(events)]
    assert (names[0], names[-1]) == ("accepted", "result")
    body = (await served.client.get(path)).json()
    assert body["state"] == "succeeded"
    assert body["images"][0]["png"] is None
    for link in (body["images"][0]["url"], body["links"]["control_image"]):
        assert (await served.client.get(link)).content[:4] == PNG
    assert (await served.client.get(f"{path}/images/1")).status_code == 404


async def test_later_but_with_patience(served, form):
    headers = {"Prefer": "respond-async, wait=20"}
    response = await served.client.post("/v1/renders", headers=headers, **form())
    assert (response.status_code, response.json()["state"]) == (200, "succeeded")
    assert response.headers["preference-applied"] == "respond-async, wait=20"
    served.painter.hold()
    headers = {"Prefer": "respond-async, wait=1"}
    response = await served.client.post("/v1/renders", headers=headers, **form())
    assert (response.status_code, response.json()["state"]) == (202, "running")


async def test_patience_is_told_of_a_failure(served, form):
    served.painter.failure = ZeroDivisionError("a secret of the inside")
    headers = {"Prefer": "respond-async, wait=20"}
    response = await served.client.post("/v1/renders", headers=headers, **form(id="bad"))
    assert response.status_code == 500
    looked_up = (await served.client.get("/v1/renders/bad")).json()
    assert looked_up["state"] == "failed"
    assert looked_up["error"]["status"] == 500
    assert "secret" not in response.text + json.dumps(looked_up)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_a_client_that_leaves_ends_its_render(served, form, accept, caplog):
    served.painter.hold()
    request = served.client.build_request(
        "POST", "/v1/renders", headers={"Accept": accept}, **form()
    )
    await leave_after_begin(served, request)
    await until(lambda: served.painter.left_early == 1)
    await until(lambda: not served.renders.unfinished)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_unless_it_is_to_keep_running(served, form, accept):
    served.painter.hold()
    headers = {"Accept": accept}
    identity = f"kept-{accept[:4]}"
    fields = form(keep_running="true", id=identity)
    request = served.client.build_request("POST", "/v1/renders", headers=headers, **fields)
    await leave_after_begin(served, request)
    served.painter.go_on()
    await until(lambda: not served.renders.unfinished)
    assert served.painter.left_early == 0
    assert (await served.client.get(f"/v1/renders/{identity}")).json()["state"] == "succeeded"


async def test_one_of_two_listeners_may_leave(served, form):
    served.painter.hold()
    stream = served.client.stream
    headers = {"Accept": "text/event-stream"}
    async with stream("POST", "/v1/renders", headers=headers, **form(id="two")) as first:
        heard = events_of(first)
        assert await anext(heard)
        async with stream("GET", "/v1/renders/two/events") as second:
            assert await anext(events_of(second))
        served.painter.go_on()
        names = [name async for name, _ in heard]
    assert names[-1] == "result"


async def test_cancelled_from_another_connection(served, form):
    served.painter.hold()
    headers = {"Accept": "text/event-stream"}
    async with served.client.stream(
        "POST", "/v1/renders", headers=headers, **form(id="stop")
    ) as response:
        events = events_of(response)
        assert (await anext(events))[0] == "accepted"
        cancelled = await served.client.post("/v1/renders/stop/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
        last = [told async for told in events][-1]
    assert (last[0], json.loads(last[1])["status"]) == ("error", 409)
    again = await served.client.post("/v1/renders/stop/cancel")
    assert again.json()["state"] == "cancelled"


async def test_sent_twice_rendered_once(served, form):
    headers = {"Idempotency-Key": "4f6c"}
    first = await served.client.post("/v1/renders", headers=headers, **form())
    second = await served.client.post("/v1/renders", headers=headers, **form())
    assert first.json() == second.json()
    assert served.painter.begun == 1
    other = await served.client.post("/v1/renders", headers=headers, **form(prompt="a tower"))
    assert other.status_code == 409


async def test_an_id_is_taken_once(served, form):
    assert (await served.client.post("/v1/renders", **form(id="one"))).status_code == 200
    taken = await served.client.post("/v1/renders", **form(id="one"))
    assert taken.status_code == 409
    wrong = await served.client.post("/v1/renders", **form(id="../x"))
    assert (wrong.status_code, wrong.json()["field"]) == (400, "id")


async def test_what_moderation_refuses(served, form):
    response = await served.client.post("/v1/renders", **form(prompt=f"a {DENIED} house"))
    assert response.status_code == 422
    assert served.painter.begun == 0


@pytest.mark.parametrize("path", ["", "/images/0", "/control_image", "/events"])
async def test_renders_there_are_not(served, path):
    response = await served.client.get(f"/v1/renders/nothing{path}")
    assert response.status_code == 404
    assert "no render" in response.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"prompt": ""}, "prompt", "1 to 2000"),
        ({"prompt": ["a", "b"]}, "prompt", "one value"),
        ({"num_inference_steps": "many"}, "num_inference_steps", "a whole number"),
        ({"num_inference_steps": "151"}, "num_inference_steps", "1 to 150"),
        ({"guidance_scale": "nan"}, "guidance_scale", "0 to 30"),
        ({"guidance_scale": "strong"}, "guidance_scale", "a number"),
        ({"width": "100"}, "width", "128 to 1024"),
        ({"keep_running": "maybe"}, "keep_running", "true or false"),
        ({"scheduler": "magic"}, "scheduler", "one of"),
        ({"promt": "a house"}, "'promt'", "Did you mean prompt?"),
        ({"style_images": "https://example.com/a.png"}, "style_images", "Nothing is fetched"),
        ({"style_images": "aGVsbG8="}, "style_images", "style_images is 5 bytes; allowed: a PNG"),
        ({"style_images": "sketch.png"}, "style_images", "Send the picture itself"),
        ({"style_images": "https://x.y/a.png"}, "style_images", "Nothing is fetched"),
        ({"seed": -1}, "seed", "Leave it out to have one drawn"),
    ],
)
async def test_wrong_fields_of_a_form(served, form, fields, field, words):
    response = await served.client.post("/v1/renders", **form(**fields))
    assert (response.status_code, response.json()["field"]) == (400, field)
    assert words in response.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"sketch": "http://example.com/a.png"}, "sketch", "Nothing is fetched"),
        ({"sketch": "data:text/html,hello"}, "sketch", "Nothing is fetched"),
        ({"sketch": "not base64!"}, "sketch", "base64"),
        ({"sketch": "aGVsbG8="}, "sketch", "PNG, JPEG or WebP"),
        ({"sketch": 5}, "sketch", "base64"),
        ({"sketch": None}, "sketch", "PNG, JPEG or WebP"),
        ({"sketch": []}, "sketch", "one value"),
        ({"prompt": {"a": 1}}, "prompt", "text"),
        ({"prompt": "\ud800"}, "prompt", "UTF-8"),
        ({"seed": 1.5}, "seed", "a whole number"),
        ({"seed": True}, "seed", "a whole number"),
        ({"seed": 10**15}, "seed", "0 to 4294967295"),
        ({"seed": 10**400}, "seed", "a whole number"),
        ({"guidance_scale": 10**400}, "guidance_scale", "a number"),
        ({"guidance_scale": [1, 2]}, "guidance_scale", "one value"),
        ({"ip_adapter_scale": [0.1, 0.2]}, "ip_adapter_scale", "1 value"),
    ],
)
async def test_wrong_fields_of_json(served, as_json, fields, field, words):
    content = json.dumps(as_json(**fields))
    headers = {"Content-Type": "application/json"}
    response = await served.client.post("/v1/renders", content=content, headers=headers)
    assert (response.status_code, response.json()["field"]) == (400, field)
    assert words in response.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"[" * 100_000, b"\xff{}", b"1" * 5000])
async def test_bodies_that_are_no_object(served, body):
    headers = {"Content-Type": "application/json"}
    response = await served.client.post("/v1/renders", content=body, headers=headers)
    assert (response.status_code, response.json()["field"]) == (400, "body")


@pytest.mark.parametrize("charset", ["idna", "punycode", "undefined"])
async def test_forms_in_a_charset_that_does_not_fit(served, charset):
    body = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nxn--\xff\r\n--x--\r\n'
    headers = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    response = await served.client.post("/v1/renders", content=body, headers=headers)
    assert response.status_code == 400


async def leave_after_begin(served, request):
    """Send `request`, and close its connection when the render has begun."""
    sending = asyncio.create_task(served.client.send(request))
    await until(lambda: served.painter.begun == 1)
    sending.cancel()
    await asyncio.wait([sending])
