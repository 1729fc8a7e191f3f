"""What the gateway writes to its log: lines for people, or JSON for a log store."""

from __future__ import annotations

import logging
import re
import sys
from contextvars import ContextVar
from typing import Any, Literal, TextIO

from opentelemetry import trace
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the call that is being answered."""

TEXT = "%(asctime)s %(levelname)s %(message)s"
JSON = ("levelname", "name", "message")
NAMES = {"levelname": "level", "name": "logger", "exc_info": "exception"}

SECRET = re.compile(r"mqt_[\w-]+|(?<=bearer )[\w.~+/=-]+", re.IGNORECASE)
"""API keys, and what follows ``Bearer``."""
MASK = "***"

UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access")
QUIET = ("httpx", "uvicorn.access")
"""Those that have a line for every call; metrics and the audit log count calls."""


class TextFormatter(logging.Formatter):
    """A line for people, with the request id at its end."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        line = super().formatMessage(record)
        known = request_id.get()
        return f"{line} [{known}]" if known else line

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


class JsonLines(JsonFormatter):
    """A JSON object on a line: time, level, logger, message, and where in which call."""

    def __init__(self) -> None:
        # uvicorn says everything twice, once with colours.
        unwanted = (*RESERVED_ATTRS, "color_message")
        super().__init__(JSON, timestamp="time", rename_fields=NAMES, reserved_attrs=unwanted)

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        if known := request_id.get():
            log_data["request_id"] = known
        place = trace.get_current_span().get_span_context()
        if place.is_valid:
            log_data["trace_id"] = trace.format_trace_id(place.trace_id)
            log_data["span_id"] = trace.format_span_id(place.span_id)

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def masked(text: str) -> str:
    """`text` without keys and tokens: they are never logged on purpose, but messages quote."""
    return SECRET.sub(MASK, text)


def configure(log_format: Literal["text", "json"], stream: TextIO | None = None) -> None:
    """Send every logger of the process, uvicorn's too, to one handler.

    Args:
        stream: where to write; standard error when None.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextFormatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
