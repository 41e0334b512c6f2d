"""Tasks that misbehave, or tell how they are run, beside the app's: suites 04 to 12."""

import asyncio
import builtins
import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from multiprocessing import current_process
from pathlib import Path
from typing import Any, ClassVar

from saje_probe_fakes import FullDisk
from sanic.log import logger

import app.tasks  # noqa: F401  (registers its tasks)
from saje.task import Task
from saje.threads import in_thread


def probe(run: Callable[..., Any], name: str = "", **values: Any) -> type[Task]:
    """Make a task of a function, so that "probe_says" is the name of says().

    Args:
        run: The function.
        name: Another name, if it needs one.
        **values: What else the task has, such as its limit.
    """
    name = name or run.__name__
    run.__qualname__ = f"{name}.run"  # as in a class
    return type(name, (Task,), {"name": f"probe_{name}", "run": run} | values)


class Unprintable(Exception):
    """An exception that can't be shown."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError("this exception has no text")


def error(kind: str) -> BaseException:
    """Return the exception of that name."""
    if kind == "KeyError":
        return KeyError()  # its text is empty
    kinds = {"CancelledError": asyncio.CancelledError, "Unprintable": Unprintable}
    found: BaseException = (vars(builtins) | kinds)[kind]("on purpose")
    return found


@probe
async def raises(self: Task, kind: str) -> None:
    """Raise the exception of that name."""
    raise error(kind)


@probe
def raises_in_thread(self: Task, kind: str) -> None:
    """Raise the exception of that name, in a thread."""
    raise error(kind)


@probe
async def cancels_itself(self: Task) -> None:
    """Cancel this task of asyncio's, which nobody has asked it to, and wait."""
    if this := asyncio.current_task():
        this.cancel()
    await asyncio.sleep(60)


class Unfinished(Task):
    """Has no run(), so Python doesn't let anybody create an instance."""

    name = "probe_unfinished"


@probe
async def says(self: Task, text: str) -> str:
    """Log a text, and return it."""
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


@probe
async def asynchronous(self: Task) -> str:
    """Tell where an `async def run` runs."""
    return log_where("asynchronous")


@probe
@decorated
async def disguised(self: Task) -> str:
    """Tell where an `async def run` runs that doesn't look like one."""
    await asyncio.sleep(0)  # which only works on an event loop
    return log_where("disguised")


@probe
def plain(self: Task) -> str:
    """Tell where a plain run runs."""
    return log_where("plain")


@probe
def computes(self: Task, until: str) -> None:
    """Keep the processor busy until there is a file of that name."""
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


@probe
async def failing_group(self: Task) -> None:
    """Let a task of a TaskGroup fail, so that the others are cancelled."""

    async def fail() -> None:
        raise ValueError("on purpose")

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        await asyncio.sleep(60)


@probe
async def stays(self: Task, until: str) -> int:
    """Wait on the event loop until there is a file of that name, and tell the end."""
    logger.info("It stays in %s.", os.getpid())
    try:
        while not Path(until).exists():
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        logger.info("It was interrupted in %s.", os.getpid())
        raise
    logger.info("It was let go in %s.", os.getpid())
    return os.getpid()


@probe
async def blocks(self: Task) -> None:
    """Block the event loop for a minute."""
    logger.info("The loop is blocked.")
    time.sleep(60)


@probe
async def unstorable(self: Task, kind: str) -> Any:
    """Return NaN, or else 64 lists in each other, whose record is even deeper."""
    if kind == "NaN":
        return float("nan")
    result: list[Any] = []
    for _ in range(63):
        result = [result]
    return result


@probe
async def fills_the_disk(self: Task) -> str:
    """Let the next record of the worker fail, which is the one of its own outcome."""
    from saje.backend import FileBackend

    store = FileBackend.store

    async def fail(self: FileBackend, *args: Any, **changes: Any) -> None:
        FileBackend.store = store  # type: ignore[method-assign]
        await FullDisk().store()

    FileBackend.store = fail  # type: ignore[method-assign, assignment]
    return "a result that doesn't get on file"


@probe
def read_only(self: Task, until: str) -> str:
    """Let the database be read-only until there is a file of that name."""
    from saje_probe_sqlite import limited

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


@probe
async def kills(self: Task, start: str) -> None:
    """Wait until there is a file of that name, and end this process."""
    while not Path(start).exists():
        await asyncio.sleep(0.02)
    logger.info("The poison works in %s.", os.getpid())
    os._exit(1)


@partial(probe, limit=0.2)
def sleeps(self: Task) -> None:
    """Sleep in a function written in C, which Python can't interrupt."""
    logger.info("It sleeps in %s.", os.getpid())
    time.sleep(3600)


class Ends(Task):
    """Begins, waits, and ends in the way that it is told when it is cancelled."""

    name = "probe_ends"
    began: ClassVar[list[str]] = []
    """The ways of those that have begun."""

    async def run(self, way: str) -> str:
        """Wait until somebody cancels it.

        Raises:
            ValueError: That is the way in which it ends.
        """
        self.began.append(way)
        try:
            if way == "its thread":
                await in_thread(loop)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if way == "another error":
                raise ValueError("while it tidied up") from None
            if way == "a result":
                return "it was over anyway"
            raise
        return "it was not cancelled"


def loop() -> None:
    """Keep a thread busy, in steps of Python."""
    while True:
        pass


class Ticks(Task):
    """Is due each second, but only in the workers, and if a suite sets SAJE_TICKS.

    A scheduler that a test runs inside of a server must not make jobs of its own.
    """

    name = "probe_ticks"
    in_worker = "SajeWorker" in current_process().name
    every = 1.0 if in_worker and os.environ.get("SANIC_SAJE_TICKS") else None

    async def run(self) -> None:
        """Log that it ran."""
        logger.info("Tick.")


with suppress(ImportError):  # before step 09 a task can't be tried again
    import saje_probe_retries as saje_probe_retries
