"""worker(): the managed process, from its start to its last log line."""

import asyncio
import logging
import os
from importlib import import_module
from logging.config import dictConfig
from queue import Queue
from typing import Any

from sanic.log import LOGGING_CONFIG_DEFAULTS, logger
from sanic.logging.setup import setup_logging

from saje.backend import FileBackend
from saje.scheduler import Scheduler
from saje.signals import end_with_parent, on_stop


def worker(
    saje_queue: Queue[str],
    drain: float,
    log_config: dict[str, Any] | None,
    debug: bool,
    tasks: str,
    db: str,
) -> None:
    """Run jobs until asked to stop. Sanic calls this in a process of its own.

    Args:
        saje_queue: Where the jobs come from: a Manager's queue.
        drain: Seconds that running jobs get to finish after a stop signal.
        log_config: The app's own, or None for Sanic's.
        debug: Whether the app runs in debug mode.
        tasks: The module that defines the tasks. This process is a new Python, so it
            knows no task before it imports them.
        db: The file that keeps the jobs.
    """
    # A new process has no logging configuration yet.
    dictConfig(log_config or LOGGING_CONFIG_DEFAULTS)
    setup_logging(debug)
    if debug:
        logger.setLevel(logging.DEBUG)
    end_with_parent()
    import_module(tasks)
    scheduler = Scheduler(saje_queue, drain, FileBackend(db))
    on_stop(scheduler.stop)
    logger.info("SAJE worker ready [%s]", os.getpid())
    asyncio.run(scheduler.run())
    logger.info("SAJE worker complete [%s]", os.getpid())
