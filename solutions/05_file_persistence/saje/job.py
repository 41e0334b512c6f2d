"""Job: one execution of a task, from message to outcome."""

import asyncio
import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any, Self
from uuid import UUID

from sanic.log import logger

from saje.backend import Backend
from saje.model import Interrupted, JobState, describe, encode, now
from saje.task import Task

THREADS = 8
"""Blocking tasks that run at a time. More would only share the same cores."""

_slots = asyncio.Semaphore(THREADS)


class Job:
    """One execution of a task. Lives in the worker, while the job runs."""

    def __init__(
        self, uid: UUID, task: str, kwargs: dict[str, Any], backend: Backend
    ) -> None:
        self.uid = uid
        self.task = task
        self.kwargs = kwargs
        self.backend = backend

    @classmethod
    def create(cls, message: str, backend: Backend) -> Self:
        """Make a job of a message from the queue.

        Args:
            message: JSON, as `SajeClient.send` wrote it.
            backend: Where to record what becomes of the job.

        Raises:
            ValueError: The message is not a job.
        """
        try:
            data = json.loads(message)
            return cls(UUID(data["uid"]), data["task"], data["kwargs"], backend)
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not a job: {message!r:.200}") from error

    async def execute(self) -> None:
        """Run the task to its end and record the outcome, whatever it is."""
        logger.info("Job %s started: %s", self.uid, self.task)
        await self.backend.store(self.uid, JobState.RUNNING, started_at=now())
        outcome: dict[str, Any]
        try:
            result = await self._call()
            state, outcome = JobState.SUCCEEDED, {"result": result}
            encode(outcome)
        except BaseException as raised:
            # SystemExit too: whatever a task raises ends the job, never the
            # worker. A job that was cancelled from outside was interrupted.
            error = Interrupted() if self._cancelled() else raised
            state, outcome = JobState.FAILED, {"error": describe(error)}
        await self.backend.store(self.uid, state, **outcome, finished_at=now())
        logger.info("Job %s %s: %.200s", self.uid, state, outcome)

    async def _call(self) -> Any:
        if self.task not in Task.registry:
            raise LookupError(f"No task is named {self.task!r}.")
        run = Task.registry[self.task]().run
        if inspect.iscoroutinefunction(run):
            return await run(**self.kwargs)
        return await in_thread(run, **self.kwargs)

    def _cancelled(self) -> bool:
        current = asyncio.current_task()
        return current is not None and current.cancelling() > 0


async def in_thread(function: Callable[..., Any], /, **kwargs: Any) -> Any:
    """Call a blocking function without blocking the event loop.

    `asyncio.to_thread` would do, but for the end: Python waits for its
    threads, and a thread cannot be cancelled. Daemon threads do not hold up a
    worker that has to stop.

    Returns and raises what the function returns and raises.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():  # cancelled meanwhile
            return
        if isinstance(error, StopIteration):  # no future takes one
            error = RuntimeError(f"the task raised {error!r}")
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def call() -> None:
        result, error = None, None
        try:
            result = function(**kwargs)
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    async with _slots:
        Thread(target=call, name=function.__qualname__, daemon=True).start()
        return await future
