"""The tasks of the measured app: those of the solution, and one that does nothing."""

import logging

import app.tasks  # noqa: F401  (registers its tasks)
from saje.task import Task

# A line for each job costs more than the job. The peers don't log any, either.
logging.getLogger("sanic.root").setLevel(logging.WARNING)


class Nothing(Task):
    """Does nothing, so that only the system around it is measured."""

    name = "nothing"

    async def run(self) -> None:
        """Return at once."""
