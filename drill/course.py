"""What happens in a drill, from the first render to the last."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from grpc import StatusCode

from bench.stack import MAQUETTE, Stack
from drill import candidates
from drill.figures import Span, Swap, figures
from drill.load import Load, Request, loading, requests
from drill.pictures import References
from evaluation import gate
from evaluation.console import Task
from maquette.client import AsyncClient, CallFailed
from pipeline.errors import Unavailable
from pipeline.pinned_versions import EXPORTED
from serving.launcher import MODELS
from versions import aliases, operations
from versions.errors import Declined
from versions.gates import LEAST_RENDERS

MODEL = "unet"
WHO = "drill"
CALM_SECONDS = 60.0
PAUSE_SECONDS = 0.5
"""After a swap; renders of both versions are in flight then."""
COMMAND_EVERY = 10
"""Of so many swaps one is made by the command line."""
ANEW_EVERY = 20
"""After so many swaps the new version is unloaded, and loaded again."""
SERVED_SECONDS = 120.0
POLL_SECONDS = 0.05
BAD_GATE_RENDERS = 2
"""Of the worse UNet, which is tried while the load goes on."""

LITTLE_NOISE = 0.001
"""On the weights of a new CLIP pair, whose vectors are others and nearly the same."""


@dataclass
class Drill:
    """One drill over a running stack."""

    repository: Path
    stack: Stack
    client: AsyncClient
    out: Path
    swaps_wanted: int
    task: Task
    references: References = field(default_factory=References)
    swaps: list[Swap] = field(default_factory=list)
    disturbed: list[Span] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    extras: dict[str, Any] = field(default_factory=dict)

    async def run(self) -> dict[str, Any]:
        """The figures; ends with the champion it began with."""
        asked = requests()
        await self._publish_good()
        await self._learn(asked)
        await self._pass_gate(LEAST_RENDERS)
        with self.task("renders before any swap", 0) as advance:
            calm = Load(self.client, self.references, advance)
            async with loading(calm, asked):
                await asyncio.sleep(CALM_SECONDS)
        load = Load(self.client, self.references, lambda: None)
        async with loading(load, asked):
            await self._swap_on()
        same = await self._same_pixels(asked)
        found = figures(calm.made, load.made, self.swaps, self.disturbed)
        return {
            **found,
            "bad_candidates_refused": len(self.refusals),
            "refusals": self.refusals,
            "same_pixels_after_rollback": same,
            **self.extras,
        }

    async def _publish_good(self) -> None:
        with self.task("a good candidate", 1) as advance:
            source = await asyncio.to_thread(
                candidates.tinted, self._champion(), self.out / "candidates" / "good"
            )
            outcome = await self._operate(operations.publish, MODEL, source)
            self.extras["good_candidate"] = outcome.version
            await self._served()
            advance()

    async def _learn(self, asked: list[Request]) -> None:
        """What both versions make of each request, alone."""
        with self.task("what each version paints", 2 * len(asked)) as advance:
            load = Load(self.client, self.references, advance)
            await load.learn("old", asked, "champion")
            await load.learn("new", asked, "candidate")
        if not self.references.tells_apart():
            raise Unavailable("Both versions paint a request alike; a mixture would go unseen.")

    async def _pass_gate(self, renders: int) -> None:
        verdict = await self._gate(renders)
        if not verdict.passed:
            raise Unavailable(f"The good candidate is refused: {' '.join(verdict.missed)}")

    async def _gate(self, renders: int) -> Any:
        version = aliases.read(self.repository).of(MODEL).candidate or 0
        verdict = await asyncio.to_thread(
            partial(
                gate.main,
                self.repository,
                self.stack.address,
                None,
                None,
                False,
                MODEL,
                version,
                out=self.out / "gate",
                renders=renders,
                progress=self.task,
            )
        )
        await self._operate(operations.record_gate, verdict, model=MODEL)
        return verdict

    async def _swap_on(self) -> None:
        """Promote and roll back; between some of the swaps something goes wrong."""
        wanted = self.swaps_wanted
        events: dict[int, Callable[[], Awaitable[None]]] = {
            wanted // 5: partial(self._offer, candidates.corrupt),
            2 * wanted // 5: partial(self._offer, candidates.not_a_number),
            3 * wanted // 5: self._offer_worse,
            4 * wanted // 5: self._kill_stub,
            9 * wanted // 10: self._reembed,
        }
        good = self.extras["good_candidate"]
        with self.task("swaps", wanted) as advance:
            for number in range(0, wanted, 2):
                for at in (number, number + 1):
                    if at in events:
                        await self._disturb(events[at])
                await self._swap("promote", number, MODEL, good)
                advance()
                await self._swap("rollback", number + 1, MODEL)
                advance()
                if number % ANEW_EVERY == ANEW_EVERY - 2:
                    await self._load_anew()

    async def _swap(self, action: str, number: int, *arguments: Any) -> None:
        by_command = number % COMMAND_EVERY == number // COMMAND_EVERY % 2
        began = time.monotonic()
        if by_command:
            await self._command(action, *arguments)
        else:
            await self._operate(getattr(operations, action), *arguments)
        await self._served()
        self.swaps.append(Swap(action, began, time.monotonic(), by_command))
        await asyncio.sleep(PAUSE_SECONDS)

    async def _command(self, action: str, *arguments: Any) -> None:
        """The same as a person does it.

        Raises:
            Unavailable: it fails.
        """
        words = ("models", action, *map(str, arguments), "--who", WHO)
        where = ("--repository", str(self.repository), "--server", self.stack.address)
        process = await asyncio.create_subprocess_exec(
            MAQUETTE,
            *words,
            *where,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise Unavailable(f"maquette {' '.join(words)} failed: {output.decode().strip()}")

    async def _load_anew(self) -> None:
        """Let Triton drop the new version, and load it again beside what renders."""
        good = self.extras["good_candidate"]
        await self._operate(operations.withdraw, MODEL, "previous")
        await self._served()
        outcome = await self._operate(
            operations.publish, MODEL, self.repository / MODEL / str(good)
        )
        if outcome.version != good:
            raise Unavailable(f"The same engine is published as {outcome.version}, not {good}.")
        await self._served()

    async def _disturb(self, event: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        await event()
        self.disturbed.append((began, time.monotonic()))

    async def _offer(self, make: Callable[[Path, Path], Path]) -> None:
        """A candidate that must not even become one."""
        target = self.out / "candidates" / make.__name__
        source = await asyncio.to_thread(make, self._champion(), target)
        try:
            await self._operate(operations.publish, MODEL, source)
        except Declined as error:
            self.refusals.append(str(error))
        else:
            await self._operate(operations.withdraw, MODEL, "candidate")

    async def _offer_worse(self) -> None:
        """A candidate that serves, and that the gate must stop."""
        target = self.out / "candidates" / "noisy"
        source = await asyncio.to_thread(candidates.noisy, self._champion(), target)
        await self._operate(operations.publish, MODEL, source)
        await self._served()
        verdict = await self._gate(BAD_GATE_RENDERS)
        self.extras["worse_candidate"] = dict(verdict.measures)
        try:
            await self._operate(operations.promote, MODEL)
        except Declined as error:
            self.refusals.append(str(error))
            await self._operate(operations.withdraw, MODEL, "candidate")
        else:
            await self._operate(operations.rollback, MODEL)
        await self._served()

    async def _kill_stub(self) -> None:
        """The process of the UNet that renders dies; the gateway must see to that."""
        champion = "/".join((MODELS, *self._champion().parts[-2:], ""))
        victims = [
            process
            for process in psutil.Process(self.stack.process.pid).children(recursive=True)
            if any(word.startswith(champion) for word in process.cmdline()[1:2])
        ]
        if not victims:
            raise Unavailable(f"No process runs {champion}; Triton's backend is not a Python one.")
        os.kill(victims[0].pid, signal.SIGKILL)
        self.extras["stubs_killed"] = 1
        # The next render finds out; what happens until it is made is the repair, not a swap.
        load = Load(self.client, self.references, lambda: None)
        await load.render(requests()[0])

    async def _reembed(self) -> None:
        """Embed the style library anew, with a CLIP of other weights."""
        source = self.out / "candidates" / "clip"
        for name in aliases.CLIP:
            exported = self.repository / name / str(EXPORTED)
            target = source / name / str(EXPORTED)
            await asyncio.to_thread(candidates.noisy, exported, target, LITTLE_NOISE)
        await self._operate(operations.publish, aliases.PAIR, source)
        self.extras["reembedded"] = await self._vectors()
        await self._operate(operations.withdraw, aliases.PAIR, "candidate")

    async def _vectors(self) -> int:
        """Have the candidate's vectors made, once it is loaded; how many styles have one then."""
        deadline = time.monotonic() + SERVED_SECONDS
        while True:
            try:
                async for progress in self.client.reembed():
                    last = progress
                return last.done if last.complete else 0
            except CallFailed as error:
                if error.code is not StatusCode.UNAVAILABLE or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)

    async def _same_pixels(self, asked: list[Request]) -> bool:
        """Whether the champion paints again what it did before the first swap."""
        load, found = Load(self.client, self.references, lambda: None), []
        for request in asked:
            png, versions = await load.render(request)
            found.append(self.references.wrong(request.name, png, versions))
        old = self.references.served_versions["old"]
        return not any(found) and aliases.read(self.repository).pinned().versions == old

    async def _operate(self, operation: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        call = partial(operation, self.repository, *arguments, who=WHO, **options)
        return await asyncio.to_thread(call)

    async def _served(self) -> None:
        """Return when the gateway serves what the aliases say.

        Raises:
            Unavailable: it does not.
        """
        wanted = {
            alias: pinned.versions
            for alias, pinned in aliases.read(self.repository).served_versions().items()
        }
        deadline = time.monotonic() + SERVED_SECONDS
        while {name: dict(one) for name, one in (await self._served_versions()).items()} != wanted:
            if time.monotonic() > deadline:
                raise Unavailable(f"The gateway does not follow in {SERVED_SECONDS:g} s.")
            await asyncio.sleep(POLL_SECONDS)

    async def _served_versions(self) -> Any:
        info = await self.client.info()
        if info.problem:
            raise Unavailable(info.problem)
        return info.served_versions

    def _champion(self) -> Path:
        """The folder of the UNet that renders."""
        version = aliases.read(self.repository).of(MODEL).champion
        return self.repository / MODEL / str(version)
