"""/v1/versions: versions of networks, for who has the scope admin."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict, Field, RootModel

from gateway.background.jobs import Step
from gateway.doors.http.bodies import JSON, Body, Boolean, Number, Text, Whole, body_of
from gateway.doors.http.dependencies import Administering, Behind
from gateway.doors.http.errors import Problem
from gateway.doors.http.events import steps_of
from gateway.doors.http.openapi import PROBLEMS, events_content, request_body
from gateway.doors.paging import DEFAULT_PAGE, MAX_PAGE
from gateway.rollout.administration import MAX_REASON, Overview
from gateway.rollout.publish_sources import MAX_SOURCE, URIS
from versions.aliases import NAMES
from versions.canary import HIGHEST, Bounds, Canary
from versions.catalogue import MODELS
from versions.differences import Comparison
from versions.history import Page
from versions.operations import WITHDRAWN, Outcome

EXAMPLE_MODEL, EXAMPLE_WHY = "vae_decoder", "sharper windows"


def _bound(name: str) -> Any:
    default = getattr(Bounds(), name)
    return Field(default, json_schema_extra={"minimum": 0, "maximum": HIGHEST[name]})


VersionNumber = Annotated[Whole, Field(json_schema_extra={"minimum": 1})]


class ChangeRequest(Body):
    """What every change takes."""

    why: Text = Field(
        "",
        description="The reason; the history keeps it.",
        json_schema_extra={"maxLength": MAX_REASON},
    )
    dry_run: Boolean = Field(False, description="Check everything and change nothing.")


class ForcibleRequest(ChangeRequest):
    """What a change takes that needs a passed gate."""

    force: Boolean = Field(False, description="Without a passed gate. Needs a reason.")


class PublishRequest(ChangeRequest):
    """Where the engine is."""

    model_config = ConfigDict(json_schema_extra={"required": ["source"]})

    source: Text = Field(
        "",
        description="Where the server finds the engine: a path below MAQUETTE_INCOMING, or "
        f"{URIS}.",
        json_schema_extra={"minLength": 1, "maxLength": MAX_SOURCE},
    )


class PromoteRequest(ForcibleRequest):
    """Which version becomes the champion."""

    version: VersionNumber | None = Field(None, description="The candidate when left out.")
    expected: VersionNumber | None = Field(
        None, description="Only if this version is the champion until then."
    )


class RetireRequest(ChangeRequest):
    """A version, or an alias."""

    version: VersionNumber | None = Field(
        None, description="Its files are removed. None that has an alias."
    )
    alias: Text = Field(
        "",
        description="Or this: it is taken away, and the files stay.",
        json_schema_extra={"enum": list(WITHDRAWN)},
    )


class CanaryRequest(ForcibleRequest):
    """On which share of the renders the candidate is tried, and what calls it off."""

    share: Number = Field(
        0,
        description="Of the renders that the candidate makes; 0 ends it. Needs a passed gate.",
        json_schema_extra={"minimum": 0, "exclusiveMaximum": 1},
    )
    shadow: Number = Field(
        0,
        description="Of the renders that it makes as well, unseen.",
        json_schema_extra={"minimum": 0, "maximum": 1},
    )
    max_error_share: Number = _bound("max_error_share")
    max_latency_ratio: Number = _bound("max_latency_ratio")
    max_structure_loss: Number = _bound("max_structure_loss")
    least_renders: Whole = _bound("least_renders")


Model = Annotated[
    str,
    Path(
        description="A network, or clip for the pair that finds styles.",
        examples=[EXAMPLE_MODEL],
        json_schema_extra={"enum": list(MODELS)},
    ),
]
ModelOrAll = Annotated[
    str,
    Query(
        description="Of this one only.",
        examples=[EXAMPLE_MODEL],
        json_schema_extra={"enum": ["", *MODELS]},
    ),
]
Name = Annotated[
    str,
    Query(
        description="A number or an alias.",
        json_schema_extra={"pattern": rf"^(|[1-9][0-9]{{0,8}}|{'|'.join(NAMES)})$"},
    ),
]


class Progress(RootModel[Step]):
    """How far publishing is."""


class Published(RootModel[Outcome]):
    """What publishing did."""


EVENTS = (Progress, Published, Problem)
PUBLISHING: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `progress`, then `result` or `error`.",
        "content": events_content({"progress": Progress, "result": Published, "error": Problem}),
    }
}

router = APIRouter(prefix="/v1/versions", tags=["versions"], responses=PROBLEMS)


@router.get("", summary="List the versions")
async def versions(
    _caller: Administering,
    behind: Behind,
    model: ModelOrAll = "",
) -> Overview:
    """What they are and are used as, whether they are loaded, and how the candidate is tried."""
    return await behind.administration.overview(model)


@router.get("/history", summary="What was done with versions")
async def history(
    _caller: Administering,
    behind: Behind,
    model: ModelOrAll = "",
    page_size: Annotated[
        int, Query(ge=1, le=MAX_PAGE, description="Changes on a page.", examples=[10])
    ] = DEFAULT_PAGE,
    page_token: Annotated[
        str, Query(description="The next_page_token of the page before.", examples=[""])
    ] = "",
) -> Page:
    """Who changed what, when and why, the newest first, a page at a time."""
    return await behind.administration.history(model, page_size, page_token)


@router.get("/{model}/diff", summary="Compare two versions")
async def diff(
    model: Model,
    _caller: Administering,
    behind: Behind,
    one: Annotated[Name, Query(examples=["1"])] = "champion",
    other: Annotated[Name, Query(examples=["2"])] = "candidate",
) -> Comparison:
    """Where the manifests of two versions differ."""
    return await behind.administration.compared(model, one, other)


@router.post(
    "/{model}/publish",
    summary="Publish a version",
    response_class=Response,
    responses=PUBLISHING,
    openapi_extra=request_body(PublishRequest, {JSON: {"source": "new", "why": EXAMPLE_WHY}}),
)
async def publish(
    request: Request, model: Model, caller: Administering, behind: Behind
) -> Response:
    """Make an engine the next version, and the candidate.

    It is checked, copied and tried beside the champion. Answers with server-sent events: `progress`
    (what is done, and how many bytes of how many), then `result` as promoting answers, or `error`.
    Ends when its client leaves, until it is put in place, and nothing of it is left then.
    """
    sent = await body_of(request, PublishRequest, JSON)
    work = behind.administration.publish(caller, model, **sent.model_dump())

    def body(found: Step | Outcome) -> Progress | Published:
        return Progress(found) if isinstance(found, Step) else Published(found)

    return await steps_of(work, body, request.receive)


@router.post(
    "/canary",
    summary="Try the candidate",
    openapi_extra=request_body(
        CanaryRequest, {JSON: {"share": 0.1, "force": True, "why": EXAMPLE_WHY}}
    ),
)
async def set_canary(request: Request, caller: Administering, behind: Behind) -> Outcome:
    """Make a share of the renders with the candidate. Without any share, that ends."""
    sent = await body_of(request, CanaryRequest, JSON)
    bounds = Bounds(**sent.model_dump(include={bound.name for bound in fields(Bounds)}))
    wanted = Canary(share=sent.share, shadow=sent.shadow, why=sent.why, bounds=bounds)
    how = {"force": sent.force, "dry_run": sent.dry_run}
    return await behind.administration.set_canary(caller, wanted, **how)


@router.post(
    "/{model}/promote",
    summary="Promote a version",
    openapi_extra=request_body(
        PromoteRequest, {JSON: {"version": 2, "force": True, "why": EXAMPLE_WHY}}
    ),
)
async def promote(request: Request, model: Model, caller: Administering, behind: Behind) -> Outcome:
    """Make a version the champion, once its gate is passed; renders in flight end as they began."""
    sent = await body_of(request, PromoteRequest, JSON)
    return await behind.administration.promote(caller, model, **sent.model_dump())


@router.post(
    "/{model}/rollback",
    summary="Roll back",
    openapi_extra=request_body(ChangeRequest, {JSON: {"why": "windows too sharp"}}),
)
async def rollback(
    request: Request, model: Model, caller: Administering, behind: Behind
) -> Outcome:
    """Make the previous version the champion again; the champion becomes the previous one."""
    sent = await body_of(request, ChangeRequest, JSON)
    return await behind.administration.rollback(caller, model, **sent.model_dump())


@router.post(
    "/{model}/retire",
    summary="Retire a version",
    openapi_extra=request_body(RetireRequest, {JSON: {"version": 3, "why": "nobody wants it"}}),
)
async def retire(request: Request, model: Model, caller: Administering, behind: Behind) -> Outcome:
    """Remove a version's files, or take from it the alias that keeps it loaded."""
    sent = await body_of(request, RetireRequest, JSON)
    return await behind.administration.retire(caller, model, **sent.model_dump())
