"""How processes are asked to stop, the same on every platform."""

import asyncio
import faulthandler
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import parent_process
from queue import Empty, SimpleQueue

from sanic.exceptions import ServerKilled
from sanic.log import logger
from sanic.worker.constants import ProcessState
from sanic.worker.manager import WorkerManager

LOOK = 0.1
"""Seconds between two looks at servers that have yet to start."""


def on_stop(stop: Callable[[], None]) -> None:
    """Call a function when this process is asked to stop.

    Ctrl+C in a terminal asks twice: the terminal signals every process, and
    then Sanic signals its own. So `stop` must bear being called again. It is
    called between any two steps of the program: it should do no more than set
    a flag.
    """
    for number in _stop_signals():
        signal.signal(number, lambda number, frame: stop())


def end_within(seconds: float) -> None:
    """End this process with status 1 unless it ends by itself in time.

    A task that never gives the event loop back would otherwise keep the
    process, and Sanic with it, from ending at all. The traceback that is
    printed then shows the line at which that task was.
    """
    faulthandler.dump_traceback_later(max(seconds, 0.001), exit=True)


def stop_gracefully(manager: WorkerManager, seconds: float) -> None:
    """Stop Sanic's main process, and all that it manages, without harm.

    Sanic answers a second Ctrl+C with SIGKILL for its whole process group: jobs
    that were about to end are lost. And its signal handler talks to Sanic's Manager
    over the connection that the interrupted code may just be using: the answers
    get mixed up. Here the handlers only note the signal, and a thread acts on it.

    Call this in the main process, after Sanic has installed its own handlers.

    Args:
        manager: Sanic's, `app.manager`.
        seconds: How long, from the first signal on, further ones are ignored.
            One that comes later kills all processes at once.

    Raises:
        ValueError: That is no number, or it is negative.
    """
    if not isinstance(seconds, int | float) or seconds < 0:
        raise ValueError(f"SAJE_DRAIN must be seconds, 0 or more; it is {seconds!r}")
    received: SimpleQueue[int] = SimpleQueue()  # its put() may interrupt anything
    for number in _stop_signals():
        signal.signal(number, lambda number, frame: received.put(number))
    threading.Thread(
        target=_stop_at_signal, args=(manager, seconds, received), daemon=True
    ).start()


def _stop_at_signal(
    manager: WorkerManager, seconds: float, received: SimpleQueue[int]
) -> None:
    number = received.get()
    logger.info("Received signal %s. Shutting down.", signal.Signals(number).name)
    kill_at = time.monotonic() + seconds
    asked = False
    while True:
        # A signal to a server that still starts would break it off, or be lost.
        if not asked and _have_started(manager):
            # As app.m.terminate() does it in a server.
            manager.monitor_publisher.send("__TERMINATE__")
            asked = True
        try:
            received.get(timeout=LOOK)
        except Empty:
            continue
        if (left := kill_at - time.monotonic()) > 0:
            logger.info("Stopping already. To kill, repeat in %.1f s.", left)
            continue
        with suppress(ServerKilled):
            manager.kill()  # type: ignore[no-untyped-call]


def _have_started(manager: WorkerManager) -> bool:
    """Tell whether each server serves, or has ended before it did."""
    for process in list(manager.transient_processes):
        state = manager.worker_state.get(process.name, {})
        if not state.get("server") or state.get("serving"):
            continue
        if process.exitcode is None:
            return False
        # A Ctrl+C ended it. Sanic would wait for it without end.
        state["state"] = ProcessState.ACKED.name
        manager.worker_state[process.name] = state
    return True


def stop_once(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Stop a server at the first signal, and pass over those that follow.

    One Ctrl+C signals a server twice, from the terminal and from Sanic. A second
    stop of its loop would break off its clean-up: "Event loop stopped before
    Future completed". Call this in a server, when Sanic has installed its own
    handlers.
    """
    stopping = False

    def handle() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            stop()

    for number in _stop_signals():
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, handle)


def ignore_stop() -> None:
    """Pass over every further signal: this process is stopping already."""
    for number in _stop_signals():
        signal.signal(number, signal.SIG_IGN)


def orphaned() -> bool:
    """Tell whether the process that started this one is gone, as after kill -9."""
    parent = parent_process()
    return parent is not None and not parent.is_alive()


def _stop_signals() -> list[signal.Signals]:
    # SIGBREAK is Ctrl+Break on Windows.
    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]
