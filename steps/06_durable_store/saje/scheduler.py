"""Scheduler: from the jobs in the store to running asyncio tasks."""

import asyncio
import faulthandler
from contextlib import suppress
from queue import Empty, Queue

from sanic.log import logger

from saje.backend import Backend
from saje.job import Job
from saje.model import Claim, Outcome
from saje.signals import stop_app
from saje.threads import in_thread

CHECK_STOP = 0.2
"""While the receiver waits for a message, it looks up this often, in seconds. It may
have to stop, or there may be a job whose message got lost. This delays no other job:
`get` returns as soon as there is a message."""

RETRY = 1.0
"""Seconds until the next try if the store can't be used."""

MANY = 1000
"""How many jobs to claim at a time."""

GRACE = 3.0
"""After the drain, jobs are interrupted. They get this many seconds to tidy up, and run
again after the next start."""


class Scheduler:
    """Claims jobs from the store and runs them, all at the same time."""

    def __init__(
        self, queue: Queue[str], drain: float, backend: Backend, worker: str
    ) -> None:
        """Create a scheduler. Nothing runs before `run` is called.

        Args:
            queue: A message on it says that there may be jobs to claim.
            drain: Seconds that running jobs get to finish after `stop`.
            backend: Where the jobs are kept.
            worker: The name of this process.
        """
        self.queue = queue
        self.drain = drain
        self.backend = backend
        self.worker = worker
        self.jobs: dict[asyncio.Task[None], Job] = {}  # until each is recorded
        self.awake = asyncio.Event()
        self.stopping = False

    async def run(self) -> None:
        """Run jobs until `stop` is called, then let them finish."""
        loop = asyncio.get_running_loop()
        receiver = asyncio.create_task(in_thread(self._receive, loop=loop))
        receiver.add_done_callback(lambda _: self.awake.set())
        try:
            # The first look needs no message: an earlier run may have left some jobs.
            while not receiver.done():
                self.awake.clear()
                await self._claim()
                await self.awake.wait()
            await receiver  # raises the error that has ended it, if there was one
        except (EOFError, OSError):
            if not self.stopping:
                logger.critical("The queue is gone. Stopping the app.")
                stop_app()
        finally:
            await self._drain()
            logger.info("Drained. Jobs left: %d", len(self.jobs))

    def stop(self) -> None:
        """Claim no more jobs. Safe to call from a signal handler, and twice."""
        if not self.stopping:
            self.stopping = True
            # A job that never awaits anything blocks the event loop, so neither this
            # process nor the app could exit. Print where it is stuck, and exit.
            faulthandler.dump_traceback_later(self.drain + GRACE, exit=True)

    def _receive(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for messages, in a thread, because `get` would block the loop."""
        while not self.stopping:
            # Without a message, look anyway, because a server that is killed right
            # after its commit sends none.
            with suppress(Empty):
                self.queue.get(timeout=CHECK_STOP)
            loop.call_soon_threadsafe(self.awake.set)

    async def _claim(self) -> None:
        """Start the jobs that wait."""
        try:
            claims = await self.backend.claim(self.worker, MANY)
        except OSError as error:
            logger.error("Trying again in %s s, because %s", RETRY, error)
            await asyncio.sleep(RETRY)
            self.awake.set()
            return
        for claim in claims:
            self._start(claim)
        if len(claims) == MANY:
            self.awake.set()  # there may be more

    def _start(self, claim: Claim) -> None:
        job = Job(claim)
        task = asyncio.create_task(self._run(job))
        self.jobs[task] = job
        task.add_done_callback(self.jobs.pop)

    async def _run(self, job: Job) -> None:
        """Run a job, and record its outcome, even if the store is away for a while."""
        outcome = await job.execute()
        while outcome:
            try:
                recorded = await self.backend.finish(outcome)
            except OSError as error:
                uid = job.claim.uid
                logger.error("Job %s ended, but isn't recorded yet: %s", uid, error)
                await asyncio.sleep(RETRY)
            else:
                report(job, outcome, recorded)
                break

    async def _drain(self) -> None:
        """Give running jobs time to finish, then interrupt them."""
        if not self.jobs:
            return
        logger.info("Jobs still running: %d; waiting %s s", len(self.jobs), self.drain)
        _, late = await asyncio.wait(self.jobs, timeout=self.drain)
        for task in late:
            self.jobs[task].interrupted = True
            task.cancel()
        if late:
            await asyncio.wait(late)
            logger.warning("Jobs that run again after the next start: %d", len(late))


def report(job: Job, outcome: Outcome, recorded: bool) -> None:
    """Log how a job has ended."""
    uid, text = job.claim.uid, outcome.result or outcome.error
    if recorded:
        logger.info("Job %s %s: %.200s", uid, outcome.state, text)
    else:
        logger.warning("Job %s has another outcome already, not %.200s", uid, text)
