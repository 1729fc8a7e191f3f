"""Server reflection as v1 and v1alpha, which differ in name alone."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2

METHOD = "ServerReflectionInfo"
V1 = "grpc.reflection.v1.ServerReflection"
NAMES = (reflection.SERVICE_NAME, V1)


def add_reflection(services: Iterable[str], server: grpc.aio.Server) -> None:
    """Have `server` describe `services`, and reflection itself.

    Source: grpc/reflection/v1/reflection.proto, for which grpcio-reflection has no Python code.
    """
    names = (*services, *NAMES)
    _describe_v1()
    reflection.enable_server_reflection(names, server)
    handler = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(names).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(V1, {METHOD: handler})
    server.add_generic_rpc_handlers((handlers,))


def _describe_v1() -> None:
    alpha = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
    text = text_format.MessageToString(alpha).replace("v1alpha", "v1")
    descriptor_pool.Default().Add(text_format.Parse(text, FileDescriptorProto()))
