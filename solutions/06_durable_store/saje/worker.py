"""worker(): the managed process, from its start to its last log line."""

import asyncio
import logging
import os
from collections.abc import Callable
from importlib import import_module
from logging.config import dictConfig
from queue import Queue
from typing import Any

from sanic.log import LOGGING_CONFIG_DEFAULTS, logger
from sanic.logging.setup import setup_logging

from saje.backend import Backend
from saje.scheduler import Scheduler
from saje.signals import end_with_parent, on_stop


def worker(
    saje_queue: Queue[str],
    drain: float,
    log_config: dict[str, Any] | None,
    debug: bool,
    tasks: str,
    open_backend: Callable[[], Backend],
) -> None:
    """Run jobs until asked to stop. Sanic calls this in a process of its own.

    Args:
        saje_queue: A message on this Manager's queue says that jobs are waiting.
        drain: Seconds that running jobs get to finish after a stop signal.
        log_config: The app's own, or None for Sanic's.
        debug: Whether the app runs in debug mode.
        tasks: The module that defines the tasks. This process is a new Python, so it
            knows no task before it imports them.
        open_backend: Opens the store. A process can't use another one's connection.
    """
    # A new process has no logging configuration yet.
    dictConfig(log_config or LOGGING_CONFIG_DEFAULTS)
    setup_logging(debug)
    if debug:
        logger.setLevel(logging.DEBUG)
    end_with_parent()
    import_module(tasks)
    name = os.environ["SANIC_WORKER_NAME"]
    scheduler = Scheduler(saje_queue, drain, open_backend(), name)
    on_stop(scheduler.stop)
    logger.info("SAJE worker ready [%s]", os.getpid())
    asyncio.run(scheduler.run())
    logger.info("SAJE worker complete [%s]", os.getpid())
