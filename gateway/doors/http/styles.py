"""/v1/styles: the style library."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict, Field
from starlette.convertors import StringConvertor, register_url_convertor

from gateway.doors.http.bodies import Body, body_of, model_of
from gateway.doors.http.dependencies import Behind, Curating, Known, PageSize, PageToken
from gateway.doors.http.forms import FORM
from gateway.doors.http.openapi import PROBLEMS, png, request_body
from gateway.doors.http.schemas import THUMBNAIL, AddedBody, Found, Scored, StyleBody, StylePage
from gateway.doors.paging import DEFAULT_LIMIT, DEFAULT_PAGE, MAX_LIMIT
from gateway.doors.validation import called
from pipeline.images import MAX_SIDE, MIN_SIDE
from pipeline.request import FIELDS as RENDER_FIELDS
from retrieval.styles import MAX_NAME, STYLE_FIELDS, NewStyle

PROMPT, FILTER = RENDER_FIELDS["prompt"], RENDER_FIELDS["style_filter"]
EXAMPLE_NAME, EXAMPLE_ID = "Winter dusk", "winter-dusk"


class _Named(Body):
    model_config = ConfigDict(
        json_schema_extra=lambda schema: schema["properties"]["name"].update(pattern="[0-9A-Za-z]")
    )


StyleForm = model_of("StyleForm", STYLE_FIELDS, _Named)

Identity = Annotated[str, Path(description="The style's id or name.", examples=[EXAMPLE_ID])]


class _NotSearch(StringConvertor):
    """A part of a path, but for the one that is another route's."""

    regex = "(?!search$)[^/]+"


register_url_convertor("style", _NotSearch())
Size = Annotated[
    int | None,
    Query(
        ge=MIN_SIDE, le=MAX_SIDE, examples=[THUMBNAIL],
        description="Longest side in pixels of a smaller picture; the stored one by default.",
    ),
]  # fmt: skip
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Styles at most.", examples=[3])]

router = APIRouter(prefix="/v1/styles", tags=["styles"], responses=PROBLEMS)


@router.get("", summary="List the styles")
async def page(
    _caller: Known,
    behind: Behind,
    page_size: PageSize = DEFAULT_PAGE,
    page_token: PageToken = "",
) -> StylePage:
    """The library in the order of ids, a page at a time."""
    found = await behind.service.library.page(page_size, page_token or None)
    styles = [StyleBody.of(style) for style in found.styles]
    return StylePage(styles=styles, next_page_token=found.next_id or "")


@router.post(
    "",
    summary="Add a style",
    response_model=AddedBody,
    status_code=HTTPStatus.CREATED,
    responses={200: {"model": AddedBody, "description": "The library had it already."}},
    openapi_extra=request_body(StyleForm, {FORM: {"name": EXAMPLE_NAME, "tags": ["winter"]}}),
)
async def add(request: Request, response: Response, caller: Curating, behind: Behind) -> AddedBody:
    """Add a picture to the library. Adding the same one again changes nothing."""
    sent = (await body_of(request, StyleForm, FORM)).model_dump()
    with behind.desk.noting(caller, "add_style", style=sent["name"][:MAX_NAME]) as ids:
        done = await behind.service.add_style(NewStyle(**sent))
        ids["style"] = done.style.id
    response.status_code = HTTPStatus.CREATED if done.added else HTTPStatus.OK
    response.headers["Location"] = f"/v1/styles/{done.style.id}"
    return AddedBody(**dict(StyleBody.of(done.style)), warnings=done.warnings)


@router.get("/search", summary="Find styles")
async def search(
    _caller: Known,
    behind: Behind,
    q: Annotated[
        str,
        Query(
            description=f"1 to {PROMPT.max_length} characters.",
            examples=["snow at dusk"],
            json_schema_extra={**PROMPT.bounds},
        ),
    ],
    limit: Limit = DEFAULT_LIMIT,
    tag: Annotated[
        list[Annotated[str, Field(json_schema_extra={**FILTER.bounds})]],
        Query(
            description="Tags that a style must all have; repeatable.",
            json_schema_extra={**FILTER.item_bounds},
        ),
    ] = [],  # noqa: B006 - FastAPI makes a new one for each call
) -> Found:
    """The styles nearest to a sentence, nearest first."""
    with called({"prompt": "q", "style_filter": "tag"}):
        PROMPT.check(q)
        found, _, _ = await behind.service.search(q, tuple(tag), limit)
    return Found(styles=[Scored.of(style) for style in found])


@router.get("/{id:style}", summary="One style")
async def get(id: Identity, _caller: Known, behind: Behind) -> StyleBody:  # noqa: A002
    """What the library says of one style."""
    return StyleBody.of(await behind.service.library.get(id))


@router.get("/{id}/similar", summary="Styles like this one")
async def similar(
    id: Identity,  # noqa: A002
    _caller: Known,
    behind: Behind,
    limit: Limit = DEFAULT_LIMIT,
) -> Found:
    """The other styles whose pictures are nearest to this one's, nearest first."""
    found = await behind.service.library.similar(id, limit)
    return Found(styles=[Scored.of(style) for style in found])


@router.get(
    "/{id}/image",
    summary="A style's picture",
    response_class=Response,
    responses={**png("The picture", ETag="Send it in If-None-Match: 304 when it is still so.")},
)
async def image(
    request: Request,
    id: Identity,  # noqa: A002
    _caller: Known,
    behind: Behind,
    size: Size = None,
) -> Response:
    """The style's picture as PNG, scaled down when a size is given."""
    style = await behind.service.library.get(id)
    tag = f'"{style.sha256}-{size}"' if size else f'"{style.sha256}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if _holds(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    picture = await behind.service.picture(style, size)
    return Response(picture, headers=headers, media_type="image/png")


@router.delete("/{id:style}", summary="Remove a style")
async def remove(id: Identity, caller: Curating, behind: Behind) -> StyleBody:  # noqa: A002
    """Take a style out of the library; tells what was taken out."""
    with behind.desk.noting(caller, "remove_style", style=id[:MAX_NAME]) as ids:
        style = await behind.service.library.remove(id)
        ids["style"] = style.id
    return StyleBody.of(style)


def _holds(if_none_match: str, tag: str) -> bool:
    sent = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return tag in sent or "*" in sent
