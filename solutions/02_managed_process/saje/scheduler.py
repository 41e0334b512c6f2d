"""Scheduler: from the queue to running asyncio tasks."""

import asyncio
import faulthandler
from queue import Empty, Queue

import ujson
from sanic.log import logger

from saje.signals import stop_app
from saje.threads import in_thread

CHECK_STOP = 0.2
"""While the receiver waits for a message, it checks this often, in seconds, whether it
has to stop. Jobs aren't delayed, because `get` returns as soon as there is a message.
"""

GRACE = 3.0
"""After the drain, jobs are interrupted. They get this many seconds to tidy up."""


async def greet(name: str = "World", seconds: float = 3.0) -> None:
    """Stand in for every job until step 04: greet, take time, say goodbye."""
    logger.info("Hello, %s.", name)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        await asyncio.sleep(0.1)  # tidying up also takes a moment
        logger.info("Interrupted: %s.", name)
        raise
    logger.info("Goodbye, %s.", name)


class Scheduler:
    """Takes messages off the queue and runs them, all at the same time."""

    def __init__(self, queue: Queue[str], drain: float) -> None:
        """Create a scheduler. Nothing runs before `run` is called.

        Args:
            queue: Where the messages come from.
            drain: Seconds that running jobs get to finish after `stop`.
        """
        self.queue = queue
        self.drain = drain
        self.jobs: set[asyncio.Task[None]] = set()  # until each has ended
        self.stopping = False

    async def run(self) -> None:
        """Run jobs until `stop` is called, then let them finish."""
        try:
            await in_thread(self._receive, loop=asyncio.get_running_loop())
        except (EOFError, OSError):
            if not self.stopping:
                logger.critical("The queue is gone, with its jobs. Stopping the app.")
                stop_app()
        finally:
            await self._drain()
            logger.info("Drained. Jobs left: %d", len(self.jobs))

    def stop(self) -> None:
        """Take no more messages. Safe to call from a signal handler, and twice."""
        if not self.stopping:
            self.stopping = True
            # A job that never awaits anything blocks the event loop, so neither this
            # process nor the app could exit. Print where it is stuck, and exit.
            faulthandler.dump_traceback_later(self.drain + GRACE, exit=True)

    def _receive(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for messages, in a thread, because `get` would block the loop."""
        while not self.stopping:
            try:
                message = self.queue.get(timeout=CHECK_STOP)
            except Empty:
                continue
            loop.call_soon_threadsafe(self._start, message)

    def _start(self, message: str) -> None:
        try:
            job = greet(**ujson.loads(message)["kwargs"])
        except (LookupError, TypeError, ValueError) as error:
            logger.error("Skipped the message %r: %r", message, error)
            return
        task = asyncio.create_task(job)
        self.jobs.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self.jobs.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("A job raised an exception.", exc_info=error)

    async def _drain(self) -> None:
        """Give running jobs time to finish, then interrupt them."""
        if not self.jobs:
            return
        logger.info("Jobs still running: %d; waiting %s s", len(self.jobs), self.drain)
        _, late = await asyncio.wait(self.jobs, timeout=self.drain)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
