"""worker(): the managed process: start, signals, drain."""

# TODO 2.2: import asyncio.
import os
from logging.config import dictConfig
from queue import Queue

from sanic.log import LOGGING_CONFIG_DEFAULTS, logger
from sanic.logging.setup import setup_logging

# TODO 2.2: import Scheduler from saje.scheduler, and on_stop from saje.signals.


def worker(saje_queue: Queue[str], drain: float) -> None:
    """Run jobs until asked to stop. Sanic calls this in a process of its own.

    Args:
        saje_queue: Where the jobs come from: a Manager's queue.
        drain: Seconds that running jobs get to end in when the worker stops.
    """
    dictConfig(LOGGING_CONFIG_DEFAULTS)  # a new process starts without
    setup_logging(debug=False)
    # TODO 2.2: make a Scheduler, and have on_stop() call its stop().
    logger.info("SAJE worker ready [%s]", os.getpid())
    # TODO 2.2: run the scheduler's run() to its end, with asyncio.
    logger.info("SAJE worker complete [%s]", os.getpid())
