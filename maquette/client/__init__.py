"""The Python client of maquette: ``Client``, and ``AsyncClient`` with the same methods.

It needs gRPC and protobuf, and nothing of what serves.
"""

from maquette.client.asynchronous import AsyncClient
from maquette.client.failures import CallFailed
from maquette.client.messages import CanaryOptions
from maquette.client.options import File, RenderOptions, StyleOptions
from maquette.client.results import (
    Accepted,
    Canary,
    CanaryBounds,
    Change,
    Comparison,
    Event,
    GateVerdict,
    Image,
    Manifest,
    ModelVersion,
    PastChange,
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
    VersionDifference,
    VersionStep,
)
from maquette.client.synchronous import Client

__all__ = [
    "Accepted",
    "AsyncClient",
    "CallFailed",
    "Canary",
    "CanaryBounds",
    "CanaryOptions",
    "Change",
    "Client",
    "Comparison",
    "Event",
    "File",
    "GateVerdict",
    "Image",
    "Manifest",
    "ModelVersion",
    "PastChange",
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
    "VersionDifference",
    "VersionStep",
    "connect",
]

connect = Client
"""``with connect("127.0.0.1:8033") as client:``"""
