"""worker(): the managed process: start, signals, drain."""

import asyncio
import os
from logging.config import dictConfig
from queue import Queue

from sanic.log import LOGGING_CONFIG_DEFAULTS, logger
from sanic.logging.setup import setup_logging

from saje.scheduler import Scheduler
from saje.signals import on_stop


def worker(saje_queue: Queue[str], drain: float) -> None:
    """Run jobs until asked to stop. Sanic calls this in a process of its own.

    Args:
        saje_queue: Where the jobs come from: a Manager's queue.
        drain: Seconds that running jobs get to end in when the worker stops.
    """
    dictConfig(LOGGING_CONFIG_DEFAULTS)  # a new process starts without
    setup_logging(debug=False)
    scheduler = Scheduler(saje_queue, drain)
    on_stop(scheduler.stop)
    logger.info("SAJE worker ready [%s]", os.getpid())
    asyncio.run(scheduler.run())
    logger.info("SAJE worker complete [%s]", os.getpid())
