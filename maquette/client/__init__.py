"""The Python client of maquette: ``Client``, and ``AsyncClient`` with the same methods.

It needs gRPC and protobuf, and nothing of what serves.
"""

from maquette.client.asynchronous import AsyncClient
from maquette.client.failures import CallFailed
from maquette.client.messages import File, RenderOptions
from maquette.client.results import (
    Accepted,
    Change,
    Event,
    Image,
    Manifest,
    ModelVersion,
    Progress,
    Reembedded,
    Render,
    Result,
    ScoredStyle,
    ServedModel,
    ServerInfo,
    State,
    Style,
    StyleChosen,
    Timings,
)
from maquette.client.synchronous import Client

__all__ = [
    "Accepted",
    "AsyncClient",
    "CallFailed",
    "Change",
    "Client",
    "Event",
    "File",
    "Image",
    "Manifest",
    "ModelVersion",
    "Progress",
    "Reembedded",
    "Render",
    "RenderOptions",
    "Result",
    "ScoredStyle",
    "ServedModel",
    "ServerInfo",
    "State",
    "Style",
    "StyleChosen",
    "Timings",
    "connect",
]

connect = Client
"""``with connect("127.0.0.1:8033") as client:``"""
