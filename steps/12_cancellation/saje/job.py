"""Job: one execution of a task, from claim to outcome."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any

import ujson
from sanic.log import logger

from saje.model import Claim, JobState, Outcome, describe, encode
from saje.retry import Retry
from saje.task import Task
from saje.threads import in_thread

THREADS = 8
"""How many blocking tasks may run at a time. Those that compute share one core."""

_slots = asyncio.Semaphore(THREADS)


class Job:
    """One execution of a task. Lives in the worker, as long as the job runs."""

    def __init__(self, claim: Claim) -> None:
        """Create a job. It runs when `execute` is awaited.

        Args:
            claim: What to run.
        """
        self.claim = claim
        self.interrupted = False
        """Set by the scheduler before it cancels the job. A CancelledError alone can't
        tell who cancelled: a task may cancel itself."""
        self.cancelled = False
        """Set by the scheduler if somebody has asked to cancel the job."""

    async def execute(self) -> Outcome | None:
        """Run the task to its end.

        Returns:
            How it ended, or None if it was interrupted.
        """
        claim = self.claim
        try:
            result = encode(await self._call())
        except BaseException as error:
            # SystemExit as well: whatever a task raises ends the job, and never the
            # worker.
            if self.interrupted:
                return None
            # TODO 12.3: a job that somebody has cancelled hasn't failed, so there is no
            # error to log, and nothing to try again. Return that as its outcome.
            logger.error("Job %s did not succeed.", claim.uid, exc_info=error)
            return self._failed(error)
        return Outcome(claim.seq, claim.attempt, JobState.SUCCEEDED, result)

    def _failed(self, error: BaseException) -> Outcome:
        """Decide what becomes of the job after an error."""
        claim, tries = self.claim, self.claim.tries + 1
        retry = getattr(Task.registry.get(claim.task), "retry", Retry())
        outcome = Outcome(claim.seq, claim.attempt, JobState.FAILED)
        outcome.error = encode(describe(error))
        if not retry.worth(error):
            return outcome
        if tries < retry.tries:
            outcome.state, outcome.pause = JobState.QUEUED, retry.pause(tries)
        else:
            outcome.state = JobState.DEAD
        return outcome

    async def _call(self) -> Any:
        name, kwargs = self.claim.task, ujson.loads(self.claim.kwargs)
        if name not in Task.registry:
            raise LookupError(f"There is no task {name!r}.")
        task = Task.registry[name]()
        task.try_number = self.claim.tries + 1
        if inspect.iscoroutinefunction(task.run):
            return await self._limited(task.run(**kwargs), task.limit)
        async with _slots:
            return await self._limited(in_thread(task.run, **kwargs), task.limit)

    async def _limited(self, work: Awaitable[Any], limit: float | None) -> Any:
        """Await the work, and interrupt it when its time is up."""
        logger.info("Job %s started: %s", self.claim.uid, self.claim.task)
        try:
            async with asyncio.timeout(limit) as timer:
                result = await work
                # A decorator may hide that `run` is `async def`.
                return await result if inspect.isawaitable(result) else result
        except TimeoutError as error:
            if timer.expired():
                raise TimeoutError(f"It took more than {limit} s.") from error
            raise
