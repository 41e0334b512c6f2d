"""A database beside the app's own, and how to reach into it: suites 06 to 12.

The calls of these suites also use what is imported here.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from saje_probe_fakes import became, log_to

from saje.model import Claim, JobState, NewJob, Outcome, new_uid
from saje.schema import connect
from saje.sqlite import SQLiteBackend

PATIENT = "PRAGMA busy_timeout = 20000"
"""Waits for others who write, which may take them a while on a busy machine."""


class Clock:
    """A clock that a test sets."""

    now = 1000.0
    """Seconds since 1970, or since the computer was started."""

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Beside:
    """A database of a test's own, and a connection beside those that are tested."""

    def __init__(self, folder: str) -> None:
        """Open the database. It is created if there is none yet."""
        self.path = Path(folder) / "jobs.db"
        self.db = connect(self.path, "normal")
        self.db.execute(PATIENT)

    def open(self, **values: Any) -> SQLiteBackend:
        """Open a backend on the database, with further arguments."""
        backend = SQLiteBackend(self.path, "normal", **values)
        connection(backend).execute(PATIENT)
        return backend

    def put(
        self, task: str = "hello", db: sqlite3.Connection | None = None, **row: Any
    ) -> UUID:
        """Insert a job.

        Args:
            task: The name of its task.
            db: Another connection that inserts it.
            **row: The columns in which it isn't a job that waits for its first attempt.

        Returns:
            Its uid.
        """
        uid = uuid4()
        row = {"uid": uid.bytes, "task": task, "kwargs": "{}", "state": "queued"} | row
        row = {"submitted_at": 1.0} | row
        marks = ", ".join("?" * len(row))
        sql = f"INSERT INTO jobs ({', '.join(row)}) VALUES ({marks})"
        (db or self.db).execute(sql, tuple(row.values()))
        return uid

    def rows(self, columns: str = "task, state") -> list[Any]:
        """Return some columns of all jobs, the oldest job first."""
        return self.db.execute(f"SELECT {columns} FROM jobs ORDER BY seq").fetchall()

    def version(self) -> int:
        """Return a number that changes when anybody else commits a change."""
        return int(self.db.execute("PRAGMA data_version").fetchone()[0])


def succeeded(claim: Claim) -> Outcome:
    """Return the outcome of a job that has succeeded."""
    return Outcome(claim.seq, claim.attempt, JobState.SUCCEEDED, "7")


def named(results: Iterable[Any]) -> list[Any]:
    """Put the name of an exception in its place."""
    kinds = Exception, asyncio.CancelledError
    return [type(r).__name__ if isinstance(r, kinds) else r for r in results]


def trace(db: sqlite3.Connection) -> Callable[[str], int]:
    """Return a function that counts the statements from now on that begin so."""
    found: list[str] = []
    db.set_trace_callback(found.append)
    return lambda word: sum(sql.strip().startswith(word) for sql in found)


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
