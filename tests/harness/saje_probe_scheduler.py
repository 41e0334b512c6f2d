"""A scheduler with parts that count, for the steps that have a bell: from 07 on."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any

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

    async def finish(self, outcome: Any) -> bool:
        """Record nothing."""
        return True

    async def prune(self, before: float) -> None:
        """Forget nothing."""


def long_job() -> Claim:
    """Return the claim of a job that is still running when a test ends."""
    return Claim(1, new_uid(), "hello", '{"seconds": 3600}', 1)


def make_scheduler(backend: Any, bell: Bell) -> Scheduler:
    """Make a scheduler with a single slot, with the arguments that its step takes."""
    values = {"backend": backend, "bell": bell, "worker": "probe"}
    values |= {"concurrency": 1, "drain": 0, "keep": 3600}
    wanted = inspect.signature(Scheduler).parameters
    return Scheduler(**{name: values[name] for name in wanted})


@asynccontextmanager
async def running(scheduler: Scheduler) -> AsyncIterator[None]:
    """Run a scheduler. Its stop() would end the server, so cancel it afterwards."""
    run = asyncio.create_task(scheduler.run())
    try:
        yield
    finally:
        for job in scheduler.jobs.values():
            job.interrupted = True
        tasks = [run, *scheduler.jobs]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
