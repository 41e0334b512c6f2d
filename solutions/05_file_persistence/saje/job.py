"""Job: one execution of a task, from message to outcome."""

import asyncio
import inspect
from typing import Any, Self
from uuid import UUID

import ujson
from sanic.log import logger

from saje.backend import Backend
from saje.model import Interrupted, JobState, describe, encode, now
from saje.task import Task
from saje.threads import in_thread

THREADS = 8
"""How many blocking tasks may run at a time. Those that compute share one core."""

_slots = asyncio.Semaphore(THREADS)


class Job:
    """One execution of a task. Lives in the worker, as long as the job runs."""

    def __init__(
        self, uid: UUID, task: str, kwargs: dict[str, Any], backend: Backend
    ) -> None:
        """Create a job. It runs when `execute` is awaited.

        Args:
            uid: The identifier that the client was given.
            task: The name of a registered task.
            kwargs: The arguments for the task.
            backend: Where the job records its states.
        """
        self.uid = uid
        self.task = task
        self.kwargs = kwargs
        self.backend = backend
        self.interrupted = False
        """Set by the scheduler before it cancels the job. A CancelledError alone can't
        tell who cancelled: a task may cancel itself."""

    @classmethod
    def create(cls, message: str, backend: Backend) -> Self:
        """Make a job from a message of the queue.

        Args:
            message: JSON, as `SajeClient.send` wrote it.
            backend: Where the job records its states.

        Returns:
            The job.

        Raises:
            ValueError: The message isn't a job.
        """
        try:
            data = ujson.loads(message)
            return cls(UUID(data["uid"]), data["task"], data["kwargs"], backend)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{message!r:.200} isn't a job: {error!r}") from error

    async def execute(self) -> None:
        """Run the task to its end, and record the outcome, whatever it is."""
        outcome: dict[str, Any]
        try:
            result = await self._call()
            state, outcome = JobState.SUCCEEDED, {"result": result}
            encode(outcome)
        except BaseException as raised:
            # SystemExit as well: whatever a task raises ends the job, and never the
            # worker.
            error = Interrupted() if self.interrupted else raised
            state, outcome = JobState.FAILED, {"error": describe(error)}
            logger.error("Job %s did not succeed.", self.uid, exc_info=error)
        await self.backend.store(self.uid, state, **outcome, finished_at=now())
        logger.info("Job %s %s: %.200s", self.uid, state, outcome)

    async def _call(self) -> Any:
        if self.task not in Task.registry:
            raise LookupError(f"There is no task {self.task!r}.")
        run = Task.registry[self.task]().run
        if inspect.iscoroutinefunction(run):
            await self._started()
            return await run(**self.kwargs)
        async with _slots:
            await self._started()
            result = await in_thread(run, **self.kwargs)
        # A decorator may hide that `run` is `async def`: then this is a coroutine.
        return await result if inspect.isawaitable(result) else result

    async def _started(self) -> None:
        """Record that the job runs. Await this when it has nothing left to wait for."""
        await self.backend.store(self.uid, JobState.RUNNING, started_at=now())
        logger.info("Job %s started: %s", self.uid, self.task)
