"""Job: one execution of a task, from message to outcome."""

import asyncio
import inspect
from typing import Any, Self
from uuid import UUID

import ujson
from sanic.log import logger

from saje.model import Interrupted, describe
from saje.task import Task
from saje.threads import in_thread

THREADS = 8
"""How many blocking tasks may run at a time. Those that compute share one core."""

_slots = asyncio.Semaphore(THREADS)


class Job:
    """One execution of a task. Lives in the worker, as long as the job runs."""

    def __init__(self, uid: UUID, task: str, kwargs: dict[str, Any]) -> None:
        """Create a job. It runs when `execute` is awaited.

        Args:
            uid: The identifier that the client was given.
            task: The name of a registered task.
            kwargs: The arguments for the task.
        """
        self.uid = uid
        self.task = task
        self.kwargs = kwargs
        self.interrupted = False
        """Set by the scheduler before it cancels the job. A CancelledError alone can't
        tell who cancelled: a task may cancel itself."""

    @classmethod
    def create(cls, message: str) -> Self:
        """Make a job from a message of the queue.

        Args:
            message: JSON, as `SajeClient.send` wrote it.

        Returns:
            The job.

        Raises:
            ValueError: The message isn't a job.
        """
        try:
            data = ujson.loads(message)
            return cls(UUID(data["uid"]), data["task"], data["kwargs"])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{message!r:.200} isn't a job: {error!r}") from error

    async def execute(self) -> None:
        """Run the task to its end, and log the outcome, whatever it is."""
        # TODO 4.4: await self._call(), and turn whatever happens into a state and an
        # outcome: "succeeded" with {"result": result}, or "failed" with {"error":
        # describe(error)}. A task may raise anything, SystemExit included, and must not
        # take the worker with it. If the scheduler has set self.interrupted, the error
        # to describe is Interrupted(). Log that error with its traceback, and then
        # log the outcome in this form:
        # logger.info("Job %s %s: %.200s", self.uid, state, outcome)
        await self._call()

    async def _call(self) -> Any:
        # TODO 4.3: create an instance of the task and call its `run` with self.kwargs.
        # `async def run` belongs on the event loop. `def run` computes or blocks, so it
        # belongs in a thread, and has to wait for one of the _slots. A decorator may
        # hide an `async def`, so if the result is awaitable, await it. Await
        # self._started() right before the work begins, and return the result. If the
        # job's task isn't registered, raise LookupError and name it. (Until you do all
        # that, every job says hello and goodbye, whatever it was meant to do.)
        name = self.kwargs.get("name", "World")
        logger.info("Hello, %s.", name)
        await asyncio.sleep(self.kwargs.get("seconds", 3.0))
        logger.info("Goodbye, %s.", name)

    async def _started(self) -> None:
        """Log that the job runs. Await this when it has nothing left to wait for."""
        logger.info("Job %s started: %s", self.uid, self.task)
