"""Parts that count, fail or take their time, to put in place of an app's own."""

import asyncio
import errno
import io
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sanic.log import logger

MUCH = 1 << 30  # bytes


class Disk(io.FileIO):
    """A file to append to, on a disk that has only so much room left."""

    def __init__(self, path: Path, room: int) -> None:
        """Open the file.

        Args:
            path: The file.
            room: Bytes that the disk still takes.
        """
        super().__init__(path, "ab")
        self.room = room
        self.writes: list[bytes] = []

    def write(self, data: Any, /) -> int:
        """Write as much as there is room for, and remember all of it."""
        self.writes.append(bytes(data))
        written = super().write(bytes(data)[: self.room])
        self.room -= written
        return written


@contextmanager
def disk(backend: Any, room: int = MUCH) -> Iterator[list[bytes]]:
    """Give a FileBackend a disk, and yield the list of its writes.

    Args:
        backend: The FileBackend.
        room: Bytes that the disk still takes.
    """
    file, before, write = Disk(backend.path, room), backend._writer, os.write

    def os_write(number: int, data: Any) -> int:
        # The same file by its number.
        return file.write(data) if number == file.fileno() else write(number, data)

    backend._writer, os.write = file, os_write
    try:
        yield file.writes
    finally:
        backend._writer, os.write = before, write
        file.close()


class Counting(io.FileIO):
    """A file that counts how many bytes were read from it."""

    count = 0

    def readinto(self, buffer: Any, /) -> int:
        """Read, and count."""
        read = super().readinto(buffer) or 0
        self.count += read
        return read

    def readall(self) -> bytes:
        """Read the rest, and count."""
        rest = super().readall() or b""
        self.count += len(rest)
        return rest


def count_reads(backend: Any) -> Counting:
    """Let a FileBackend read through a file that counts, and return that file."""
    file = Counting(backend.path)
    backend._reader = io.BufferedReader(file, 1024)
    return file


class FakeQueue:
    """A queue that reports what is put on it, or that raises an exception."""

    def __init__(
        self, events: list[str] | None = None, error: Exception | None = None
    ) -> None:
        """Create a queue.

        Args:
            events: Where to report.
            error: What put() raises, if it should.
        """
        self.events = [] if events is None else events
        self.error = error
        self.messages: list[str] = []

    def put(self, message: str, *args: Any, **kwargs: Any) -> None:
        """Remember a message, or raise the exception."""
        if self.error:
            raise self.error
        self.events.append("queued")
        self.messages.append(message)

    put_nowait = put

    def qsize(self) -> int:
        """Return how many messages there are."""
        return len(self.messages)


class SlowBackend:
    """A backend that takes its time to store, and reports what it has stored."""

    def __init__(self, backend: Any, events: list[str]) -> None:
        """Create a backend.

        Args:
            backend: The one that does the work.
            events: Where to report.
        """
        self.backend = backend
        self.events = events

    async def store(self, uid: Any, state: Any, **changes: Any) -> None:
        """Store, after a while."""
        await asyncio.sleep(0.05)
        await self.backend.store(uid, state, **changes)
        self.events.append(f"stored as {state}")

    async def fetch(self, uid: Any) -> Any:
        """Look a job up."""
        return await self.backend.fetch(uid)


class FullDisk:
    """A backend whose disk is full."""

    async def store(self, *args: Any, **changes: Any) -> None:
        """Raise OSError."""
        raise OSError(errno.ENOSPC, "no space left, because a test wants that")

    add = store


LIMITS = {
    "a full disk": ("max_page_count = 1", "max_page_count = 1073741823"),
    "a read-only disk": ("query_only = true", "query_only = false"),
}
"""What SQLite is told so that it can't write, and so that it can again. A database that
is larger than its limit can't grow, but still takes a little in the pages it has."""


@contextmanager
def limited(backend: Any, limit: str) -> Iterator[None]:
    """Let an SQLiteBackend meet one of the LIMITS.

    Args:
        backend: The SQLiteBackend.
        limit: The key of the limit.
    """
    on, off = LIMITS[limit]
    # Until step 08, calls of several threads share the connection, one after the other.
    with getattr(backend, "_writing", None) or nullcontext():
        connection(backend).execute(f"PRAGMA {on}")
    try:
        yield
    finally:
        with getattr(backend, "_writing", None) or nullcontext():
            connection(backend).execute(f"PRAGMA {off}")


def connection(backend: Any) -> Any:
    """Return the connection with which an SQLiteBackend writes."""
    return backend._store._db if hasattr(backend, "_store") else backend._db


async def write(backend: Any, function: Any) -> Any:
    """Let an SQLiteBackend call a function in a transaction, as its step does it."""
    if hasattr(backend, "_store"):  # from step 08 on, functions write several items
        return await backend._store.do(lambda db, items: [function(db)], None)
    return await backend._write(function)


@contextmanager
def log_to(events: list[str]) -> Iterator[None]:
    """Report each line of the log as an event."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            events.append(record.getMessage())

    handler = Handler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


async def became(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    """Wait until a condition is true, and return whether it became so in time."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False
    return True


async def claim(backend: Any, free: int, worker: str = "probe") -> tuple[Any, bool]:
    """Claim jobs, in whichever way the backend of a step does that.

    Returns:
        The claims, and whether there are more, which step 06 doesn't say.
    """
    if hasattr(backend, "turn"):  # from step 08 on
        _, claims, more = await backend.turn([], worker, free)
        return claims, more if isinstance(more, bool) else not more
    claimed = await backend.claim(worker, free)
    return claimed if isinstance(claimed, tuple) else (claimed, False)


async def finish(backend: Any, outcome: Any) -> bool:
    """Record an outcome, in whichever way the backend of a step does that."""
    if hasattr(backend, "turn"):
        recorded, _, _ = await backend.turn([outcome], "probe", 0)
        return bool(recorded[0])
    return bool(await backend.finish(outcome))
