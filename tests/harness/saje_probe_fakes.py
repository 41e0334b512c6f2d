"""A queue, a disk and backends that count, fail or take their time: suites 03 to 05.

The last two, became() and log_to(), are for the calls of all suites.
"""

import asyncio
import errno
import io
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


class FullDisk:
    """A backend whose disk is full."""

    async def store(self, *args: Any, **changes: Any) -> None:
        """Raise OSError."""
        raise OSError(errno.ENOSPC, "no space left, because a test wants that")

    add = store


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
