"""Tasks that misbehave, or tell how they are run, beside those of the learner's app."""

import asyncio
import errno
import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from saje_probe_parts import limited
from sanic.log import logger

import app.tasks  # noqa: F401  (registers its tasks)
from saje.task import Task


class Unprintable(Exception):
    """An exception that can't be shown."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError("this exception has no text")


KINDS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("on purpose"),
    "KeyError": KeyError,  # its text is empty
    "Unprintable": Unprintable,
    "SystemExit": lambda: SystemExit("on purpose"),
    "KeyboardInterrupt": lambda: KeyboardInterrupt("on purpose"),
    "CancelledError": lambda: asyncio.CancelledError("on purpose"),
    "StopIteration": lambda: StopIteration("on purpose"),
}
"""What a task can be told to raise."""


class Raises(Task):
    """Raises what it is told to."""

    name = "probe_raises"

    async def run(self, kind: str) -> None:
        """Raise the exception of that name."""
        raise KINDS[kind]()


class RaisesInThread(Task):
    """Raises in a thread."""

    name = "probe_raises_in_thread"

    def run(self, kind: str) -> None:
        """Raise the exception of that name."""
        raise KINDS[kind]()


class FailingGroup(Task):
    """Has a TaskGroup in which one task fails, so that the others are cancelled."""

    name = "probe_failing_group"

    async def run(self) -> None:
        """Let the group fail."""

        async def fail() -> None:
            raise ValueError("on purpose")

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(60)


class CancelsItself(Task):
    """Cancels itself, which nobody has asked it to."""

    name = "probe_cancels_itself"

    async def run(self) -> None:
        """Cancel this task of asyncio's, and wait for that to happen."""
        if this := asyncio.current_task():
            this.cancel()
        await asyncio.sleep(60)


class Unfinished(Task):
    """Has no run(), so Python doesn't let anybody create an instance."""

    name = "probe_unfinished"


class Says(Task):
    """Says what it is told to."""

    name = "probe_says"

    async def run(self, text: str) -> str:
        """Log the text, and return it."""
        logger.info("Somebody says: %s", text)
        return text


class Remembers(Task):
    """Keeps something on its instance."""

    name = "probe_remembers"

    def __init__(self) -> None:
        """Begin without any memories."""
        self.memories: list[str] = []

    async def run(self, what: str) -> None:
        """Log what this instance has been told so far."""
        self.memories.append(what)
        await asyncio.sleep(0)
        logger.info("Remembered until %s: %s", what, ", ".join(self.memories))


def log_where(kind: str) -> str:
    """Log in which thread a task runs, and return that."""
    thread = threading.current_thread()
    where = "a daemon thread" if thread.daemon else "a thread that isn't a daemon"
    if thread is threading.main_thread():
        where = "the main thread"
    logger.info("A task that is %s runs in %s.", kind, where)
    return where


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hide that a function is `async def`."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


class Async(Task):
    """Tells where an `async def run` runs."""

    name = "probe_async"

    async def run(self) -> str:
        """Log it."""
        return log_where("async")


class Decorated(Task):
    """Tells where an `async def run` runs that doesn't look like one."""

    name = "probe_decorated"

    @decorated
    async def run(self) -> str:
        """Log it."""
        await asyncio.sleep(0)  # which only works on an event loop
        return log_where("decorated")


class Plain(Task):
    """Tells where a plain run runs."""

    name = "probe_plain"

    def run(self) -> str:
        """Log it."""
        return log_where("plain")


class Computes(Task):
    """A plain function that keeps the processor busy until a test lets it go."""

    name = "probe_computes"

    def run(self, until: str) -> None:
        """Compute until there is a file of that name."""
        logger.info("The computation begins.")
        while not Path(until).exists():
            sum(range(1000))
        logger.info("The computation ends.")


