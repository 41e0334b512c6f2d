"""Tasks that misbehave, beside those of the learner's app."""

import asyncio
import time
from typing import Any

from sanic.log import logger

import app.tasks  # noqa: F401  (registers its tasks)
from saje.task import Task


class Raises(Task):
    """Raises what it is told to."""

    name = "probe_raises"

    async def run(self, kind: str) -> None:
        """Raise the exception of that name."""
        kinds: dict[str, type[BaseException]] = {
            "ValueError": ValueError,
            "SystemExit": SystemExit,
            "KeyboardInterrupt": KeyboardInterrupt,
            "CancelledError": asyncio.CancelledError,
        }
        raise kinds[kind]("on purpose")


class RaisesInThread(Task):
    """Raises in a thread."""

    name = "probe_raises_in_thread"

    def run(self) -> None:
        """Raise what no future takes."""
        raise StopIteration


class Says(Task):
    """Says what it is told to."""

    name = "probe_says"

    async def run(self, text: str) -> str:
        """Log the text, and return it."""
        logger.info("Somebody says: %s", text)
        return text


class Computes(Task):
    """A plain function that keeps the processor busy."""

    name = "probe_computes"

    def run(self, seconds: float) -> None:
        """Compute for some seconds."""
        logger.info("The computation begins.")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        logger.info("The computation ends.")


class Blocks(Task):
    """Never gives the event loop back."""

    name = "probe_blocks"

    async def run(self) -> None:
        """Block for a minute."""
        logger.info("The loop is blocked.")
        time.sleep(60)


class Unstorable(Task):
    """Returns what JSON cannot hold."""

    name = "probe_unstorable"

    async def run(self) -> Any:
        """Return an object."""
        return {"value": float("nan")}


class Nested(Task):
    """Returns what is nested: a record of it is so once more."""

    name = "probe_nested"

    async def run(self, levels: int) -> Any:
        """Return lists in lists."""
        result: list[Any] = []
        for _ in range(levels - 1):
            result = [result]
        return result
