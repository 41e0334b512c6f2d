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

COUNT = """
    SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'queued' LIMIT ?)
"""
"""Counts the jobs that wait, up to a limit."""

MANY = 1_000_000
"""How far `waiting` counts."""


def add(db: sqlite3.Connection, job: NewJob) -> UUID:
    """Insert a job that is queued from now on. See Backend.add."""
    db.execute(
        """
        INSERT INTO jobs (uid, task, kwargs, state, submitted_at)
        VALUES (?, ?, ?, 'queued', ?)
        """,
        (job.uid.bytes, job.task, job.kwargs, time.time()),
    )
    return job.uid


def claim(
    db: sqlite3.Connection, worker: str, free: int, workers: int
) -> tuple[list[Claim], bool]:
    """Mark the oldest queued jobs as running, and return them. See Backend.claim."""
    # TODO 7.4: take no more than a fair share of the jobs that wait, rounded up, or the
    # first worker that looks gets them all. COUNT counts them, up to a limit, because
    # the line may be long. How far do you have to count, if all workers have as many
    # free slots as this one, to know both the share and whether jobs are left? The
    # second value to return says the latter.
    waiting = share = free
    rows = db.execute(
        """
        UPDATE jobs
        SET state = 'running', attempt = attempt + 1, worker = ?, started_at = ?
        WHERE seq IN (
            SELECT seq FROM jobs WHERE state = 'queued' ORDER BY seq LIMIT ?
        )
        RETURNING seq, uid, task, kwargs, attempt
        """,
        (worker, time.time(), share),
    )
    claims = [
        Claim(seq, UUID(bytes=uid), task, kwargs, attempt)
        for seq, uid, task, kwargs, attempt in sorted(rows.fetchall())
    ]
    return claims, waiting > len(claims)


def finish(db: sqlite3.Connection, outcome: Outcome) -> bool:
    """Record an outcome, if it is that of the latest attempt. See Backend.finish."""
    done = db.execute(
        """
        UPDATE jobs
        SET state = :state, result = :result, error = :error, finished_at = :finished_at
        WHERE seq = :seq AND attempt = :attempt AND state = 'running'
        """,
        vars(outcome),
    )
    return done.rowcount == 1


def release(db: sqlite3.Connection, claims: Sequence[Claim]) -> None:
    """Let claimed jobs wait again, in their old place. See Backend.release."""
    # TODO 7.6: put the jobs back in the queue, unless their attempt isn't the latest
    # one or has ended by now. executemany() does the same for each tuple of a list.


def recover(db: sqlite3.Connection) -> int:
    """Let every running job wait again. See Backend.recover."""
    done = db.execute(
        "UPDATE jobs SET state = 'queued', started_at = NULL WHERE state = 'running'"
    )
    return done.rowcount


class SQLiteBackend(Backend):
    """Keeps jobs in an SQLite database.

    It has a connection for writing, whose calls run in a thread, because a commit waits
    for the disk. It reads on the event loop, because a look-up takes less time than
    handing it to a thread.
    """

    def __init__(self, path: str | Path, sync: str = "full", workers: int = 1) -> None:
        """Open the database, and create it if it doesn't exist.

        Args:
            path: The file.
            sync: When a commit is done. See `connect`.
            workers: How many processes share the jobs.

        Raises:
            OSError: The file can't be used.
        """
        self._path = Path(path)
        self._db = connect(self._path, sync)
        self._reader = connect(self._path, sync)
        self._reader.execute("PRAGMA query_only = true")
        self._writing = Lock()
        self._workers = workers

    async def add(self, job: NewJob) -> UUID:
        """Commit a new row. See Backend.add."""
        return await self._write(add, job)

    async def claim(self, worker: str, free: int) -> tuple[list[Claim], bool]:
        """Commit the claim. See Backend.claim."""
        return await self._write(claim, worker, free, self._workers)

    async def finish(self, outcome: Outcome) -> bool:
        """Commit the outcome. See Backend.finish."""
        return await self._write(finish, outcome)

    async def release(self, claims: Sequence[Claim]) -> None:
        """Commit the change. See Backend.release."""
        await self._write(release, claims)

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
        rows = self._read(
            f"""
            SELECT {COLUMNS}, seq FROM jobs
            WHERE seq < ? {f"AND state = '{state}'" if state else ""}
            ORDER BY seq DESC LIMIT ?
            """,
            1 << 62 if after is None else after,
            limit,
        )
        end = rows[-1][-1] if len(rows) == limit else None
        return [details(row[:-1]) for row in rows], end

    def waiting(self) -> int:
        """Count rows. See Backend.waiting."""
        return int(self._read(COUNT, MANY)[0][0])

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
            # IMMEDIATE, because a transaction that reads first and writes later fails
            # if another process has written in between.
            self._db.execute("BEGIN IMMEDIATE")
            try:
                done = function(self._db, *values)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite may have undone it already
                    self._db.execute("ROLLBACK")
                raise
            return done
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
