"""A scheduler on a bell and a backend that take notes: suites 07 to 12.

The calls of these suites also use what is imported here.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from math import inf
from typing import Any
from unittest.mock import AsyncMock

import saje.scheduler
from saje.model import Claim, JobState, new_uid
from saje.scheduler import Scheduler
from saje.wake import Bell, new_tokens


class CountingBell(Bell):
    """A bell that counts how often it is armed, and rung."""

    arms = rings = 0

    def arm(self) -> None:
        """Count, and arm the bell."""
        self.arms += 1
        super().arm()

    def ring(self) -> None:
        """Count, and ring the bell."""
        self.rings += 1
        super().ring()


class FakeBackend:
    """A backend that notes what it is asked for, and whose answers are given."""

    def __init__(
        self,
        *answers: tuple[list[Claim], bool],
        held: bool = True,
        taken: int = 0,
        unwanted: Collection[int] = (),
        error: str | None = None,
    ) -> None:
        """Create a backend.

        Args:
            *answers: What the first looks for jobs return. The others find none.
            held: Whether there was a lease.
            taken: How many jobs are taken back each time.
            unwanted: The numbers of the jobs that somebody wants to cancel.
            error: The method that raises an OSError, "beat" or "reap".
        """
        self.answers = list(answers)
        self.held = held
        self.taken = taken
        self.unwanted = unwanted
        self.error = error
        self.looks: list[int] = []
        """The free slots at each look for jobs."""
        self.events: list[tuple[Any, ...]] = []
        """All the rest."""

    def note(self, *event: Any) -> None:
        """Note what is done.

        Raises:
            OSError: The test wants that.
        """
        self.events.append(event)
        if event[0] == self.error:
            raise OSError("the database is gone, because a test wants that")

    async def claim(self, worker: str, free: int) -> tuple[list[Claim], bool]:
        """Return the next answer."""
        self.looks.append(free)
        return self.answers.pop(0) if self.answers else ([], False)

    async def turn(self, outcomes: Any, worker: str, free: int) -> Any:
        """Do the same from step 08 on, where outcomes are recorded as well."""
        for outcome in outcomes:
            self.note("record", str(outcome.state))
        claims, more = await self.claim(worker, free)
        if hasattr(JobState, "DEAD"):  # from step 09 on: the seconds until there are
            return [True for _ in outcomes], claims, 0.0 if more else inf
        return [True for _ in outcomes], claims, more

    async def release(self, claims: list[Claim]) -> None:
        """Note it."""
        self.note("release")

    async def beat(self, worker: str, lease: float) -> bool:
        """Say whether there was a lease."""
        self.note("beat", worker, lease)
        await asyncio.sleep(0)
        return self.held

    async def reap(self, dead: Collection[str] = ()) -> int:
        """Say how many jobs were taken back."""
        self.note("reap", *dead)
        await asyncio.sleep(0)
        return self.taken

    async def dismiss(self, worker: str) -> None:
        """Note it."""
        self.note("dismiss", worker)

    def cancelling(self, worker: str) -> Collection[int]:
        """Return the numbers of the jobs that somebody wants to cancel."""
        self.note("cancelling", worker)
        return self.unwanted

    finish = AsyncMock(return_value=True)
    prune = AsyncMock()


def long_job() -> Claim:
    """Return the claim of a job that is still running when a test ends."""
    return Claim(1, new_uid(), "hello", '{"seconds": 3600}', 1)


def make_scheduler(backend: Any, bell: Bell, **changes: Any) -> Scheduler:
    """Make a scheduler with the arguments that its step takes.

    Args:
        backend: Where the jobs are.
        bell: The bell.
        **changes: Arguments that are different. By default there is a single slot.
    """
    values = {"backend": backend, "bell": bell, "worker": "probe"}
    values |= {"concurrency": 1, "drain": 0, "keep": 3600, "lease": 15.0}
    wanted = inspect.signature(Scheduler).parameters
    return Scheduler(**{name: (values | changes)[name] for name in wanted})


@asynccontextmanager
async def running(scheduler: Scheduler) -> AsyncIterator[asyncio.Task[None]]:
    """Run a scheduler in a task, and cancel that and its jobs afterwards."""
    run = asyncio.create_task(scheduler.run())
    try:
        yield run
    finally:
        for job in scheduler.jobs.values():
            job.interrupted = True
        tasks = [run, *scheduler.jobs]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
