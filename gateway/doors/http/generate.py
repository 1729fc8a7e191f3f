"""/generate: a sketch and a sentence in, a PNG out."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request, Response

from gateway.doors.http.dependencies import Behind, Rendering
from gateway.doors.http.events import finished
from gateway.doors.http.forms import FORM, called, read, render_request
from gateway.doors.http.openapi import (
    CALL_FIELDS,
    EXAMPLE,
    IN_A_FORM,
    PROBLEMS,
    form,
    png,
    render_fields,
)
from gateway.doors.http.renders import asked_of
from gateway.renders.render import Render
from gateway.worker.events import Finished
from pipeline.errors import InvalidRequest

TOLD = {
    "X_Retrieved_Style": "Id of the style; absent when style_images were sent.",
    "X_Style_Score": "Cosine similarity of prompt and style; absent when nothing was compared.",
    "X_Seed": "Repeats the render.",
    "X_Structure_F1": "F1 of the picture's edges against the sketch's, 0 to 1.",
    "X_Render_Id": "Looks the render up at /v1/renders/{id}.",
    "X_Warnings": "A JSON list of sentences; absent when there is none.",
}
HEADERS = tuple(name.replace("_", "-") for name in TOLD)

_FIELDS = render_fields(IN_A_FORM)
_FIELDS = {"file": _FIELDS.pop("sketch"), **_FIELDS, **CALL_FIELDS}
_FIELDS["num_images"] = {**_FIELDS["num_images"], "maximum": 1}

router = APIRouter(tags=["renders"], responses=PROBLEMS)


@router.post(
    "/generate",
    summary="Render to a PNG",
    response_class=Response,
    responses=png("The picture", **TOLD),
    openapi_extra=form(_FIELDS, ["file", "prompt"], EXAMPLE),
)
async def generate(request: Request, caller: Rendering, behind: Behind) -> Response:
    """Render a sketch (`file`) and answer with the picture; the headers tell how it came about."""
    sent = await read(request, FORM)
    if "sketch" in sent:
        raise InvalidRequest("sketch", sent["sketch"][0], "the field file", "Call it file here.")
    if "file" not in sent:
        raise InvalidRequest("file", b"", "a PNG, JPEG or WebP file", "Send the sketch in it.")
    with called({"sketch": "file"}):
        sent["sketch"] = sent.pop("file")
        wanted = await render_request(sent)
        if wanted.num_images != 1:
            remedy = "POST /v1/renders makes several."
            raise InvalidRequest("num_images", wanted.num_images, "1 on this route", remedy)
        render = await behind.renders.begin(wanted, caller, asked_of(request, sent))
        result = await finished(render, request.receive)
    return Response(
        result.pictures[0].png, headers=_headers(render, result), media_type="image/png"
    )


def _headers(render: Render, result: Finished) -> dict[str, str]:
    picture, chosen = result.pictures[0], result.chosen
    told = {
        "X-Seed": str(picture.seed),
        "X-Structure-F1": f"{picture.structure_f1:.4f}",
        "X-Render-Id": render.id,
    }
    if chosen:
        told["X-Retrieved-Style"] = chosen.style.id
    if chosen and chosen.score is not None:
        told["X-Style-Score"] = f"{chosen.score:.4f}"
    if result.warnings:
        # JSON escapes what a header cannot carry.
        told["X-Warnings"] = json.dumps(result.warnings)
    return told
