"""A scheduler with parts that count, for the steps that have a bell: from 07 on."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any
from unittest.mock import AsyncMock, Mock

from saje.model import Claim, JobState, new_uid
from saje.scheduler import Scheduler
from saje.wake import Bell


class CountingBell(Bell):
    """A bell that counts how often it is armed."""

    arms = 0

    def arm(self) -> None:
        """Count, and arm the bell."""
        self.arms += 1
        super().arm()


class FakeBackend:
    """A backend that counts the claims, and whose answers to them are given."""

    def __init__(self, *answers: tuple[list[Claim], bool]) -> None:
        """Create a backend.

        Args:
            *answers: What the first claims return. The others return no jobs.
        """
        self.answers = list(answers)
        self.looks = 0

    async def claim(self, worker: str, free: int) -> tuple[list[Claim], bool]:
        """Count, and return the next answer."""
        self.looks += 1
        return self.answers.pop(0) if self.answers else ([], False)

    async def turn(self, outcomes: Any, worker: str, free: int) -> Any:
        """Do the same from step 08 on."""
        claims, more = await self.claim(worker, free)
        if hasattr(JobState, "DEAD"):  # from step 09 on: the seconds until there are
            return [True for _ in outcomes], claims, 0.0 if more else inf
        return [True for _ in outcomes], claims, more

    # What the steps from 10 and 12 on do with leases, and with jobs to cancel.
    beat = finish = AsyncMock(return_value=True)
    reap = AsyncMock(return_value=0)
    dismiss = prune = AsyncMock()
    cancelling = Mock(return_value=[])


class LeaseBackend(FakeBackend):
    """A backend that notes what is done about leases, and whose answers are given."""

    def __init__(
        self,
        events: list[Any],
        *answers: tuple[list[Claim], bool],
        held: bool = True,
        taken: int = 0,
        error: str | None = None,
    ) -> None:
        """Create a backend.

        Args:
            events: Where to note it.
            *answers: What the first claims return.
            held: Whether there was a lease.
            taken: How many jobs are taken back.
            error: The method that raises an OSError, "beat" or "reap".
        """
        super().__init__(*answers)
        self.events = events
        self.held = held
        self.taken = taken
        self.error = error

    async def beat(self, worker: str, lease: float) -> bool:
        """Note it, and say whether there was a lease."""
        self.note("beat", worker, lease)
        await asyncio.sleep(0)
        return self.held

    async def reap(self, dead: Any = ()) -> int:
        """Note it, and say how many jobs were taken back."""
        self.note("reap")
        await asyncio.sleep(0)
        return self.taken

    async def dismiss(self, worker: str) -> None:
        """Note it."""
        self.note("dismiss", worker)

    async def turn(self, outcomes: Any, worker: str, free: int) -> Any:
        """Note which outcomes are recorded, and return the next answer."""
        for outcome in outcomes:
            self.note("record", str(outcome.state))
        return await super().turn(outcomes, worker, free)

    def note(self, *event: Any) -> None:
        """Note what is done.

        Raises:
            OSError: The test wants that.
        """
        self.events.append(event)
        if event[0] == self.error:
            raise OSError("the database is gone, because a test wants that")


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
