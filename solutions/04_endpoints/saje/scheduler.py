"""Scheduler: from the queue to running asyncio tasks."""

import asyncio
from queue import Empty, Queue
from threading import Thread

from sanic.log import logger

from saje.job import Job
from saje.signals import end_within, orphaned

LOOK_UP = 0.2
"""Seconds between two looks up from an empty queue: is it time to stop? No job
waits for this: `get` returns at once when there is one."""

GRACE = 1.0
"""Seconds that jobs get to record that they were interrupted."""


class Scheduler:
    """Takes messages off the queue and runs them, all at the same time."""

    def __init__(self, queue: Queue[str], drain: float) -> None:
        self.queue = queue
        self.drain = drain
        self.jobs: set[asyncio.Task[None]] = set()  # until each has ended
        self.stopping = False

    async def run(self) -> None:
        """Run jobs until `stop` is called, then let them end."""
        loop = asyncio.get_running_loop()
        received: asyncio.Future[None] = loop.create_future()

        def receive() -> None:
            try:
                self._receive(loop)
            except Exception as error:
                loop.call_soon_threadsafe(received.set_exception, error)
            else:
                loop.call_soon_threadsafe(received.set_result, None)

        # Not in asyncio's own threads: asyncio.run() would wait for this one even
        # after something else has ended the loop.
        Thread(target=receive, daemon=True).start()
        await received
        await self._drain()

    def stop(self) -> None:
        """Take no more jobs. Safe to call from a signal handler, and twice."""
        self.stopping = True

    def _receive(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for messages, in a thread: `get` blocks, and the loop must not."""
        while not self.stopping:
            try:
                message = self.queue.get(timeout=LOOK_UP)
            except Empty:
                pass
            except (EOFError, OSError):  # the Manager's process is gone
                self.drain = 0
                self.stop()
            else:
                loop.call_soon_threadsafe(self._start, message)
            if orphaned():
                self.drain = 0
                self.stop()
        end_within(self.drain + GRACE)

    def _start(self, message: str) -> None:
        try:
            job = Job.create(message)
        except ValueError as error:
            logger.error("Skipped a message: %s", error)
            return
        task = asyncio.create_task(job.execute())
        self.jobs.add(task)
        task.add_done_callback(self.jobs.discard)

    async def _drain(self) -> None:
        """Give the jobs that still run time to end, then interrupt them."""
        if not self.jobs:
            return
        logger.info("Jobs still running: %d; waiting %s s", len(self.jobs), self.drain)
        _, late = await asyncio.wait(self.jobs, timeout=self.drain)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
