"""worker(): the managed process, from its start to its last log line."""

# TODO 2.2: import asyncio.
import logging
import os
from logging.config import dictConfig
from queue import Queue
from typing import Any

from sanic.log import LOGGING_CONFIG_DEFAULTS, logger
from sanic.logging.setup import setup_logging

# TODO 2.2: import on_stop as well, and Scheduler from saje.scheduler.
from saje.signals import end_with_parent


def worker(
    saje_queue: Queue[str],
    drain: float,
    log_config: dict[str, Any] | None,
    debug: bool,
) -> None:
    """Run jobs until asked to stop. Sanic calls this in a process of its own.

    Args:
        saje_queue: Where the jobs come from: a Manager's queue.
        drain: Seconds that running jobs get to finish after a stop signal.
        log_config: The app's own, or None for Sanic's.
        debug: Whether the app runs in debug mode.
    """
    # A new process has no logging configuration yet.
    dictConfig(log_config or LOGGING_CONFIG_DEFAULTS)
    setup_logging(debug)
    if debug:
        logger.setLevel(logging.DEBUG)
    end_with_parent()
    # TODO 2.2: create a Scheduler, and see to it that a stop signal calls its stop().
    # Without that, a signal ends this process in the middle of whatever it is doing.
    logger.info("SAJE worker ready [%s]", os.getpid())
    # TODO 2.2: run the scheduler. This function is the whole process, so the worker
    # lives exactly as long as scheduler.run() does.
    logger.info("SAJE worker complete [%s]", os.getpid())
