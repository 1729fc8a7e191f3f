"""The gateway's settings, read from the environment once."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Each field is the environment variable ``MAQUETTE_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="MAQUETTE_", frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address the gateway listens on.")
    port: int = Field(default=8033, ge=1, le=65535, description="Its gRPC port.")
    triton: str = Field(default="127.0.0.1:8001", description="Triton's gRPC address.")
    library: Path = Field(default=Path("var/library"), description="Folder of the style library.")
    qdrant_url: str | None = Field(default=None, description="A Qdrant server, if not embedded.")
    qdrant_api_key: SecretStr | None = Field(default=None, description="Its API key.")
    max_running: int = Field(default=8, ge=1, description="Renders in flight; more wait.")
    max_waiting: int = Field(default=32, ge=0, description="More than these are refused.")
    stall_seconds: float = Field(default=600, gt=0, description="Silence of Triton to put up with.")
    grace_seconds: float = Field(default=10, ge=0, description="For renders to end at shutdown.")
