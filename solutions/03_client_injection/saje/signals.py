"""How processes are asked to stop, the same on every platform."""

import asyncio
import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import parent_process
from queue import Empty, SimpleQueue

from sanic.log import logger
from sanic.worker.constants import ProcessState
from sanic.worker.manager import WorkerManager

MAX_DRAIN = 86_400  # seconds: a day
GRACE = 3.0
"""Seconds after the drain until what still runs is killed: more than the worker needs
to record what it has interrupted."""
START = 2.0
"""Seconds that servers get to start in once a stop is wanted."""
AGAIN = 2.0
"""Seconds between two signals to what has to stop."""
LOOK = 0.1
"""Seconds between two looks at all that."""


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
    """Stop all that Sanic manages at the first signal, and kill what does not stop.

    Sanic answers a second Ctrl+C with SIGKILL for its whole process group: jobs
    that were about to end are lost. And its signal handler talks to Sanic's Manager
    over the connection that the interrupted code may just be using: the answers
    get mixed up. Here the handlers only note the signal, and a thread acts on it.

    Call this in the main process, after Sanic has installed its own handlers.

    Args:
        manager: Sanic's, `app.manager`.
        seconds: What every process gets to end in. What still runs GRACE later is
            killed.

    Raises:
        ValueError: That is no number from 0 to MAX_DRAIN.
    """
    if not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_DRAIN:
        raise ValueError(
            f"SAJE_DRAIN must be seconds, from 0 to {MAX_DRAIN}; it is {seconds!r}"
        )
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
    began = time.monotonic()
    # A signal to a server that still starts would break it off.
    while not _have_started(manager) and time.monotonic() < began + START:
        time.sleep(LOOK)
    # As app.m.terminate() does it in a server.
    manager.monitor_publisher.send("__TERMINATE__")
    began = asked = time.monotonic()
    while (left := began + seconds + GRACE - time.monotonic()) > 0:
        with suppress(Empty):
            received.get(timeout=min(left, LOOK))
            logger.info("Stopping already, within %.1f s.", left)
        # A server loses a signal that comes in the very moment when it has started.
        if time.monotonic() > asked + AGAIN:
            _signal_all(manager, signal.SIGINT)
            asked = time.monotonic()
    while True:
        _signal_all(manager, getattr(signal, "SIGKILL", signal.SIGTERM))
        with suppress(OSError, EOFError):  # Sanic's Manager has just ended
            _have_started(manager)
        time.sleep(LOOK)


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


def _signal_all(manager: WorkerManager, number: int) -> None:
    for process in list(manager.processes):
        if process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)


def stop_once(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Stop a server at a signal, and pass over those that follow on its heels.

    One Ctrl+C signals a server twice, from the terminal and from Sanic. A second
    stop of its loop would break off its clean-up: "Event loop stopped before
    Future completed". Call this in a server, when Sanic has installed its own
    handlers.
    """
    stopped_at = float("-inf")

    def handle() -> None:
        nonlocal stopped_at
        # A stop that came before the loop ran for good is lost: then again.
        if loop.time() > stopped_at + AGAIN / 2:
            stopped_at = loop.time()
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
