"""The model's description is one with the contract, with the request and with its page."""

from __future__ import annotations

import re
from pathlib import Path

from google.protobuf.json_format import ParseDict
from tritonclient.grpc import model_config_pb2

from gateway.doors.openinference import model
from pipeline import contract
from pipeline.request import DEFAULTS

PAGE = Path(__file__).parents[4] / "docs" / "open-inference-protocol.md"


def rows(heading):
    """The cells of the table under `heading`, code marks left out."""
    text = PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| `.*\|$", text, re.MULTILINE)
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in found]


def test_its_page_lists_every_output():
    outputs = [
        [name, tensor.dtype, str(list(tensor.dims))] for name, tensor in model.OUTPUTS.items()
    ]
    assert [row[:3] for row in rows("Outputs")] == outputs


def test_it_takes_every_field_of_a_request_as_the_render_model_does():
    assert set(model.INPUTS) | set(model.UNHEARD) == set(DEFAULTS)
    for tensor in contract.MODELS["render"].inputs:
        # The gateway finds out which set of versions it is that `versions` asks for.
        if tensor.name not in (*model.UNHEARD, "pinned"):
            taken = model.INPUTS[tensor.name]
            assert (taken.dtype, taken.dims) == (tensor.dtype, tensor.dims)


def test_its_config_is_one_that_triton_could_read():
    config = ParseDict(model.config(), model_config_pb2.ModelConfig())
    assert not config.model_transaction_policy.decoupled
    assert {one.data_type for one in config.input} <= {
        model_config_pb2.TYPE_BOOL,
        model_config_pb2.TYPE_STRING,
        model_config_pb2.TYPE_FP32,
        model_config_pb2.TYPE_INT32,
        model_config_pb2.TYPE_INT64,
    }
