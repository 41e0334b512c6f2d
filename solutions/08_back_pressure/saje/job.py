"""Job: one execution of a task, from claim to outcome."""

import asyncio
import inspect
from typing import Any

import ujson
from sanic.log import logger

from saje.model import Claim, JobState, Outcome, describe, encode
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

    async def execute(self) -> Outcome | None:
        """Run the task to its end.

        Returns:
            How it ended, or None if it was interrupted.
        """
        claim, result, error = self.claim, None, None
        try:
            result = encode(await self._call())
            state = JobState.SUCCEEDED
        except BaseException as raised:
            # SystemExit as well: whatever a task raises ends the job, and never the
            # worker.
            if self.interrupted:
                return None
            state, error = JobState.FAILED, encode(describe(raised))
            logger.error("Job %s did not succeed.", claim.uid, exc_info=raised)
        return Outcome(claim.seq, claim.attempt, state, result, error)

    async def _call(self) -> Any:
        name, kwargs = self.claim.task, ujson.loads(self.claim.kwargs)
        if name not in Task.registry:
            raise LookupError(f"There is no task {name!r}.")
        run = Task.registry[name]().run
        if inspect.iscoroutinefunction(run):
            self._started()
            return await run(**kwargs)
        async with _slots:
            self._started()
            result = await in_thread(run, **kwargs)
        # A decorator may hide that `run` is `async def`: then this is a coroutine.
        return await result if inspect.isawaitable(result) else result

    def _started(self) -> None:
        logger.info("Job %s started: %s", self.claim.uid, self.claim.task)
