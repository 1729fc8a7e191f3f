# ruff: noqa: T201 - it prints what it is asked for
"""grpcurl's part that the examples use, over reflection alone: it imports no generated code.

``grpcurl [-plaintext] [-emit-defaults] [-max-msg-sz N] [-H HEADER] [-d JSON|@] ADDRESS
list | describe SYMBOL | METHOD``
"""

from __future__ import annotations

import argparse
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


def main() -> None:
    asked = arguments()
    limit = [("grpc.max_receive_message_length", asked.max_msg_sz)]
    with grpc.insecure_channel(asked.address, options=limit) as channel:
        reflection = ProtoReflectionDescriptorDatabase(channel)
        if asked.what == "list":
            print(*reflection.get_services(), sep="\n")
        elif asked.what == "describe":
            describe(DescriptorPool(reflection), asked.symbol)
        else:
            call(channel, DescriptorPool(reflection), asked)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-emit-defaults", action="store_true")
    parser.add_argument("-max-msg-sz", type=int, default=4 * 1024 * 1024)
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d", default="{}")
    parser.add_argument("address")
    parser.add_argument("what")
    parser.add_argument("symbol", nargs="?")
    return parser.parse_args()


def describe(pool: DescriptorPool, symbol: str) -> None:
    try:
        found = [
            f"  rpc {method.name} ( {method.input_type.full_name} )"
            for method in pool.FindServiceByName(symbol).methods
        ]
    except KeyError:
        fields = pool.FindMessageTypeByName(symbol).fields
        found = [f"  {field.name} = {field.number};" for field in fields]
    print(f"{symbol} is:", *found, sep="\n")


def call(channel: grpc.Channel, pool: DescriptorPool, asked: argparse.Namespace) -> None:
    service, _, name = asked.what.partition("/")
    method = pool.FindServiceByName(service).methods_by_name[name]
    request = GetMessageClass(method.input_type)()
    json_format.Parse(
        sys.stdin.read() if asked.d == "@" else asked.d, request, descriptor_pool=pool
    )
    make = channel.unary_stream if method.server_streaming else channel.unary_unary
    send = make(
        f"/{asked.what}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    headers = [tuple(header.split(": ", 1)) for header in asked.H]
    answer = send(request, metadata=headers)
    for message in answer if method.server_streaming else [answer]:
        told = json_format.MessageToJson(
            message, always_print_fields_with_no_presence=asked.emit_defaults, descriptor_pool=pool
        )
        print(told, flush=True)


if __name__ == "__main__":
    main()
