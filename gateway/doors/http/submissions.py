"""What a route that renders takes: the fields of a render, and how it is to be begun."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import HTTPConnection

from gateway.doors.http.bodies import Body, Boolean, Text, model_of
from gateway.renders.registry import CALL_FIELDS, SubmitOptions
from pipeline.request import FIELDS, RenderRequest


class Submission(Body):
    """How a render is to be begun. The fields of a render are added from their table."""

    id: Text = Field(
        "",
        description=CALL_FIELDS["id"].help,
        json_schema_extra={"pattern": CALL_FIELDS["id"].pattern},
    )
    keep_running: Boolean = Field(False, description=CALL_FIELDS["keep_running"].help)

    def render_request(self, **changed: Any) -> RenderRequest:
        """The render that is asked for, with the fields in `changed`.

        Raises:
            InvalidRequest: a field is outside its range.
        """
        return RenderRequest(**{name: getattr(self, name) for name in FIELDS} | changed)

    def options(self, request: HTTPConnection, *, keep_running: bool = False) -> SubmitOptions:
        """How it is to be begun, by the body and the headers of `request`.

        Raises:
            InvalidRequest: the id or the key is not acceptable.
        """
        return SubmitOptions(
            id=self.id,
            idempotency_key=request.headers.get("idempotency-key", ""),
            keep_running=self.keep_running or keep_running,
        )


RenderSubmission = model_of("RenderSubmission", FIELDS, Submission)
