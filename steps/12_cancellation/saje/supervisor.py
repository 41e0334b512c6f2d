"""Supervisor: starts the processes again that have died."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from threading import Thread

from sanic.log import logger
from sanic.worker.constants import ProcessState
from sanic.worker.manager import WorkerManager
from sanic.worker.process import WorkerProcess

from saje.backend import Backend
from saje.retry import Retry
from saje.wake import Bell
from saje.worker import worker_name

LOOK = 0.1
"""Seconds between two looks at the processes."""

AGAIN = Retry(tries=100, first=0.2, longest=10.0)
"""The pauses before a process that keeps dying is started once more."""

WHILE = 60.0
"""Seconds for which a death counts, when the next pause is chosen."""


class Supervisor:
    """Watches the processes of the app, in a thread of the main process.

    Sanic starts its processes, but it doesn't start them again after they have died. It
    only keeps the state of each, which it brings up to date ten times a second.
    """

    def __init__(
        self, manager: WorkerManager, open_backend: Callable[[], Backend], bell: Bell
    ) -> None:
        """Create a supervisor. It does nothing before `start` is called.

        Args:
            manager: Sanic's, which starts the processes.
            open_backend: Opens the store.
            bell: Wakes a worker.
        """
        self.manager = manager
        self.open_backend = open_backend
        self.bell = bell
        self.deaths: dict[str, list[float]] = defaultdict(list)
        self.due: dict[str, float] = {}
        """When each process is started again that has died, in monotonic time."""
        self.dead: dict[str, int | None] = {}
        """The pid of the latest death of each process that was noticed."""

    def start(self) -> None:
        """Watch from now on."""
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                asyncio.run(self._watch())
            except Exception as error:  # without a supervisor nothing would come back
                logger.error("The supervisor begins once more.", exc_info=error)
                time.sleep(1)

    async def _watch(self) -> None:
        backend = self.open_backend()
        while True:
            await asyncio.sleep(LOOK)
            for process in list(self.manager.processes):
                if not (process.restartable and self._is_dead(process)):
                    continue
                # A new one may die so soon that nobody has seen it alive.
                if self.dead.get(process.name) != process.pid:
                    self.dead[process.name] = process.pid
                    await self._died(process, backend)
                elif time.monotonic() >= self.due[process.name]:
                    self._restart(process)

    def _is_dead(self, process: WorkerProcess) -> bool:
        """Return whether a process has ended although nobody has asked it to."""
        return process.state in (ProcessState.FAILED, ProcessState.COMPLETED)

    async def _died(self, process: WorkerProcess, backend: Backend) -> None:
        """Take the jobs back from a process, and choose when to start it again."""
        now = time.monotonic()
        recent = [at for at in self.deaths[process.name] if at > now - WHILE]
        self.deaths[process.name] = [*recent, now]
        pause = AGAIN.pause(len(recent)) if recent else 0.0
        self.due[process.name] = now + pause
        logger.error(
            "%s [%d] has ended (exit code %s). It is started again in %.1f s.",
            process.name,
            process.pid,
            process.exitcode,
            pause,
        )
        try:
            taken = await backend.reap([worker_name(process.name, process.pid)])
        except OSError as error:
            logger.error("Its jobs wait for the end of its lease. %s", error)
            return
        if taken:
            logger.warning("Jobs taken back from it: %d", taken)
            self.bell.ring()

    def _restart(self, process: WorkerProcess) -> None:
        """Ask Sanic to start a process again."""
        # It does so within a tenth of a second. Don't ask twice for the same.
        self.due[process.name] = time.monotonic() + 5.0
        self.manager.monitor_publisher.send(f"{process.name}:")
