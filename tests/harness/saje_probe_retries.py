"""Tasks that fail and are tried again, or that have a limit: from step 09 on."""

import asyncio
import builtins
import time
from pathlib import Path

from saje_probe_tasks import decorated

from saje.retry import Retry
from saje.task import Task


class Asked(Retry):
    """Its pauses tell after which try they were asked for."""

    def pause(self, tries: int) -> float:
        """Return a hundred seconds for each try."""
        return 100.0 * tries


class Tries(Task):
    """Raises what it is told to, and has three tries if it is a ConnectionError."""

    name = "probe_tries"
    retry = Asked(tries=3, on=(ConnectionError,))

    async def run(self, kind: str) -> None:
        """Raise the exception of that name."""
        raise getattr(builtins, kind)("on purpose")


class TriesOnce(Task):
    """Raises what it is told to, and isn't tried again."""

    name = "probe_tries_once"

    async def run(self, kind: str) -> None:
        """Raise the exception of that name."""
        raise getattr(builtins, kind)("on purpose")


class Recovers(Task):
    """Fails until a test has made what it needs, and is tried twice, without delay."""

    name = "probe_recovers"
    retry = Retry(tries=2, first=0.0)

    async def run(self, needs: str) -> str:
        """Fail unless there is a file of that name."""
        if not Path(needs).exists():
            raise ConnectionError("there is no such file, because a test wants that")
        return "there is such a file"


class Endless(Task):
    """Waits for much longer than it may, and is tried twice, without delay."""

    name = "probe_endless"
    limit = 0.05
    retry = Retry(tries=2, first=0.0)

    async def run(self) -> str:
        """Sleep for many times the limit."""
        for _ in range(50):
            await asyncio.sleep(0.01)
        return "nobody has interrupted it"


class EndlessDecorated(Task):
    """Waits for longer than it may, in a coroutine that doesn't look like one."""

    name = "probe_endless_decorated"
    limit = 0.05

    @decorated
    async def run(self) -> str:
        """Sleep for many times the limit."""
        return await Endless.run(Endless())


class Loops(Task):
    """A plain function that loops for much longer than it may."""

    name = "probe_loops"
    limit = 0.05

    def run(self) -> str:
        """Loop for many times the limit."""
        for _ in range(400):
            time.sleep(0.005)
        return "nobody has interrupted it"


class Punctual(Task):
    """Has a limit that it doesn't reach, and raises what it is told to."""

    name = "probe_punctual"
    limit = 3600.0

    async def run(self, message: str | None = None) -> str:
        """Raise a TimeoutError with this message, if there is one."""
        if message is not None:
            raise TimeoutError(message)
        return "in time"
