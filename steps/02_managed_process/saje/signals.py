"""How processes are asked to stop, the same on every platform."""

import asyncio
import faulthandler
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import parent_process
from types import FrameType

from sanic.log import logger


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


def ignore_second_stop(seconds: float) -> None:
    """Keep a second Ctrl+C from killing what is about to end by itself.

    Sanic answers a second signal with SIGKILL for its whole process group:
    jobs that were about to end are lost. Call this in the main process, after
    Sanic has installed its own handlers.

    Args:
        seconds: How long, from the first signal on, further ones are ignored.
            After that they reach Sanic again.

    Raises:
        ValueError: That is no number, or it is negative.
    """
    if not isinstance(seconds, int | float) or seconds < 0:
        raise ValueError(f"SAJE_DRAIN must be seconds, 0 or more; it is {seconds!r}")
    kill_at: float | None = None  # set by the first signal

    def guard(number: signal.Signals) -> None:
        sanic_handler = signal.getsignal(number)

        def handle(number: int, frame: FrameType | None) -> None:
            nonlocal kill_at
            now = time.monotonic()
            if kill_at is not None and now < kill_at:
                left = kill_at - now
                logger.info("Stopping already. To kill, repeat in %.1f s.", left)
                return
            kill_at = kill_at or now + seconds
            if callable(sanic_handler):
                sanic_handler(number, frame)

        signal.signal(number, handle)

    for number in _stop_signals():
        guard(number)


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
