"""The gateway's settings, read from the environment once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from pipeline.addresses import bare, is_loopback
from pipeline.errors import Unavailable

OTHER_CALLS = 64
"""Calls beside renders (styles, health) that may be in progress."""

GROUPS = {
    "host": "Where it listens, and what it stands on",
    "max_running": "How much at once, and for how long",
    "auth": "Who may call",
    "calls_per_minute": "How much of it, for each caller who has a key or token",
    "denied_words": "What may be rendered, and what is written down",
    "log_format": "Logs and traces",
}
"""Headings for readers, by the first field of each group."""


def _host(given: str) -> str:
    try:
        return bare(given)
    except ValueError as error:
        raise ValueError("allowed: a name or an address, and no port") from error


class Settings(BaseSettings):
    """Each field is the environment variable ``MAQUETTE_<FIELD>``."""

    model_config = SettingsConfigDict(
        env_prefix="MAQUETTE_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    host: Annotated[str, AfterValidator(_host)] = Field(
        default="127.0.0.1", description="Address the gateway listens on, such as ::1."
    )
    port: int = Field(default=8033, ge=1, le=65535, description="Its gRPC port.")
    http_port: int = Field(default=8034, ge=0, le=65535, description="Its HTTP port; 0: no HTTP.")
    tls_certificate: Path | None = Field(default=None, description="PEM file: serve TLS with it.")
    tls_key: Path | None = Field(default=None, description="PEM file of its private key.")
    triton: str = Field(
        default="127.0.0.1:8001", description="Triton's gRPC address: host:port or unix:PATH."
    )
    triton_metrics: str = Field(default="", description="Triton's metrics: host:port or unix:PATH.")
    library: Path = Field(default=Path("var/library"), description="Folder of the style library.")
    repository: Path | None = Field(
        default=None, description="Triton's model repository, to follow its versions."
    )
    repository_url: str | None = Field(
        default=None, description="The store that it is a copy of, as s3://bucket/prefix."
    )
    incoming: Path | None = Field(
        default=None, description="Folder of engines that may be published through a door."
    )
    publish_sources: list[str] = Field(
        default=[], description="What other addresses of engines may begin with: `s3://engines/`."
    )
    qdrant_url: str | None = Field(default=None, description="A Qdrant server, if not embedded.")
    qdrant_api_key: SecretStr | None = Field(default=None, description="Its API key.")

    max_running: int = Field(default=8, ge=1, description="Renders in flight; more wait.")
    # Fewer than half of those that run: what waits takes at most half as long again, and who is
    # refused knows at once.
    max_waiting: int = Field(default=3, ge=0, description="More than these are refused.")
    keep_seconds: float = Field(default=900, ge=0, description="How long a result can be fetched.")
    keep_megabytes: int = Field(default=256, ge=0, description="For results that are kept.")
    stall_seconds: float = Field(default=600, gt=0, description="Silence of Triton to put up with.")
    probe_seconds: float = Field(default=5, ge=0, description="Between trials of idle models.")
    hang_seconds: float = Field(
        default=30, ge=0, description="Silence after which a process is started again; 0: never."
    )
    heartbeat: Path | None = Field(
        default=None, description="File to touch each second, for who watches over it."
    )
    grace_seconds: float = Field(default=60, ge=0, description="For renders to end at shutdown.")

    auth: Literal["off", "required"] | None = Field(
        default=None, description="Off on loopback and required elsewhere, unless set."
    )
    keys: Path = Field(default=Path("var/keys.json"), description="File of the API keys' hashes.")
    jwt_secret: SecretStr | None = Field(default=None, description="Of tokens signed with HS256.")
    jwt_public_key: Path | None = Field(default=None, description="PEM file, for RS256 and others.")
    jwt_keys_url: str | None = Field(
        default=None, description="Or the URL of the issuer's key set (JWKS), followed."
    )
    jwt_issuer: str | None = Field(default=None, description="The iss that tokens must have.")
    jwt_audience: str | None = Field(
        default=None, description="The aud that tokens must have; needed with tokens."
    )
    jwt_scope_prefix: str = Field(
        default="maquette:", description="Before render, styles and admin in a token's scopes."
    )
    cors_origins: list[str] = Field(default=[], description="Origins of pages that may call.")

    calls_per_minute: int = Field(default=600, ge=1, description="Of any kind.")
    renders_per_minute: int = Field(default=10, ge=1, description="Renders begun.")
    renders_at_once: int = Field(default=4, ge=1, description="Waiting or running.")
    renders_per_day: int = Field(default=1000, ge=1, description="Renders begun.")
    redis_url: SecretStr | None = Field(default=None, description="Share the counts through it.")

    denied_words: Path | None = Field(default=None, description="File of words, one on a line.")
    denied_hashes: Path | None = Field(default=None, description="File of sha256, one on a line.")
    moderators: list[str] = Field(default=[], description="Hooks, as package.module:factory.")
    moderation_seconds: float = Field(default=5, gt=0, description="A hook's time to decide.")
    audit: Path | None = Field(default=None, description="File of the audit log; none: no log.")
    audit_prompts: bool = Field(default=False, description="Write prompts, not their hashes.")
    embed_sketch: bool = Field(default=True, description="And style_images, into the picture.")

    log_format: Literal["text", "json"] = Field(default="text", description="Of the log.")
    otlp_endpoint: str | None = Field(default=None, description="Where traces go, over gRPC.")

    @property
    def auth_required(self) -> bool:
        """Whether callers must say who they are."""
        return self.auth == "required" if self.auth else not is_loopback(self.host)

    @property
    def tls(self) -> tuple[Path, Path] | None:
        """PEM files of the certificate and its key."""
        if self.tls_certificate and self.tls_key:
            return self.tls_certificate, self.tls_key
        return None

    @property
    def max_calls(self) -> int:
        """In progress at each door, of any kind."""
        return self.max_running + self.max_waiting + OTHER_CALLS

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("a TLS certificate and its key come together")
        if str(self.repository).startswith("s3:"):
            raise ValueError("a repository in a store is named by MAQUETTE_REPOSITORY_URL")
        if self.repository_url and not self.repository:
            raise ValueError("a repository's store needs a folder for its copy")
        keys = [self.jwt_secret, self.jwt_public_key, self.jwt_keys_url]
        if sum(key is not None for key in keys) > 1:
            raise ValueError("tokens have one of a secret, a public key and a key set")
        if any(keys) and not self.jwt_audience:
            raise ValueError(
                "tokens need MAQUETTE_JWT_AUDIENCE, or those of other applications would count"
            )
        if self.http_port == self.port:
            raise ValueError("gRPC and HTTP need a port each")
        return self


def read(**given: object) -> Settings:
    """The settings in the environment; what is `given` wins.

    Raises:
        Unavailable: one is wrong; says which, and what to do.
    """
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise Unavailable(_in_words(error)) from error
    except SettingsError as error:
        raise Unavailable(f'{error}. A list is written as JSON: ["a", "b"].') from error


def _in_words(error: ValidationError) -> str:
    wrong = error.errors(include_url=False)[0]
    why = wrong["msg"].removeprefix("Value error, ")
    if not wrong["loc"]:
        return f"The settings do not fit together: {why}."
    variable = f"MAQUETTE_{str(wrong['loc'][0]).upper()}"
    return f"{variable} is {wrong['input']!r}: {why}. Set it right, or unset it."
