"""What commands that measure show while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tritonclient.utils import InferenceServerException

from maquette.cli.common import fail
from maquette.cli.up import ends_on_signal
from maquette.client import CallFailed
from pipeline.errors import MaquetteError

Advance = Callable[[], None]
Task = Callable[[str, int], AbstractContextManager[Advance]]
"""Shows a progress bar for a block: what is done, and how many of it; gives what advances it."""


@contextmanager
def progress_bars() -> Iterator[Task]:
    """Progress bars on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:

        @contextmanager
        def task(what: str, total: int) -> Iterator[Advance]:
            bar = progress.add_task(what, total=total or None)
            try:
                yield lambda: progress.advance(bar)
            finally:
                progress.remove_task(bar)

        yield task


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Advance]:
    """One progress bar on standard error."""
    with progress_bars() as task, task(what, total) as advance:
        yield advance


@contextmanager
def ending_in_one_sentence() -> Iterator[None]:
    """Whatever fails in the block, or a signal, ends the command with one sentence."""
    try:
        with ends_on_signal():
            yield
    except (MaquetteError, CallFailed, InferenceServerException, OSError) as error:
        raise fail(error) from error
    except KeyboardInterrupt as error:
        raise fail("interrupted; everything is stopped") from error
