"""Stopping: when the app is asked to stop, and when its main process is gone."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing import current_process, parent_process
from threading import Thread

from sanic.log import logger
from sanic.worker.manager import WorkerManager

ONE_PRESS = 1.0
"""Seconds within which a second stop signal counts as the same press of Ctrl+C."""


def on_stop(stop: Callable[[], None]) -> None:
    """Call a function whenever this process is asked to stop.

    One Ctrl+C arrives twice: the terminal signals every process of the app, and then
    Sanic signals the ones that it manages.

    Args:
        stop: Runs between any two steps of the program, and possibly more than once,
            so it should do no more than set a flag.
    """
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):  # SIGBREAK only exists on Windows
        if number := getattr(signal, name, None):
            signal.signal(number, lambda number, frame: stop())


def stop_gracefully(manager: WorkerManager) -> None:
    """Replace Sanic's handler for stop signals with one that only tells the manager.

    Sanic's own handler does all of its work right there, in the middle of whatever the
    signal interrupted, and it takes any second signal as a request to kill, although
    one Ctrl+C may arrive twice.

    Args:
        manager: Sanic's, from `app.manager`. Call this in a `main_process_ready`
            listener, because by then Sanic has installed its own handlers.
    """
    asked_at: float | None = None

    def ask() -> None:
        nonlocal asked_at
        if asked_at is None:
            asked_at = time.monotonic()
            logger.info("Shutting down. Press Ctrl+C again to kill.")
            manager.monitor_publisher.send("__TERMINATE__")  # as app.m.terminate() does
        elif time.monotonic() > asked_at + ONE_PRESS:
            logger.info("Shutdown interrupted. Killing.")
            manager.kill()

    on_stop(ask)


def stop_app() -> None:
    """Ask the main process to stop the whole app."""
    if (main := parent_process()) and main.pid:
        with suppress(OSError):  # it has ended already
            os.kill(main.pid, signal.SIGTERM)


def end_with_parent(others: Iterable[int] = ()) -> None:
    """End this process as soon as the process that started it is gone.

    After a `kill -9` of the main process nobody is left to stop the others. Without
    this they would run on, and hold the port.

    Args:
        others: The pids of processes that have to end as well.
    """

    def wait() -> None:
        if parent := parent_process():
            parent.join()
            logger.error("The main process is gone: %s ends.", current_process().name)
            for pid in others:
                with suppress(OSError):  # it has ended already
                    os.kill(pid, signal.SIGTERM)
            os._exit(1)

    Thread(target=wait, daemon=True).start()


def guard(others: Iterable[int]) -> None:
    """Prepare the process that holds the queue: it has to outlast the worker.

    Args:
        others: See `end_with_parent`.
    """
    on_stop(lambda: None)  # the main process ends it, after all the others
    end_with_parent(others)
