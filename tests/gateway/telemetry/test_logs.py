from __future__ import annotations

import asyncio
import io
import json
import logging
from datetime import datetime

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from gateway.telemetry import logs

KEY = "mqt_0a1b2c3d_Zx-9_secret"


@pytest.fixture(autouse=True)
def _as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    names = {name: logging.getLogger(name).level for name in (*logs.UVICORN, *logs.QUIET)}
    yield
    root.handlers[:], root.level = handlers, level
    for name, before in names.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture
def written():
    return io.StringIO()


@pytest.fixture
def of_request():
    token = logs.request_id.set("req-7")
    yield
    logs.request_id.reset(token)


def lines(written: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_json_lines_say_when_what_and_in_which_request(written, of_request):
    logs.configure("json", written)
    logging.getLogger("maquette.gateway").warning("%d renders\nwait", 3)

    (line,) = lines(written)
    assert line["level"] == "WARNING"
    assert line["logger"] == "maquette.gateway"
    assert line["message"] == "3 renders\nwait"
    assert line["request_id"] == "req-7"
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert "exception" not in line


def test_json_lines_outside_a_request_name_none(written):
    logs.configure("json", written)
    logging.info("started")

    (line,) = lines(written)
    assert not {"request_id", "trace_id", "span_id", "exception"} & set(line)


def test_json_lines_carry_the_exception(written):
    logs.configure("json", written)
    try:
        raise ValueError("told at the end")
    except ValueError:
        logging.exception("it failed")

    (line,) = lines(written)
    assert line["message"] == "it failed"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: told at the end")


def test_json_lines_name_the_span_they_were_written_in(written):
    logs.configure("json", written)
    place = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(place)):
        logging.info("inside")

    (line,) = lines(written)
    assert line["trace_id"] == f"{0xABC:032x}"
    assert line["span_id"] == f"{0xDEF:016x}"


async def test_requests_answered_at_once_keep_their_own_ids(written):
    logs.configure("json", written)
    both_set = asyncio.Barrier(2)

    async def call(identity):
        logs.request_id.set(identity)
        await both_set.wait()
        logging.info(identity)

    await asyncio.gather(call("one"), call("two"))
    assert sorted((line["message"], line["request_id"]) for line in lines(written)) == [
        ("one", "one"), ("two", "two")]  # fmt: skip


def test_text_lines_end_with_the_request_id(written, of_request):
    logs.configure("text", written)
    logging.info("listening")

    assert written.getvalue().endswith(" INFO listening [req-7]\n")


def test_text_lines_outside_a_request_end_with_the_message(written):
    logs.configure("text", written)
    logging.info("listening")

    assert written.getvalue().endswith(" INFO listening\n")


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_masked_wherever_they_stand(form, written):
    logs.configure(form, written)
    logging.info("key %s", KEY)
    logging.info("authorization: Bearer eyJh.bGci-_x.sig= came")
    logging.info('{"authorization": "bearer abc.def"}')
    try:
        raise ValueError(f"no such key {KEY}")
    except ValueError:
        logging.exception("refused")

    text = written.getvalue()
    for secret in (KEY, "Zx-9", "eyJh", "bGci", "abc.def"):
        assert secret not in text
    assert text.count("***") == 4
    assert "came" in text


def test_uvicorns_lines_go_the_same_way(written):
    elsewhere = io.StringIO()
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(elsewhere))
    logging.getLogger("uvicorn").propagate = False
    logs.configure("json", written)
    logging.getLogger("uvicorn.error").error("no answer", extra={"color_message": "\x1b[31m"})
    logging.getLogger("uvicorn.access").info("GET / 200")
    logging.getLogger("httpx").info("HTTP Request: GET /")

    (line,) = lines(written)
    assert set(line) == {"time", "level", "logger", "message"}
    assert line["logger"] == "uvicorn.error"
    assert elsewhere.getvalue() == ""


def test_configured_twice_a_line_is_written_once(written):
    logs.configure("text", io.StringIO())
    logs.configure("text", written)
    logging.info("once")

    assert written.getvalue().count("once") == 1
