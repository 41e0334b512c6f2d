"""A blocking call in a thread of its own, whose outcome can be awaited."""

from asyncio import wrap_future
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import Any


async def in_thread(function: Callable[..., Any], /, **kwargs: Any) -> Any:
    """Call a blocking function without blocking the event loop.

    `asyncio.to_thread` does nearly the same. But Python doesn't exit before its threads
    have ended, and a thread can't be cancelled, so a stuck one would keep the process
    running. Python doesn't wait for a daemon thread, such as this one.

    Args:
        function: What to call. It sees the caller's context variables.
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
        try:
            outcome.set_result(context.run(function, **kwargs))
        except StopIteration as error:
            outcome.set_exception(RuntimeError(f"{error!r} was raised"))
        except BaseException as error:
            outcome.set_exception(error)

    Thread(target=call, daemon=True).start()
    return await wrap_future(outcome)
