"""Served models whose process has died, and how they come back.

Triton gives each Python model a process of its own, and on a CPU each network too. When one dies,
Triton goes on saying that the model is ready, fails every request to it, and starts the process
again only when the model is loaded anew. Ensembles around it follow by themselves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tritonclient.grpc import aio as triton
from tritonclient.utils import InferenceServerException

from pipeline.errors import Unavailable

ASK_SECONDS = 5.0
MARK = "mended"
LOAD_SECONDS = 120.0
"""For the largest network, on a CPU."""

DEAD = re.compile(r"Stub process '(?P<model>.+?)_\d+_\d+' is not healthy")
AWAY = re.compile(
    r"Model '.+' is not ready|has no available versions|Server is stopping|Server not ready"
    r"|unknown model"
)
"""What callers of a model, or of an ensemble around it, are told while it is not loaded."""

log = logging.getLogger("maquette.gateway")


class Recovery:
    """Loads models anew whose process has died, each once however many calls failed over it.

    Args:
        client: of the Triton that serves them.
        on_mended: told the name of each model that is back.
        retry_seconds: after which a model that did not load is tried again.
    """

    def __init__(
        self,
        client: triton.InferenceServerClient,
        on_mended: Callable[[str], None] = lambda _model: None,
        retry_seconds: float = 5.0,
    ) -> None:
        self.mended: Counter[str] = Counter()
        """How often each model came back."""
        self.loading = asyncio.Lock()
        """Held while a model is loaded, so that no two load the same one with two configs."""
        self._client = client
        self._on_mended = on_mended
        self._retry_seconds = retry_seconds
        self._dead: set[str] = set()
        self._mending: dict[str, asyncio.Task[None]] = {}
        self._mended_at: dict[str, float] = {}

    @property
    def healthy(self) -> bool:
        """Whether no model is known to be dead."""
        return not self._dead

    def is_dead(self, model: str) -> bool:
        """Whether `model` is known to be dead and not mended yet."""
        return model in self._dead

    @staticmethod
    def dead_model(message: str) -> str | None:
        """The model whose process has died, when that is what Triton's `message` says."""
        found = DEAD.search(message)
        return found["model"] if found else None

    def diagnose(self, message: str, since: float) -> str | None:
        """The model whose death explains `message`, and which is being mended from now on.

        Args:
            message: Triton's, about a call that failed.
            since: when that call last got anywhere, by ``time.monotonic``. It tells a call that met
                a process which has been replaced meanwhile.
        """
        dead = self.dead_model(message)
        if dead is None:
            return self.missed(since) if AWAY.search(message) else None
        if since >= self._mended_at.get(dead, -math.inf):
            self._dead.add(dead)
            self._begin(dead)
        return dead

    def missed(self, since: float) -> str | None:
        """A model that is dead, or was at some time after `since`."""
        lately = (model for model, at in self._mended_at.items() if at > since)
        return next(iter(self._dead), None) or next(lately, None)

    async def reload(self, model: str) -> None:
        """Return when `model`, whose death :meth:`diagnose` has found, serves again.

        Raises:
            Unavailable: it could not be loaded; it will be tried again.
        """
        if self.is_dead(model):
            await asyncio.shield(self._begin(model))

    def close(self) -> None:
        """Leave everything as it is."""
        self._dead.clear()
        for task in self._mending.values():
            task.cancel()

    def _begin(self, model: str) -> asyncio.Task[None]:
        if model not in self._mending:
            task = asyncio.create_task(self._reload(model), name=f"reload {model}")
            self._mending[model] = task
            task.add_done_callback(lambda done: self._ended(model, done))
        return self._mending[model]

    def _ended(self, model: str, task: asyncio.Task[None]) -> None:
        del self._mending[model]
        failed = not task.cancelled() and task.exception()
        if failed and model in self._dead:
            asyncio.get_running_loop().call_later(self._retry_seconds, self._retry, model)

    def _retry(self, model: str) -> None:
        if model in self._dead:
            self._begin(model)

    async def _reload(self, model: str) -> None:
        started = time.monotonic()
        try:
            async with self.loading:
                config = await self._client.get_model_config(
                    model, as_json=True, client_timeout=ASK_SECONDS
                )
                await self._client.load_model(
                    model, config=_marked(config["config"]), client_timeout=LOAD_SECONDS
                )
        except InferenceServerException as error:
            if "UNAVAILABLE" in str(error.status()):
                # Triton itself is gone, and comes back with all of its models.
                self._dead.discard(model)
            log.error("the process of the model %s died and stays away: %s", model, error.message())
            raise Unavailable(f"The model {model} does not come up. Try again shortly.") from error
        self._dead.discard(model)
        self._mended_at[model] = time.monotonic()
        self.mended[model] += 1
        self._on_mended(model)
        log.warning("the process of the model %s died; mended in %.1f s", model,
                    time.monotonic() - started)  # fmt: skip


def _marked(config: dict[str, Any]) -> str:
    """`config`, which need not be the one in the model's folder, with a mark that is new.

    Triton leaves a model alone that is to be loaded as it is. One that differs is loaded beside the
    dead one, takes its place and needs no pause in which it, and the ensembles around it, are away.
    """
    mark = {MARK: {"string_value": str(time.time_ns())}}
    return json.dumps(config | {"parameters": config.get("parameters", {}) | mark})