class Waits(Task):
    """A plain function that blocks until a test lets it go."""

    name = "probe_waits"
    lock = threading.Lock()
    waiting = 0
    """How many of these wait at this moment."""

    def run(self, until: str) -> None:
        """Wait until there is a file of that name."""
        self.count(1)
        while not Path(until).exists():
            time.sleep(0.02)
        self.count(-1)
        logger.info("One has waited.")

    @classmethod
    def count(cls, change: int) -> None:
        """Count one more, or one less, and log how many there are."""
        with cls.lock:
            cls.waiting += change
            if change > 0:
                logger.info("Waiting at once: %d.", cls.waiting)


class Stays(Task):
    """Waits on the event loop until a test lets it go, and tells how that ends."""

    name = "probe_stays"

    async def run(self, until: str) -> int:
        """Wait until there is a file of that name, and return the pid."""
        logger.info("It stays in %s.", os.getpid())
        try:
            while not Path(until).exists():
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            logger.info("It was interrupted in %s.", os.getpid())
            raise
        logger.info("It was let go in %s.", os.getpid())
        return os.getpid()


class Blocks(Task):
    """Never gives the event loop back."""

    name = "probe_blocks"

    async def run(self) -> None:
        """Block for a minute."""
        logger.info("The loop is blocked.")
        time.sleep(60)


UNSTORABLE: dict[str, Any] = {
    "NaN": {"value": float("nan")},
    "a set": {1, 2},
    "keys that JSON makes equal": {1: "one", "1": "two"},
}
"""Results that JSON can't hold."""


class Unstorable(Task):
    """Returns what JSON can't hold."""

    name = "probe_unstorable"

    async def run(self, kind: str) -> Any:
        """Return the result of that name."""
        return UNSTORABLE[kind]


class FillsTheDisk(Task):
    """Lets the next record of the worker fail, which is the one of its own outcome."""

    name = "probe_fills_the_disk"

    async def run(self) -> str:
        """Put something else in place of FileBackend.store, until it is called."""
        from saje.backend import FileBackend

        store = FileBackend.store

        async def fail(self: FileBackend, *args: Any, **changes: Any) -> None:
            FileBackend.store = store  # type: ignore[method-assign]
            raise OSError(errno.ENOSPC, "no space left, because a test wants that")

        FileBackend.store = fail  # type: ignore[method-assign, assignment]
        return "a result that doesn't get on file"


class LosesTheDisk(Task):
    """Lets the worker's database be read-only until a test wants it back."""

    name = "probe_read_only"

    def run(self, until: str) -> str:
        """Return when the database is read-only, until there is a file of that name."""
        from saje.sqlite import SQLiteBackend

        backend = next(b for b in gc.get_objects() if isinstance(b, SQLiteBackend))
        begun = threading.Event()

        def wait() -> None:
            with limited(backend, "a read-only disk"):
                begun.set()
                while not Path(until).exists():
                    time.sleep(0.02)

        threading.Thread(target=wait, daemon=True).start()
        begun.wait()
        return "a result that has to wait"


class Nested(Task):
    """Returns lists in lists. A record of them has a few levels more."""

    name = "probe_nested"

    async def run(self, levels: int) -> Any:
        """Return so many lists in each other."""
        result: list[Any] = []
        for _ in range(levels - 1):
            result = [result]
        return result


class Kills(Task):
    """A poisonous job, which ends the worker that runs it."""

    name = "probe_kills"

    async def run(self, start: str) -> None:
        """Wait until there is a file of that name, and end this process."""
        while not Path(start).exists():
            await asyncio.sleep(0.02)
        logger.info("The poison works in %s.", os.getpid())
        os._exit(1)


class Sleeps(Task):
    """A plain function that takes too long, and that Python can't interrupt."""

    name = "probe_sleeps"
    limit = 0.2

    def run(self) -> None:
        """Sleep in a function written in C."""
        logger.info("It sleeps in %s.", os.getpid())
        time.sleep(3600)


with suppress(ImportError):  # before step 09 a task can't be tried again
    import saje_probe_retries as saje_probe_retries
