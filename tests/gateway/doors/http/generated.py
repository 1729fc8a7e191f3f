"""What schemathesis cannot draw from /openapi.json by itself.

It runs in a process of its own, which loads this by ``SCHEMATHESIS_HOOKS``. A JSON schema says
neither what is in a picture, nor how two fields stand to each other, nor what can be printed.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import schemathesis
from hypothesis import strategies as st

from gateway.doors.http.bodies import JSON
from gateway.doors.http.forms import FORM
from gateway.doors.http.image_schemas import SAME
from gateway.doors.http.openapi import SKETCH
from pipeline.request import DEFAULTS, STANDS_FOR
from pipeline.samplers import STEP_LIMITS

INFER = json.dumps({
    "inputs": [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [value]}
        for name, value in (("sketch", SKETCH), ("prompt", "a house"))
    ]
})  # fmt: skip
OF_ANOTHER_TYPE = r"\(was (string|array), became "
OF_ONE_FIELD = r"`anyOf` at /properties/(\w+)"
WORDS = {"name", "tags", "tag", "style_filter", "source"}

schemathesis.openapi.format("binary", st.just(base64.b64decode(SKETCH)))
schemathesis.openapi.format("byte", st.just(SKETCH))
schemathesis.openapi.media_type("application/octet-stream", st.just(INFER.encode()))


@schemathesis.hook
def filter_case(_context: Any, case: Any) -> bool:
    """Whether a form that is meant to be sound is so between its fields, too.

    Setting it right would do no good: schemathesis takes a changed body with files for a wrong one.
    """
    if (
        not _is_meant_to_be_sound(case)
        or case.media_type != FORM
        or not isinstance(case.body, dict)
    ):
        return True
    return _sound(case.body) == case.body


@schemathesis.hook
def map_case(_context: Any, case: Any) -> Any:
    """`case` so that it is sound between its fields, too, where it is meant to be sound."""
    if not _is_meant_to_be_sound(case):
        return case
    if case.media_type == JSON and case.path.endswith("/infer"):
        case.body = json.loads(INFER)
    elif case.media_type == JSON and isinstance(case.body, dict):
        case.body = _sound(case.body)
    if case.path.endswith("/retire"):
        case.body |= {"version": 1, "alias": None}
    for name in WORDS & case.query.keys():
        case.query[name] = _printable(name, case.query[name])
    if case.path == "/v1/versions/history":
        case.query.pop("page_token", None)
    return case


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, _response: Any) -> bool:
    """All but two kinds, which schemathesis knows of but not where the form has files.

    In a form everything is text, and "null" a word as good as any; and an empty list sends nothing.
    """
    if case.media_type != FORM:
        return True
    wrong = re.search(OF_ONE_FIELD, failure.message)
    is_sent = not wrong or case.body.get(wrong[1]) not in (None, [], {})
    return is_sent and not re.search(OF_ANOTHER_TYPE, failure.message)


def _is_meant_to_be_sound(case: Any) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


def _sound(body: dict[str, Any]) -> dict[str, Any]:
    stood_for = {
        name
        for preset, names in STANDS_FOR.items()
        if body.get(preset) not in (None, "")
        for name in names
    }
    return _together(
        {name: _printable(name, value) for name, value in body.items() if name not in stood_for}
    )


def _printable(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_printable(name, each) for each in value]
    if name not in WORDS or not isinstance(value, str) or value.strip().isprintable():
        return value
    return "".join(filter(str.isprintable, value)).strip() or "word"


def _together(body: dict[str, Any]) -> dict[str, Any]:
    low, high = _of(body, "canny_low_threshold"), _of(body, "canny_high_threshold")
    if low > high:
        body |= {"canny_low_threshold": high, "canny_high_threshold": low}
    for interval in ("guidance", "control_guidance", "style"):
        if _of(body, f"{interval}_start") >= _of(body, f"{interval}_end"):
            body |= {f"{interval}_start": 0, f"{interval}_end": 1}
    # Brackets at random do not match.
    body |= {"prompt_syntax": "plain"} if "prompt" in body else {}
    limit = STEP_LIMITS.get(body.get("scheduler"))
    if limit and body.get("num_inference_steps"):
        body["num_inference_steps"] = min(limit, body["num_inference_steps"])
    if isinstance(body.get("ip_adapter_scale"), list):
        body["ip_adapter_scale"] = body["ip_adapter_scale"][:1]
    body |= _begun(body)
    images = body.get("style_images", [])
    # A picture in a form is of a type whose text is empty.
    count = len(images) if isinstance(images, list) else int(images is not None)
    for name in ("style", "style_count") if count else ():
        body.pop(name, None)
    # The library has none of them, or they are in the way of others.
    body.pop("styles", None)
    if body.get("style_weights") is not None:
        body["style_weights"] = [1] * count
    for name, same in SAME.items():
        for other in same if name in body else ():
            body.pop(other, None)
    if body.get("partial_images"):
        body["stream"] = True
    if "source" in body:
        body["source"] = "new"
    if body.get("force"):
        body["why"] = "sharper windows"
    return body


def _begun(body: dict[str, Any]) -> dict[str, Any]:
    """What goes with the strength of an image."""
    needs = {"strength": 1, "mask": SKETCH, "pad": [0, 64, 0, 0], "mask_blur": 1}
    sent = {name: value for name, value in needs.items() if body.get(name) not in (None, "")}
    if "mask_blur" in sent:
        sent["mask"] = SKETCH
    return {**sent, "image": body.get("image") or SKETCH} if sent else {}


def _of(body: dict[str, Any], name: str) -> Any:
    value = body.get(name)
    return DEFAULTS[name] if value in (None, "") else value
