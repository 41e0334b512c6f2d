"""The tasks of the measured app: those of the solution, and one that does nothing."""

import logging

import app.tasks  # noqa: F401  (registers its tasks)
from saje.retry import Retry
from saje.task import Task

# A line for each job costs more than the job. The peers don't log any, either.
logging.getLogger("sanic.root").setLevel(logging.CRITICAL)


class Nothing(Task):
    """Does nothing, so that only the system around it is measured."""

    name = "nothing"

    async def run(self) -> None:
        """Return at once."""


class Failing(Task):
    """Fails, and is tried again about a second later, for a minute and a half."""

    name = "failing"
    retry = Retry(tries=100, first=2.0, factor=1.0)

    async def run(self) -> None:
        """Raise an exception."""
        raise ConnectionError("on purpose")
