"""The gateway's parts, put together from its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import SecretStr

from gateway.auth.audit import Audit
from gateway.auth.authenticator import Authenticator
from gateway.auth.call_context import CallContext
from gateway.auth.caller import Quota
from gateway.auth.keys import KeyStore
from gateway.auth.keysets import following
from gateway.auth.limits import Limits
from gateway.auth.tokens import Key, Tokens, read_public_key
from gateway.doors.parts import Parts
from gateway.information import Information, exported
from gateway.renders.registry import Renders
from gateway.rollout.administration import Administration
from gateway.rollout.publish_sources import Sources
from gateway.rollout.replica import Replica
from gateway.rollout.vector_cleanup import forgetting
from gateway.settings import Settings
from gateway.telemetry import logs
from gateway.telemetry.metrics import Metrics
from gateway.triton.connection import connect
from gateway.triton.inference import Inference
from gateway.version import VERSION
from gateway.worker.admission import Admission
from gateway.worker.decoding import PictureDecoder
from gateway.worker.moderation import (
    DeniedHashes,
    DeniedWords,
    Moderation,
    Moderator,
    SafetyChecker,
    load_moderator,
)
from gateway.worker.service import Service
from pipeline import topology
from pipeline.pinned_versions import EXPORTED
from retrieval.library import open_library
from versions import aliases
from versions.repositories import LocalRepository, ObjectStoreRepository, Repository

MEGABYTE = 1_000_000


@asynccontextmanager
async def assembled(settings: Settings) -> AsyncIterator[Parts]:
    """Everything behind the doors, for the block.

    Raises:
        MaquetteError: a part cannot be had; says which and what to do.
    """
    async with AsyncExitStack() as held:
        metrics = Metrics(VERSION)
        limits = Limits(_plain(settings.redis_url))
        held.push_async_callback(limits.close)
        tokens = await held.enter_async_context(_tokens(settings))
        desk = CallContext(_authenticator(settings, limits, tokens), metrics, _audit(settings))
        if desk.audit:
            held.callback(desk.audit.close)
        inference = await held.enter_async_context(
            connect(
                settings.triton,
                settings.stall_seconds,
                settings.probe_seconds,
                metrics.mended,
                settings.repository,
                settings.hang_seconds,
            )
        )
        repository = _repository(settings)
        library = await held.enter_async_context(
            open_library(
                settings.library,
                settings.qdrant_url,
                _plain(settings.qdrant_api_key),
                _champion_clip(settings),
                topology.from_facts(exported(repository)).clip_dim,
            )
        )
        await held.enter_async_context(inference.served_versions.following(library))
        if settings.repository:
            await held.enter_async_context(forgetting(settings.repository, library))
        admission = Admission(settings.max_running, settings.max_waiting)
        metrics.watch(lambda: admission.waiting, lambda: admission.running)
        replica = Replica(repository) if isinstance(repository, ObjectStoreRepository) else None
        if replica:
            await held.enter_async_context(replica.following())
        decoder = PictureDecoder()
        await decoder.start()
        service = Service(
            inference,
            library,
            admission,
            _moderation(settings, inference),
            embed_sketch=settings.embed_sketch,
            decoder=decoder,
            repository=repository,
            painted_by=metrics.painted,
        )
        held.push_async_callback(service.close)
        keep_bytes = settings.keep_megabytes * MEGABYTE
        renders = Renders(service, limits, desk, settings.keep_seconds, keep_bytes)
        information = Information(inference, lambda: replica.problem if replica else "", repository)
        administration = Administration(
            repository,
            desk,
            inference,
            information,
            library,
            Sources(settings.incoming, settings.publish_sources),
            lambda: service.canary_counts,
        )
        # Made last and closed first: what is changing needs the others to the end.
        held.push_async_callback(administration.close)
        yield Parts(desk, inference, service, renders, information, administration)


def _repository(settings: Settings) -> Repository | None:
    """What versions are looked at and changed in."""
    if settings.repository is None:
        return None
    if settings.repository_url:
        return ObjectStoreRepository(settings.repository_url, settings.repository)
    return LocalRepository(settings.repository)


def _champion_clip(settings: Settings) -> int:
    """The version of the CLIP pair whose vectors are to serve."""
    if settings.repository is None:
        return EXPORTED
    return aliases.read(settings.repository).champion(aliases.CLIP[0])


def _authenticator(settings: Settings, limits: Limits, tokens: Tokens | None) -> Authenticator:
    quota = Quota(
        calls_per_minute=settings.calls_per_minute,
        renders_per_minute=settings.renders_per_minute,
        renders_at_once=settings.renders_at_once,
        renders_per_day=settings.renders_per_day,
    )
    keys = KeyStore(settings.keys)
    return Authenticator(limits, quota, keys, tokens, required=settings.auth_required)


@asynccontextmanager
async def _tokens(settings: Settings) -> AsyncIterator[Tokens | None]:
    """What checks tokens, for the block; None where none are taken."""
    async with AsyncExitStack() as held:
        key: Key | None = None
        if settings.jwt_secret is not None:
            key = settings.jwt_secret.get_secret_value().encode()
        elif settings.jwt_public_key is not None:
            key = read_public_key(settings.jwt_public_key)
        elif settings.jwt_keys_url is not None:
            key = await held.enter_async_context(following(settings.jwt_keys_url))
        if key is None or settings.jwt_audience is None:
            yield None
            return
        yield Tokens(key, settings.jwt_audience, settings.jwt_issuer, settings.jwt_scope_prefix)


def _audit(settings: Settings) -> Audit | None:
    if settings.audit is None:
        return None
    return Audit(settings.audit, logs.request_id.get, prompts=settings.audit_prompts)


def _moderation(settings: Settings, inference: Inference) -> Moderation:
    moderators: list[Moderator] = []
    if settings.denied_words:
        moderators.append(DeniedWords(settings.denied_words))
    if settings.denied_hashes:
        moderators.append(DeniedHashes(settings.denied_hashes))
    moderators += [load_moderator(hook) for hook in settings.moderators]
    # Last, because it is the only one that costs something.
    moderators.append(SafetyChecker(inference.check_image))
    return Moderation(moderators, settings.moderation_seconds)


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
