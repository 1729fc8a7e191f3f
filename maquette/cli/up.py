"""``maquette up``: Triton and the gateway, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from gateway.auth.caller import Scope
from gateway.auth.keys import KeyStore
from gateway.settings import Settings, read
from maquette import running
from maquette.cli.common import console, errors, fail, in_markup, note
from maquette.cli.models.options import progress
from maquette.cli.style_folders import find_pictures
from maquette.cli.styles import add_all
from maquette.client import CallFailed, connect
from maquette.paths import BUNDLED_MODELS, EXAMPLE_STYLES, MODEL_REPOSITORY, STATE
from maquette.running import Running
from pipeline.errors import MaquetteError, Unavailable
from serving import stack
from serving.stack import Options, Stack
from versions.copies import copy_own_files
from versions.repositories import ObjectStoreRepository, opened

HTTP_PORT = 8034
WATCH_SECONDS = 0.2
OWN_KEY_LIFETIME = timedelta(minutes=10)
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    host: Annotated[str, typer.Option(help="Address the gateway listens on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="The gateway's gRPC port; 0 takes a free one.", min=0, max=65535)
    ] = 8033,
    http_port: Annotated[
        int, typer.Option(help="The gateway's HTTP port; 0 takes a free one.", min=0, max=65535)
    ] = HTTP_PORT,
    repository: Annotated[
        str,
        typer.Option(
            envvar="MAQUETTE_REPOSITORY",
            help="Triton's model repository: a folder, or s3://bucket/prefix.",
        ),
    ] = str(MODEL_REPOSITORY),
    state: Annotated[
        Path,
        typer.Option(
            envvar="MAQUETTE_STATE", help="Folder for logs, API keys and the style library."
        ),
    ] = STATE,
    bundled_styles: Annotated[
        bool, typer.Option(help="Fill an empty library with the bundled styles.")
    ] = True,
) -> None:
    """Start Triton and the gateway, and serve until Ctrl-C.

    Whichever of the two ends or hangs before that is started again. Triton listens to its owner
    only; the gateway is the door. Logs and the style library are in the state folder, and so is the
    copy of a repository that lies in an object store; the gateway keeps it up with what others
    change there.
    """
    # Logs name people, and the library is what they drew with: for nobody else on this machine.
    os.umask(0o077)
    try:
        # Where the versions are is told the gateway as a folder, and the store that it copies.
        settings = read(host=host, repository=None, repository_url=None)
        keys = settings.keys if "keys" in settings.model_fields_set else state / "keys.json"
        folder, store = served_from(repository, state)
        options = Options(
            folder,
            state,
            settings.host,
            port,
            http_port,
            grace_seconds=settings.grace_seconds,
            hang_seconds=settings.hang_seconds,
            tls=settings.tls is not None,
            gateway_settings={"MAQUETTE_KEYS": str(keys), **store},
        )
        with ends_on_signal(), started(options) as serving:
            if bundled_styles:
                with own_key(settings, keys) as key:
                    _fill(serving.near_address, key, settings.tls_certificate)
            here = Running(serving.near_address, str(keys.resolve()), serving.logs)
            with running.recorded(here) as is_found:
                _say_where(serving, here, settings)
                if not is_found:
                    note(f"other commands do not find it: give them --server {here.server}")
                _watch(serving)
    except (MaquetteError, CallFailed, OSError) as error:
        raise fail(error) from error
    except KeyboardInterrupt:
        console.print("maquette is down")


def _say_where(serving: Stack, here: Running, settings: Settings) -> None:
    """Where callers find it, and its operator what it writes."""
    doors = f"{serving.address} (gRPC) and {serving.http_address} (HTTP)"
    console.print("[bold]maquette is up[/bold] at", in_markup(doors), highlight=False)
    ca = f" --ca {shlex.quote(str(settings.tls_certificate))}" if settings.tls_certificate else ""
    scheme = "https" if settings.tls else "http"
    how = {
        "studio": f"{scheme}://{serving.http_address}/",
        "render": f'maquette render SKETCH "PROMPT" --server {here.server}{ca}',
        "keys": f"{here.keys}{'' if settings.auth_required else ' (nobody is asked for one)'}",
        "logs": here.logs,
    }
    for name, value in how.items():
        console.print(f"  {name:<7} {value}", markup=False, highlight=False, soft_wrap=True)
    console.print("  Ctrl-C ends it.")


def served_from(location: str, state: Path) -> tuple[Path, dict[str, str]]:
    """The folder that Triton loads, and the gateway's settings for the store that it is a copy of.

    A store has what an export and publishing wrote. Triton's Python models and configs are this
    product's own, whatever made the store. While the store is away, what it was last serves.

    Raises:
        MaquetteError: the store cannot be had, and there is no whole copy of it.
    """
    repository = opened(location, state / "repository")
    if not isinstance(repository, ObjectStoreRepository):
        return repository.folder, {"MAQUETTE_REPOSITORY_URL": ""}
    try:
        with progress() as report:
            repository.pull(report)
    except Unavailable as error:
        if not repository.is_whole:
            raise
        note(f"{error} It starts with the copy in {repository.folder}, as the store was last.")
    copy_own_files(BUNDLED_MODELS, repository.folder)
    return repository.folder, {"MAQUETTE_REPOSITORY_URL": location}


@contextmanager
def started(options: Options) -> Iterator[Stack]:
    """The running stack, with a line that tells what is being waited for."""
    with ExitStack() as held:
        with errors.status("starting") as status:
            serving = held.enter_context(
                stack.running(options, report=lambda what: status.update(f"starting {what}"))
            )
        try:
            yield serving
        finally:
            seconds = f"{options.grace_seconds:g} s"
            with errors.status(f"stopping, once the running renders are done, or after {seconds}"):
                held.close()


@contextmanager
def ends_on_signal() -> Iterator[None]:
    """Within the block every ending signal raises KeyboardInterrupt, so that all is stopped."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Stopping is under way from here on; a second signal must not break it off half-way.
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in ENDINGS}
    for number, handler in before.items():
        # `nohup` ignores SIGHUP, and that is to stay so.
        if number != signal.SIGHUP or handler != signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def own_key(settings: Settings, keys: Path) -> Iterator[str | None]:
    """An API key of our own for the block; None where callers are not asked for one."""
    if not settings.auth_required:
        yield None
        return
    store = KeyStore(keys)
    key, secret = store.create("maquette up", {Scope.STYLES}, OWN_KEY_LIFETIME)
    try:
        yield secret
    finally:
        store.revoke(key.id)


def _fill(address: str, key: str | None, certificate: Path | None) -> None:
    try:
        fill_empty_library(address, key, certificate)
    except CallFailed as error:
        if certificate is None:
            raise
        # A certificate need not be for the address that is bound here.
        note(
            f"no bundled styles were added ({error}) Add some with "
            f"`maquette styles add {shlex.quote(str(EXAMPLE_STYLES))}`."
        )


def fill_empty_library(address: str, key: str | None = None, ca: Path | None = None) -> None:
    """Add the bundled styles to a library that has none."""
    with connect(address, key, ca) as client:
        if next(client.styles(), None) is None:
            added, failures = add_all(client, find_pictures([EXAMPLE_STYLES]).entries)
            for path, reason in failures:
                raise CallFailed(f"The bundled style {path.name} was not added: {reason}")
            console.print(f"added the {added} bundled styles to the empty library")


def _watch(serving: Stack) -> None:
    while True:
        time.sleep(WATCH_SECONDS)
        serving.watch(lambda sentence: console.print(sentence, highlight=False))
