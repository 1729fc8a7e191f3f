"""The Python client of maquette: ``Client``, and ``AsyncClient`` with the same methods.

It needs gRPC and protobuf, and nothing of what serves.
"""

from maquette.client.asynchronous import AsyncClient
from maquette.client.failures import CallFailed
from maquette.client.options import File, RenderOptions, StyleOptions
from maquette.client.results import (
    Accepted,
    AddedStyle,
    Attempt,
    Attempted,
    Event,
    Image,
    Progress,
    Reembedded,
    Render,
    RenderLimits,
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
    "AddedStyle",
    "AsyncClient",
    "Attempt",
    "Attempted",
    "CallFailed",
    "Client",
    "Event",
    "File",
    "Image",
    "Progress",
    "Reembedded",
    "Render",
    "RenderLimits",
    "RenderOptions",
    "Result",
    "ScoredStyle",
    "ServedModel",
    "ServerInfo",
    "State",
    "Style",
    "StyleChosen",
    "StyleOptions",
    "Timings",
    "connect",
]

connect = Client
"""``with connect("127.0.0.1:8033") as client:``"""
