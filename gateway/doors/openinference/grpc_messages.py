"""The protocol's gRPC messages to our own objects, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from gateway.doors.openinference import model, tensors
from gateway.doors.openinference.model import Output
from gateway.doors.openinference.tensors import InferRequest, Values
from pipeline.errors import InvalidRequest, Words
from pipeline.tensor import Tensor

CONTENTS = {
    "BYTES": "bytes_contents",
    "FP32": "fp32_contents",
    "BOOL": "bool_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
}
"""Where a message holds typed data of each datatype."""


def infer_request(message: pb.ModelInferRequest) -> InferRequest:
    """The request that `message` says.

    Raises:
        NotFound: it is for another model.
        InvalidRequest: it is not as the model's metadata says, or contradicts itself.
    """
    model.check(message.model_name, message.model_version)
    for output in message.outputs:
        tensors.check_parameters(output.name, output.parameters)
    return InferRequest(
        render=tensors.collected(_inputs(message)),
        outputs=tensors.requested(output.name for output in message.outputs),
        id=message.id,
        timeout=tensors.timeout(_parameter(message, "timeout")),
    )


def infer_response(request: InferRequest, outputs: Sequence[Output]) -> pb.ModelInferResponse:
    """The answer to `request`, its tensors raw."""
    return pb.ModelInferResponse(
        model_name=model.NAME,
        model_version=model.VERSION,
        id=request.id,
        outputs=[
            pb.ModelInferResponse.InferOutputTensor(
                name=output.tensor.name, datatype=output.tensor.dtype, shape=[len(output.values)]
            )
            for output in outputs
        ],
        raw_output_contents=[tensors.to_raw(output) for output in outputs],
    )


def _inputs(message: pb.ModelInferRequest) -> Iterator[tuple[Tensor, Values]]:
    raws = message.raw_input_contents
    if raws and len(raws) != len(message.inputs):
        found, allowed = Words(f"{len(raws)} entries"), f"one for each of {len(message.inputs)}"
        remedy = "Send every input's data there, or none."
        raise InvalidRequest("raw_input_contents", found, f"{allowed} inputs", remedy)
    for index, sent in enumerate(message.inputs):
        tensor, count = tensors.declared(sent.name, sent.datatype, sent.shape)
        tensors.check_parameters(sent.name, sent.parameters)
        if not raws:
            yield tensor, _typed(tensor, count, sent)
        elif sent.HasField("contents"):
            remedy = "Send the data once."
            raise InvalidRequest(
                f"{tensor.name}.contents", Words("set"), "unset beside raw_input_contents", remedy
            )
        else:
            yield tensor, tensors.from_raw(tensor, count, raws[index])


def _typed(tensor: Tensor, count: int, sent: Any) -> Values:
    values = getattr(sent.contents, CONTENTS[tensor.dtype])
    tensors.check_count(tensor, count, len(values))
    return tuple(values)


def _parameter(message: pb.ModelInferRequest, name: str) -> Any:
    if name not in message.parameters:
        return None
    parameter = message.parameters[name]
    choice = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, choice) if choice else None
