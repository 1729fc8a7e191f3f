"""/generate: a sketch and a sentence in, a PNG out."""

from __future__ import annotations

import json
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from gateway.doors.http.bodies import body_of, model_of
from gateway.doors.http.dependencies import Behind, Rendering
from gateway.doors.http.events import finished
from gateway.doors.http.forms import FORM
from gateway.doors.http.openapi import EXAMPLE, PROBLEMS, png, request_body
from gateway.doors.http.submissions import Submission
from gateway.doors.validation import called
from gateway.renders.render import Render
from gateway.worker.events import Finished, flat
from pipeline.errors import InvalidRequest
from pipeline.fields import Range
from pipeline.request import FIELDS

TOLD = {
    "X_Retrieved_Style": "Id of the style, the first of several; absent with style_images.",
    "X_Styles": "Id and weight of each style, such as winter:0.7, photo:0.3.",
    "X_Style_Score": "Cosine similarity of prompt and style; absent when nothing was compared.",
    "X_Seed": "Repeats the render.",
    "X_Structure_F1": "F1 of the picture's edges against the sketch's, 0 to 1.",
    "X_Clip_Score": "Cosine similarity of picture and prompt.",
    "X_Image_Style_Score": "Cosine similarity of picture and references.",
    "X_Attempts": "A JSON list of what was painted; absent without structure_min.",
    "X_Render_Id": "Looks the render up at /v1/renders/{id}.",
    "X_Warnings": "A JSON list of sentences; absent when there is none.",
}
HEADERS = tuple(name.replace("_", "-") for name in TOLD)

_ONE_IMAGE = {"num_images": replace(FIELDS["num_images"], allowed=Range(1, 1))}
GenerateForm = model_of(
    "GenerateForm", {**FIELDS, **_ONE_IMAGE}, Submission, aliases={"sketch": "file"}
)

router = APIRouter(tags=["renders"], responses=PROBLEMS)


@router.post(
    "/generate",
    summary="Render to a PNG",
    response_class=Response,
    responses=png("The picture", **TOLD),
    openapi_extra=request_body(GenerateForm, {FORM: EXAMPLE}),
)
async def generate(request: Request, caller: Rendering, behind: Behind) -> Response:
    """Render a sketch (`file`) and answer with the picture; the headers tell how it came about."""
    sent = await body_of(request, GenerateForm, FORM)
    with called({"sketch": "file"}):
        wanted = sent.render_request()
        if wanted.num_images != 1:
            remedy = "POST /v1/renders makes several."
            raise InvalidRequest("num_images", wanted.num_images, "1 on this route", remedy)
        render = await behind.renders.begin(wanted, caller, sent.options(request))
        result = await finished(render, request.receive)
    return Response(
        result.pictures[0].png, headers=_headers(render, result), media_type="image/png"
    )


def _headers(render: Render, result: Finished) -> dict[str, str]:
    picture, chosen = result.pictures[0], result.chosen
    told = {
        "X-Seed": str(picture.seed),
        "X-Sketch-Kind": result.sketch_kind,
        "X-Render-Id": render.id,
    }
    told |= {
        f"X-{name.replace('_', '-').title()}": f"{score:.4f}"
        for name, score in flat(picture.scores).items()
        if score is not None
    }
    if chosen:
        told["X-Retrieved-Style"] = chosen.first.style.id
        weights = chosen.weights.items()
        told["X-Styles"] = ", ".join(f"{style}:{weight:g}" for style, weight in weights)
    if chosen and chosen.first.score is not None:
        told["X-Style-Score"] = f"{chosen.first.score:.4f}"
    if result.attempts:
        told["X-Attempts"] = json.dumps([vars(one) for one in result.attempts])
    if result.warnings:
        # JSON escapes what a header cannot carry.
        told["X-Warnings"] = json.dumps(result.warnings)
    return told
