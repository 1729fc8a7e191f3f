from __future__ import annotations

import base64
import json
import random

import pytest

from gateway.doors import bounds
from gateway.doors.openinference.rest_messages import infer_request
from pipeline.errors import InvalidRequest

LARGE = 20_000_000


@pytest.mark.parametrize("body", [b"[" * LARGE, b"[" + b"[]," * LARGE, b'{"a":' * LARGE])
def test_json_of_millions_of_elements_is_refused_unparsed(body):
    with pytest.raises(InvalidRequest, match=r"body is JSON of about [0-9]+,000,00[01] elements"):
        bounds.check_json(body)


def test_so_it_is_where_raw_tensors_follow():
    head = b"[" + b"[]," * 100_000
    with pytest.raises(InvalidRequest, match="body is JSON of about 200,001 elements"):
        infer_request(head + b"raw", str(len(head)))


def test_a_picture_as_base64_is_one_element_however_large():
    picture = base64.b64encode(random.Random(0).randbytes(LARGE)).decode()
    bounds.check_json(json.dumps({"sketch": picture, "prompt": "stone, glass, steel"}).encode())
