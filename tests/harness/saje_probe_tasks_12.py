"""The tasks of the probe, and those that are of use from step 12 on."""

import asyncio
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


class Tidies(Task):
    """Takes a second to tidy up when it is cancelled."""

    name = "probe_tidies"

    async def run(self) -> None:
        """Wait to be cancelled, and log what happens then."""
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            logger.info("It begins to tidy up.")
            try:
                await asyncio.sleep(1.0)
            except asyncio.CancelledError:
                logger.info("It was disturbed.")
                raise
            logger.info("It is tidy.")
            raise
