"""A blocking call in a thread of its own, whose outcome can be awaited."""

import ctypes
from asyncio import CancelledError, get_running_loop, wrap_future
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import Any

from sanic.log import logger

GRACE = 1.0
"""Seconds after which a thread should have ended that was interrupted."""


class Interrupted(BaseException):
    """Raised in a thread whose outcome nobody waits for any more."""


async def in_thread(function: Callable[..., Any], /, **kwargs: Any) -> Any:
    """Call a blocking function without blocking the event loop.

    `asyncio.to_thread` does nearly the same. But Python doesn't exit before its threads
    have ended, and nothing interrupts them, so a stuck one would keep the process
    running. Python doesn't wait for a daemon thread, such as this one.

    Args:
        function: What to call. It sees the caller's context variables. If whoever
            awaits it is cancelled, the function is interrupted.
        **kwargs: Its arguments.

    Returns:
        What the function returns.

    Raises:
        RuntimeError: The function raised StopIteration, which a future can't hold.
        BaseException: Anything else that the function raises.
    """
    outcome: Future[Any] = Future()
    outcome.set_running_or_notify_cancel()  # from now on it can't be cancelled
    context = copy_context()

    def call() -> None:
        with suppress(Interrupted):
            try:
                outcome.set_result(context.run(function, **kwargs))
            except StopIteration as error:
                outcome.set_exception(RuntimeError(f"{error!r} was raised"))
            except BaseException as error:
                outcome.set_exception(error)

    thread = Thread(target=call, daemon=True)
    thread.start()
    try:
        return await wrap_future(outcome)
    except CancelledError:
        if not outcome.done():  # else the function itself raised it
            interrupt(thread)
        raise


def interrupt(thread: Thread) -> None:
    """Raise Interrupted in a thread, between two steps of its Python code.

    A thread that is inside a function written in C, such as time.sleep(), doesn't get
    there before that function returns. Python can't end such a thread.

    Args:
        thread: The thread.
    """
    # TODO 9.7: nobody waits for this thread any more, but it would go on and take CPU
    # from all others. No method of a thread can end it. But Python's C API has a
    # function that raises an exception in another thread, PyThreadState_SetAsyncExc,
    # which you can call through `ctypes.pythonapi`.
    get_running_loop().call_later(GRACE, complain, thread)


def complain(thread: Thread) -> None:
    """Log that a thread still runs, if it does."""
    if thread.is_alive():
        logger.error("%s can't be interrupted. It runs until it returns.", thread.name)
