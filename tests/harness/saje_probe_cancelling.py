"""Jobs that are cancelled in a server, for the steps that cancel: from 12 on."""

import asyncio
from typing import Any, ClassVar

from saje_probe_scheduler import FakeBackend

from saje.job import Job
from saje.model import Claim, new_uid
from saje.task import Task
from saje.threads import in_thread


class CancellingBackend(FakeBackend):
    """A backend whose answer about jobs that are to be cancelled is given."""

    def __init__(self, unwanted: list[int]) -> None:
        """Create a backend.

        Args:
            unwanted: The numbers of the jobs that somebody wants to cancel.
        """
        super().__init__()
        self.unwanted = unwanted
        self.asked: list[str] = []

    def cancelling(self, worker: str) -> list[int]:
        """Note who asks, and return the numbers."""
        self.asked.append(worker)
        return self.unwanted


class FakeTask:
    """Stands for a task of asyncio's, and counts how often it is cancelled."""

    def __init__(self) -> None:
        """Create a task that is running."""
        self.cancels = 0

    def cancel(self, *args: Any) -> bool:
        """Count."""
        self.cancels += 1
        return True


class Ends(Task):
    """Begins, waits, and ends in the way that it is told when it is cancelled."""

    name = "probe_ends"
    began: ClassVar[list[str]] = []
    """The ways of those that have begun."""

    async def run(self, way: str) -> str:
        """Wait until somebody cancels it.

        Raises:
            ValueError: That is the way in which it ends.
        """
        self.began.append(way)
        try:
            if way == "its thread":
                await in_thread(wait)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if way == "another error":
                raise ValueError("while it tidied up") from None
            if way == "a result":
                return "it was over anyway"
            raise
        return "it was not cancelled"


def wait() -> None:
    """Keep a thread busy, in steps of Python."""
    while True:
        pass


def new_job(number: int = 1, task: str = "probe_ends", kwargs: str = "{}") -> Job:
    """Return a job that a worker has claimed for the second time."""
    return Job(Claim(number, new_uid(), task, kwargs, 2))
