"""Tasks that fail and are tried again, or that have a limit: suites 09 to 12."""

import asyncio
import time
from functools import partial
from pathlib import Path

from saje_probe_tasks import decorated, error, probe

from saje.retry import Retry
from saje.task import Task


class Asked(Retry):
    """Its pauses tell after which try they were asked for."""

    def pause(self, tries: int) -> float:
        """Return a hundred seconds for each try."""
        return 100.0 * tries


@partial(probe, retry=Asked(tries=3, on=(ConnectionError,)))
async def tries(self: Task, kind: str) -> None:
    """Raise the exception of that name."""
    raise error(kind)


@partial(probe, retry=Retry(tries=2, first=0.0))
async def recovers(self: Task, needs: str) -> str:
    """Fail unless there is a file of that name."""
    if not Path(needs).exists():
        raise ConnectionError("there is no such file, because a test wants that")
    return "there is such a file"


async def sleep(self: Task) -> str:
    """Sleep for many times the limit."""
    for _ in range(50):
        await asyncio.sleep(0.01)
    return "nobody has interrupted it"


endless = probe(sleep, "endless", limit=0.05, retry=Retry(tries=2, first=0.0))
endless_decorated = probe(decorated(sleep), "endless_decorated", limit=0.05)


@partial(probe, limit=0.05)
def loops(self: Task) -> str:
    """Loop for many times the limit."""
    for _ in range(400):
        time.sleep(0.005)
    return "nobody has interrupted it"


@partial(probe, limit=3600.0)
async def punctual(self: Task, message: str | None = None) -> str:
    """Raise a TimeoutError with this message, if there is one."""
    if message is not None:
        raise TimeoutError(message)
    return "in time"
