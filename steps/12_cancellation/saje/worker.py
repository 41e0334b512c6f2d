"""worker(): the managed process, from its start to its last log line."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from logging.config import dictConfig
from multiprocessing.synchronize import Semaphore
from typing import Any

from sanic.log import LOGGING_CONFIG_DEFAULTS, logger
from sanic.logging.setup import setup_logging

from saje.backend import Backend
from saje.scheduler import Scheduler
from saje.signals import end_with_parent, on_stop
from saje.wake import Bell


def worker_name(process: str, pid: int) -> str:
    """Return the name by which the store knows a worker.

    Args:
        process: Sanic's name for the process, which stays when it is started again.
        pid: The process's pid, which doesn't.
    """
    return f"{process} [{pid}]"


def worker(
    tokens: Semaphore,
    open_backend: Callable[[], Backend],
    concurrency: int,
    drain: float,
    keep: float,
    lease: float,
    tasks: str,
    log_config: dict[str, Any] | None,
    debug: bool,
    others: Sequence[int],
) -> None:
    """Run jobs until asked to stop. Sanic calls this in a process of its own.

    Args:
        tokens: What the app's Bells share.
        open_backend: Opens the store. A process can't use another one's connection.
        concurrency: How many jobs may run at a time.
        drain: Seconds that running jobs get to finish after a stop signal.
        keep: Seconds for which jobs are kept after they have ended.
        lease: Seconds that this process holds its jobs without another beat.
        tasks: The module that defines the tasks. This process is a new Python, so it
            knows no task before it imports them.
        log_config: The app's own, or None for Sanic's.
        debug: Whether the app runs in debug mode.
        others: The pids of processes that have to end if the main process is killed.
    """
    # A new process has no logging configuration yet.
    dictConfig(log_config or LOGGING_CONFIG_DEFAULTS)
    setup_logging(debug)
    if debug:
        logger.setLevel(logging.DEBUG)
    end_with_parent(others)
    import_module(tasks)
    name = worker_name(os.environ["SANIC_WORKER_NAME"], os.getpid())
    scheduler = Scheduler(
        open_backend(), Bell(tokens), name, concurrency, drain, keep, lease
    )
    on_stop(scheduler.stop)
    logger.info("SAJE worker ready [%s]", os.getpid())
    asyncio.run(scheduler.run())
    logger.info("SAJE worker complete [%s]", os.getpid())
