"""A supervisor of processes that are only said to run: suite 11."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from saje_probe_retries import Asked
from saje_probe_scheduler import CountingBell, FakeBackend
from sanic.worker.constants import ProcessState

import saje.supervisor
from saje.supervisor import Supervisor
from saje.wake import new_tokens

OVER = {
    "killed": (-9, ProcessState.FAILED),
    "raised an exception": (1, ProcessState.FAILED),
    "returned": (0, ProcessState.COMPLETED),
}
"""How a process may end although nobody has asked it to: its exit code, and the state
that Sanic gives it."""


class FakeProcess:
    """A process that only says that it runs, or that it has ended."""

    def __init__(self, name: str, pid: int, restartable: bool = True) -> None:
        """Create a process that runs."""
        self.name = name
        self.restartable = restartable
        self.restarted = 0
        """How often it was restarted directly, which only Sanic's manager may do."""
        self.run(pid)

    def run(self, pid: int) -> None:
        """Run from now on, with a new pid."""
        self.pid = pid
        self.exitcode: int | None = None
        self.state = ProcessState.STARTED

    def die(self, how: str = "killed") -> None:
        """End, in one of the ways of OVER."""
        self.exitcode, self.state = OVER[how]

    def is_alive(self) -> bool:
        """Return whether it runs."""
        return self.exitcode is None

    def restart(self, *args: Any, **kwargs: Any) -> None:
        """Count."""
        self.restarted += 1

    start = spawn = restart


class Enough(BaseException):
    """Raised when a supervisor has looked as often as a test wants.

    It isn't an Exception, because a supervisor begins once more after one of those.
    """


class FakeManager:
    """A manager that keeps the messages it is sent, and lets something happen."""

    def __init__(self, *processes: FakeProcess) -> None:
        """Create a manager of these processes."""
        self.all = list(processes)
        self.sent: list[Any] = []
        self.events: list[Callable[[], object]] = []
        self.monitor_publisher = SimpleNamespace(send=self.sent.append)

    @property
    def processes(self) -> list[FakeProcess]:
        """Return the processes, after the next event has happened.

        Raises:
            Enough: There is no further event.
        """
        if not self.events:
            raise Enough
        self.events.pop(0)()
        return self.all

    def names(self) -> list[str]:
        """Return the names of the processes that the messages ask for."""
        return [str(message).partition(":")[0] for message in self.sent]


class Watched:
    """A supervisor of fake processes, with a clock that a test sets."""

    def __init__(self, *processes: FakeProcess, taken: int = 0) -> None:
        """Create it, and put the clock and the pauses in place of the real ones."""
        self.now = 1000.0
        self.manager = FakeManager(*processes)
        self.backend, self.bell = FakeBackend(taken=taken), CountingBell(new_tokens())
        parts: Any = self.manager, lambda: self.backend, self.bell
        self.supervisor = Supervisor(*parts)
        module: Any = saje.supervisor
        module.time = SimpleNamespace(
            monotonic=lambda: self.now, sleep=lambda seconds: None
        )
        module.AGAIN, module.LOOK = Asked(tries=100), 0.0

    @property
    def dead(self) -> list[str]:
        """Return the names of those whose jobs were taken back."""
        reaps = [names for event, *names in self.backend.events if event == "reap"]
        return [name for names in reaps for name in names]

    async def look(self, *events: Callable[[], object]) -> None:
        """Let the supervisor look at the processes, once after each event."""
        self.manager.events = list(events)
        with suppress(Enough):
            await self.supervisor._watch()

    def run(self, *events: Callable[[], object]) -> None:
        """Do the same as the supervisor's own thread does it, in spite of errors."""
        self.manager.events = list(events)
        with suppress(Enough):
            self.supervisor._run()

    async def pause(self, process: FakeProcess, now: float) -> float:
        """Let a process die, and return the seconds until it is started again."""
        self.now = now
        process.die()
        await self.supervisor._died(process, self.backend)  # type: ignore[arg-type]
        return self.supervisor.due[process.name] - now
