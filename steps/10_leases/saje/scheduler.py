"""Scheduler: from the jobs in the store to running asyncio tasks."""

import asyncio
import faulthandler
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sanic.log import logger

from saje.backend import Backend
from saje.job import Job
from saje.model import Claim, JobState, Outcome
from saje.wake import Bell

TICK = 1.0
"""Seconds after which a worker looks for jobs although nobody has rung. A server that
is killed right after its commit rings no more."""

RETRY = 1.0
"""Seconds until the next try if the store can't be used."""

GRACE = 3.0
"""After the drain, jobs are interrupted. They get this many seconds to tidy up."""


class Scheduler:
    """Claims jobs from the store and runs them, many at the same time."""

    def __init__(
        self,
        backend: Backend,
        bell: Bell,
        worker: str,
        concurrency: int,
        drain: float,
        keep: float,
        lease: float = 15.0,
    ) -> None:
        """Create a scheduler. Nothing runs before `run` is called.

        Args:
            backend: Where the jobs are kept.
            bell: Rings when there are jobs to claim.
            worker: The name of this process.
            concurrency: How many jobs may run at a time.
            drain: Seconds that running jobs get to finish after `stop`.
            keep: Seconds for which jobs are kept after they have ended.
            lease: Seconds that this worker holds its jobs without another beat.
        """
        self.backend = backend
        self.bell = bell
        self.worker = worker
        self.concurrency = concurrency
        self.drain = drain
        self.keep = keep
        self.lease = lease
        self.jobs: dict[asyncio.Task[Outcome | None], Job] = {}  # until each has ended
        self.ended: list[tuple[Job, Outcome]] = []  # until they are recorded
        self.awake = asyncio.Event()
        self.stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Run jobs until `stop` is called, then let them finish."""
        self._loop = asyncio.get_running_loop()
        self.bell.listen(self._rung)
        await self._beat()
        bite = min(60, max(TICK, self.keep / 10))
        repeated = [
            asyncio.create_task(self._repeat(self.lease / 3, self._beat)),
            asyncio.create_task(self._repeat(bite, self._prune)),
        ]
        while not self.stopping:
            self.awake.clear()
            await self._wait(await self._turn())
        await self._drain()  # during which the lease has to last
        for task in repeated:
            task.cancel()
        with suppress(OSError):  # others will find that the lease is over
            await self.backend.dismiss(self.worker)
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

    async def _turn(self) -> float:
        """Record what has ended, and start as many jobs as there are free slots.

        Returns:
            Seconds to wait until the next turn, unless something happens before that.
        """
        free = 0 if self.stopping else self.concurrency - len(self.jobs)
        ended, self.ended = self.ended, []
        if not free and not ended:
            return TICK
        try:
            recorded, claims, wait = await self.backend.turn(
                [outcome for _, outcome in ended], self.worker, free
            )
        except OSError as error:
            self.ended = ended + self.ended
            count = len(self.ended)
            logger.error(
                "A turn failed. Outcomes not recorded yet: %d. %s", count, error
            )
            await asyncio.sleep(RETRY)
            return 0.0
        for claim in claims:
            self._start(claim)
        if not wait:
            self.bell.ring()  # for a worker that has a free slot, which may be this one
        for (job, outcome), done in zip(ended, recorded, strict=True):
            report(job, outcome, done)
        return min(wait or TICK, TICK)

    async def _wait(self, seconds: float) -> None:
        """Wait for the bell or for the end of a job, but only so many seconds."""
        if len(self.jobs) < self.concurrency:
            self.bell.arm()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.awake.wait()

    def _rung(self) -> None:
        if len(self.jobs) < self.concurrency:
            self.awake.set()
        else:
            self.bell.ring()  # the slot is taken by now, so wake another worker

    def _start(self, claim: Claim) -> None:
        job = Job(claim)
        task = asyncio.create_task(job.execute())
        self.jobs[task] = job
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Outcome | None]) -> None:
        job = self.jobs.pop(task)
        if not task.cancelled() and (outcome := task.result()):
            self.ended.append((job, outcome))
        self.awake.set()  # there is a free slot, and something to record

    async def _drain(self) -> None:
        """Give running jobs time to finish, then interrupt them and hand them back."""
        deadline = time.monotonic() + self.drain
        if self.jobs:
            count = len(self.jobs)
            logger.info("Jobs still running: %d; waiting %s s", count, self.drain)
        while self.jobs and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait(self.jobs, timeout=left, return_when="FIRST_COMPLETED")
            await self._turn()
        late = dict(self.jobs)
        for task, job in late.items():
            job.interrupted = True
            task.cancel()
        if late:
            await asyncio.wait(late)
            logger.warning("Jobs that are handed back: %d", len(late))
        await self._turn()
        try:
            await self.backend.release([job.claim for job in late.values()])
        except OSError as error:
            logger.error("Jobs left for the next start: %d. %s", len(late), error)

    async def _repeat(
        self, pause: float, action: Callable[[], Awaitable[None]]
    ) -> None:
        """Do something again and again, even after an error that nobody expected."""
        while True:
            await asyncio.sleep(pause)
            try:
                await action()
            except Exception as error:
                logger.error("%s() failed.", action.__name__, exc_info=error)

    async def _beat(self) -> None:
        """Extend our lease, and take the jobs of those workers that have none."""
        # TODO 10.4: beat. If that returns False, our lease was lost, so give up our
        # jobs right then, because after the beat this worker may claim others, which it
        # has to keep. Then reap. If that has taken jobs back, log how many, and ring,
        # because a worker may be idle. While the store can't be used, log that the
        # lease was not extended, and return, because the next beat comes soon.

    def _give_up(self) -> None:
        """Interrupt all jobs, because others have them by now."""
        if self.jobs:
            count = len(self.jobs)
            logger.error("The lease was lost, so others have the jobs: %d", count)
        # TODO 10.5: cancel all jobs, because their work is done elsewhere by now. Mark
        # each as interrupted as well, so that it isn't taken for one that failed.

    async def _prune(self) -> None:
        """Forget old jobs."""
        with suppress(OSError):  # a turn fails as well then, and says so
            await self.backend.prune(time.time() - self.keep)


def report(job: Job, outcome: Outcome, recorded: bool) -> None:
    """Log how a job has ended."""
    uid, text = job.claim.uid, outcome.result or outcome.error
    if recorded and outcome.state == JobState.QUEUED:
        logger.info("Job %s is tried again in %.1f s.", uid, outcome.pause)
    elif recorded:
        logger.info("Job %s %s: %.200s", uid, outcome.state, text)
    else:
        attempt = outcome.attempt
        logger.warning("Job %s: attempt %d came too late: %.200s", uid, attempt, text)
