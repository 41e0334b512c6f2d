"""SQLiteBackend: keeps jobs in one SQLite file, which all processes share."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from uuid import UUID

import ujson

from saje.backend import Backend
from saje.model import Claim, JobDetails, JobState, NewJob, Outcome, iso
from saje.schema import BUSY, connect
from saje.threads import in_thread

T = TypeVar("T")

COLUMNS = (
    "uid, task, state, kwargs, result, error, submitted_at, started_at, finished_at"
)
"""The columns of a job, in the order of JobDetails."""


def add(db: sqlite3.Connection, job: NewJob) -> UUID:
    """Insert a job that is queued from now on. See Backend.add."""
    # TODO 6.2: insert a row for the job, with the state 'queued' and the current time
    # in seconds. SQLite fills in `seq`. Write a question mark for each value, because a
    # value inside the text of the statement could change what the statement does.
    return job.uid


def claim(db: sqlite3.Connection, worker: str, free: int) -> list[Claim]:
    """Mark the oldest queued jobs as running, and return them. See Backend.claim."""
    # TODO 6.3: mark the oldest queued jobs as running, `free` of them at most, and
    # return a Claim for each, oldest first. Find and mark them in one statement, so
    # that no other process can take the same jobs in between. Count the attempt, or
    # nobody could tell this run of a job from an earlier one. Note the worker and the
    # time.
    return []


def finish(db: sqlite3.Connection, outcome: Outcome) -> bool:
    """Record an outcome, if it is that of the latest attempt. See Backend.finish."""
    # TODO 6.4: record the outcome, unless the job isn't running any more, or has been
    # claimed once more since then: the later attempt is the one that counts, and this
    # one comes too late. vars(outcome) has all values by name, for parameters like
    # :seq. The rowcount of what execute() returns says how many rows have changed.
    return False


def recover(db: sqlite3.Connection) -> int:
    """Let every running job wait again. See Backend.recover."""
    # TODO 6.5: the app has just started, so nobody runs the jobs that the file calls
    # running. Put them back in the queue, and return how many there were.
    return 0


class SQLiteBackend(Backend):
    """Keeps jobs in an SQLite database.

    It has a connection for writing, whose calls run in a thread, because a commit waits
    for the disk. It reads on the event loop, because a look-up takes less time than
    handing it to a thread.
    """

    def __init__(self, path: str | Path, sync: str = "full") -> None:
        """Open the database, and create it if it doesn't exist.

        Args:
            path: The file.
            sync: When a commit is done. See `connect`.

        Raises:
            OSError: The file can't be used.
        """
        self._path = Path(path)
        self._db = connect(self._path, sync)
        self._reader = connect(self._path, sync)
        self._reader.execute("PRAGMA query_only = true")
        self._writing = Lock()

    async def add(self, job: NewJob) -> UUID:
        """Commit a new row. See Backend.add."""
        return await self._write(add, job)

    async def claim(self, worker: str, free: int) -> list[Claim]:
        """Commit the claim. See Backend.claim."""
        return await self._write(claim, worker, free)

    async def finish(self, outcome: Outcome) -> bool:
        """Commit the outcome. See Backend.finish."""
        return await self._write(finish, outcome)

    async def recover(self) -> int:
        """Check the file, then commit the change. See Backend.recover."""
        damage = self._read("PRAGMA quick_check(1)")[0][0]
        if damage != "ok":
            raise OSError(f"{self._path} is damaged: {damage}")
        return await self._write(recover)

    async def fetch(self, uid: UUID) -> JobDetails | None:
        """Select a row. See Backend.fetch."""
        rows = self._read(f"SELECT {COLUMNS} FROM jobs WHERE uid = ?", uid.bytes)
        return details(rows[0]) if rows else None

    async def page(
        self, state: JobState | None, limit: int, after: int | None
    ) -> tuple[list[JobDetails], int | None]:
        """Select some rows. See Backend.page."""
        # TODO 6.6: select one page of jobs, newest first. The cursor is the `seq` of a
        # page's last job, and the next page begins below it. If you counted rows to
        # skip instead, new jobs would push old ones onto the next page once more. If
        # there can't be a next page, return None as the cursor.
        return [], None

    def waiting(self) -> int:
        """Count rows. See Backend.waiting."""
        rows = self._read("SELECT count(*) FROM jobs WHERE state = 'queued'")
        return int(rows[0][0])

    async def _write(self, function: Callable[..., T], *values: Any) -> T:
        """Call a function of this file in a thread, in a transaction of its own."""
        try:
            done: T = await in_thread(self._commit, function=function, values=values)
        except sqlite3.IntegrityError as error:
            raise ValueError(str(error)) from error
        except sqlite3.Error as error:
            raise OSError(f"the database can't be written: {error}") from error
        return done

    def _commit(self, function: Callable[..., T], values: Sequence[Any]) -> T:
        """Call a function, then commit what it has changed, or else undo all of it."""
        # One transaction at a time. While another process locks the file, a call waits
        # for BUSY seconds at most here, and as long again for its own transaction.
        if not self._writing.acquire(timeout=BUSY):
            raise sqlite3.OperationalError("the calls before this one are waiting")
        try:
            # TODO 6.1: so far, each statement commits itself. Put all changes of the
            # function into one transaction: commit them when it has returned, and undo
            # them if it raises anything. Begin with BEGIN IMMEDIATE, because a plain
            # transaction that reads first and writes later fails if another process has
            # written in between.
            return function(self._db, *values)
        finally:
            self._writing.release()

    def _read(self, sql: str, *values: Any) -> list[Any]:
        try:
            return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise OSError(f"{self._path} can't be read: {error}") from error


def details(row: Sequence[Any]) -> JobDetails:
    """Make the details from the COLUMNS of a job."""
    uid, task, state, kwargs, result, error, *times = row
    return JobDetails(
        str(UUID(bytes=uid)),
        task,
        JobState(state),
        ujson.loads(kwargs),
        ujson.loads(result or "null"),
        ujson.loads(error or "null"),
        *map(iso, times),
    )
