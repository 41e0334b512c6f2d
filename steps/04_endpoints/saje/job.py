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

from saje.model import Interrupted, describe
from saje.task import Task

THREADS = 8
"""Blocking tasks that run at a time. More would only share the same cores."""

_slots = asyncio.Semaphore(THREADS)


class Job:
    """One execution of a task. Lives in the worker, while the job runs."""

    def __init__(self, uid: UUID, task: str, kwargs: dict[str, Any]) -> None:
        self.uid = uid
        self.task = task
        self.kwargs = kwargs

    @classmethod
    def create(cls, message: str) -> Self:
        """Make a job of a message from the queue.

        Args:
            message: JSON, as `SajeClient.send` wrote it.

        Raises:
            ValueError: The message is not a job.
        """
        try:
            data = json.loads(message)
            return cls(UUID(data["uid"]), data["task"], data["kwargs"])
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not a job: {message!r:.200}") from error

    async def execute(self) -> None:
        """Run the task to its end and log the outcome, whatever it is."""
        logger.info("Job %s started: %s", self.uid, self.task)
        # TODO 4.4: log how it ended: "Job %s succeeded: %s" with the result, or
        # "Job %s failed: %s" with describe(error) for whatever was raised. For a
        # job that was cancelled from outside, that is Interrupted().
        await self._call()

    async def _call(self) -> Any:
        # TODO 4.3: find the task by its name and call its run: a coroutine
        # function here, any other with in_thread(). Until then, just greet.
        name = self.kwargs.get("name", "World")
        logger.info("Hello, %s.", name)
        await asyncio.sleep(self.kwargs.get("seconds", 3.0))
        logger.info("Goodbye, %s.", name)

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
