"""Scheduler: from the jobs in the store to running asyncio tasks."""

import asyncio
import faulthandler
from contextlib import suppress

from sanic.log import logger

from saje.backend import Backend
from saje.job import Job
from saje.model import Claim, Outcome
from saje.wake import Bell

# TODO 7.3: until the bell works, a worker has to look ten times a second. As soon as it
# does, once a second is enough.
TICK = 0.1
"""Seconds after which a worker looks for jobs although nobody has rung. A server that
is killed right after its commit rings no more."""

RETRY = 1.0
"""Seconds until the next try if the store can't be used."""

GRACE = 3.0
"""After the drain, jobs are interrupted. They get this many seconds to tidy up."""


class Scheduler:
    """Claims jobs from the store and runs them, many at the same time."""

    def __init__(
        self, backend: Backend, bell: Bell, worker: str, concurrency: int, drain: float
    ) -> None:
        """Create a scheduler. Nothing runs before `run` is called.

        Args:
            backend: Where the jobs are kept.
            bell: Rings when there are jobs to claim.
            worker: The name of this process.
            concurrency: How many jobs may run at a time.
            drain: Seconds that running jobs get to finish after `stop`.
        """
        self.backend = backend
        self.bell = bell
        self.worker = worker
        self.concurrency = concurrency
        self.drain = drain
        self.jobs: dict[asyncio.Task[None], Job] = {}  # until each is recorded
        self.awake = asyncio.Event()
        self.stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Run jobs until `stop` is called, then let them finish."""
        self._loop = asyncio.get_running_loop()
        self.bell.listen(self._rung)
        while not self.stopping:
            self.awake.clear()
            await self._claim()
            await self._wait()
        await self._drain()
        logger.info("Drained. Jobs left: %d", len(self.jobs))

    def stop(self) -> None:
        """Claim no more jobs. Safe to call from a signal handler, and twice."""
        if not self.stopping:
            self.stopping = True
            # A job that never awaits anything blocks the event loop, so neither this
            # process nor the app could exit. Print where it is stuck, and exit.
            faulthandler.dump_traceback_later(self.drain + GRACE, exit=True)
            if self._loop:
                self._loop.call_soon_threadsafe(self.awake.set)

    async def _claim(self) -> None:
        """Start as many jobs as there are free slots."""
        free = self.concurrency - len(self.jobs)
        if not free:
            return
        try:
            claims, more = await self.backend.claim(self.worker, free)
        except OSError as error:
            logger.error("Trying again in %s s, because %s", RETRY, error)
            await asyncio.sleep(RETRY)
            self.awake.set()
            return
        for claim in claims:
            self._start(claim)
        if more:
            # TODO 7.5: many jobs may have come with one token, so wake another worker
            # that has a free slot. (It may be this one.)
            logger.debug("There are more jobs than %s has claimed.", self.worker)

    async def _wait(self) -> None:
        """Wait for the bell, for the end of a job, or for the next tick."""
        # TODO 7.3: a busy worker must not take the token that an idle one needs, so arm
        # the bell only while there is a free slot.
        self.bell.arm()
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK):
                await self.awake.wait()

    def _rung(self) -> None:
        # TODO 7.3: if the last slot was taken since the bell was armed, this worker
        # can't use the token, so wake another one.
        self.awake.set()

    def _start(self, claim: Claim) -> None:
        job = Job(claim)
        task = asyncio.create_task(self._run(job))
        self.jobs[task] = job
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self.jobs[task]
        self.awake.set()  # there is a free slot

    async def _run(self, job: Job) -> None:
        """Run a job, and record its outcome, however long that takes."""
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
        """Give running jobs time to finish, then interrupt them and hand them back."""
        if not self.jobs:
            return
        logger.info("Jobs still running: %d; waiting %s s", len(self.jobs), self.drain)
        _, late = await asyncio.wait(self.jobs, timeout=self.drain)
        claims = [self.jobs[task].claim for task in late]
        for task in late:
            self.jobs[task].interrupted = True
            task.cancel()
        if late:
            await asyncio.wait(late)
            logger.warning("Jobs that are handed back: %d", len(late))
            try:
                await self.backend.release(claims)
            except OSError as error:
                logger.error(
                    "Jobs that wait for the next start: %d. %s", len(late), error
                )


def report(job: Job, outcome: Outcome, recorded: bool) -> None:
    """Log how a job has ended."""
    uid, text = job.claim.uid, outcome.result or outcome.error
    if recorded:
        logger.info("Job %s %s: %.200s", uid, outcome.state, text)
    else:
        logger.warning("Job %s has another outcome already, not %.200s", uid, text)
