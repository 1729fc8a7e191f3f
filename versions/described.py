"""Value objects that leave the process as JSON: by the command line, and through the HTTP door."""

from __future__ import annotations

from typing import ClassVar


class Described:
    """A dataclass whose fields' docstrings describe them in OpenAPI, too."""

    # A setting of Pydantic's, which is not installed wherever versions are looked at.
    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True}
