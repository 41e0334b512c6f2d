"""Tasks that misbehave, beside those of the learner's app."""

import asyncio
from typing import Any

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


class Unstorable(Task):
    """Returns what JSON cannot hold."""

    name = "probe_unstorable"

    async def run(self) -> Any:
        """Return an object."""
        return {"value": float("nan")}
