"""The tasks of the probe, and those that are of use from step 12 on."""

from multiprocessing import current_process

import saje_probe_tasks as saje_probe_tasks  # registers its tasks
from sanic.log import logger

from saje.task import Task


class Ticks(Task):
    """Is due each second, but only in the workers.

    A scheduler that a test runs inside of a server must not make jobs of its own.
    """

    name = "probe_ticks"
    every = 1.0 if "SajeWorker" in current_process().name else None

    async def run(self) -> None:
        """Log that it ran."""
        logger.info("Tick.")
