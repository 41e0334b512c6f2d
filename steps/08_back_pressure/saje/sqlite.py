"""SQLiteBackend: keeps jobs in one SQLite file, which all processes share."""

import sqlite3
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import ujson

from saje.backend import Backend, BacklogFull
from saje.model import Claim, JobDetails, JobState, NewJob, Outcome, iso
from saje.schema import connect
from saje.store import Store

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

BITE = 500
"""How many rows `prune` looks at in one transaction, which takes a few milliseconds."""


def add(
    db: sqlite3.Connection, jobs: Sequence[NewJob], backlog: int
) -> list[UUID | BacklogFull]:
    """Insert jobs that are queued from now on, while the backlog has room for them."""
    # TODO 8.3: accept as many jobs as the backlog has room for, and let the result of
    # each further job be a BacklogFull. Count the jobs that wait in here, where nobody
    # else can add any. A number that was read earlier may be wrong by now.
    accepted, refused = jobs, list[BacklogFull]()
    now = time.time()
    db.executemany(
        """
        INSERT INTO jobs (uid, task, kwargs, state, submitted_at)
        VALUES (?, ?, ?, 'queued', ?)
        """,
        [(job.uid.bytes, job.task, job.kwargs, now) for job in accepted],
    )
    return [*(job.uid for job in accepted), *refused]


def claim(
    db: sqlite3.Connection, worker: str, free: int, workers: int
) -> tuple[list[Claim], bool]:
    """Mark the oldest queued jobs as running, and return them. See Backend.turn."""
    # The line may be long, so count only one job more than all workers can take.
    (waiting,) = db.execute(COUNT, (free * workers + 1,)).fetchone()
    share = min(free, -(-waiting // workers))  # rounded up
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
    """Record an outcome, if it is that of the latest attempt. See Backend.turn."""
    done = db.execute(
        """
        UPDATE jobs
        SET state = :state, result = :result, error = :error, finished_at = :finished_at
        WHERE seq = :seq AND attempt = :attempt AND state = 'running'
        """,
        vars(outcome),
    )
    return done.rowcount == 1


Turn = tuple[Sequence[Outcome], str, int]
"""What has ended, the name of the worker, and how many slots it has free."""


def turn(
    db: sqlite3.Connection, turns: Sequence[Turn], workers: int
) -> list[tuple[list[bool], list[Claim], bool]]:
    """Record what has ended, and claim new jobs. See Backend.turn."""
    return [
        (
            [finish(db, outcome) for outcome in outcomes],
            *claim(db, worker, free, workers),
        )
        for outcomes, worker, free in turns
    ]


def release(db: sqlite3.Connection, holdings: Sequence[Sequence[Claim]]) -> list[None]:
    """Let claimed jobs wait again, in their old place. See Backend.release."""
    db.executemany(
        """
        UPDATE jobs SET state = 'queued', started_at = NULL
        WHERE seq = ? AND attempt = ? AND state = 'running'
        """,
        [(claim.seq, claim.attempt) for claims in holdings for claim in claims],
    )
    return [None] * len(holdings)


def recover(db: sqlite3.Connection, calls: Sequence[None]) -> list[int]:
    """Let every running job wait again. See Backend.recover."""
    done = db.execute(
        "UPDATE jobs SET state = 'queued', started_at = NULL WHERE state = 'running'"
    )
    return [done.rowcount] * len(calls)


Bite = tuple[int, float]
"""The `seq` after which to look for old jobs, and the time before which they ended."""


def prune(db: sqlite3.Connection, bites: Sequence[Bite]) -> list[int | None]:
    """Delete old jobs among the next few rows, and return where to go on, or None.

    The rows are in the order in which the jobs were submitted. So beyond the first one
    that was submitted after that time, none can have ended before it.
    """
    # TODO 8.6: for each bite, look at the next BITE rows, and delete those whose job
    # ended before that time. Return the last `seq` that you looked at, or None if there
    # can be no more old jobs.
    return [None for _ in bites]


class SQLiteBackend(Backend):
    """Keeps jobs in an SQLite database.

    It writes in the thread of a Store, because a commit waits for the disk. It reads on
    the event loop, because a look-up takes less time than handing it to a thread.
    """

    def __init__(
        self,
        path: str | Path,
        sync: str = "full",
        workers: int = 1,
        backlog: int = 10_000,
    ) -> None:
        """Open the database, and create it if it doesn't exist.

        Args:
            path: The file.
            sync: When a commit is done. See `connect`.
            workers: How many processes share the jobs.
            backlog: How many jobs may wait.

        Raises:
            OSError: The file can't be used.
        """
        self._path = Path(path)
        self._store = Store(connect(self._path, sync))
        self._reader = connect(self._path, sync)
        self._reader.execute("PRAGMA query_only = true")
        # Made once, because the Store recognizes calls of the same function.
        self._add = partial(add, backlog=backlog)
        self._turn = partial(turn, workers=workers)

    async def add(self, job: NewJob) -> UUID:
        """Commit a new row. See Backend.add."""
        return await self._store.do(self._add, job)

    async def turn(
        self, outcomes: Sequence[Outcome], worker: str, free: int
    ) -> tuple[list[bool], list[Claim], bool]:
        """Commit the outcomes and the claims. See Backend.turn."""
        # TODO 8.5: call turn() with all three values, so that one commit does for both.
        recorded = [
            (await self._store.do(self._turn, ([outcome], worker, 0)))[0][0]
            for outcome in outcomes
        ]
        _, claims, more = await self._store.do(self._turn, ([], worker, free))
        return recorded, claims, more

    async def release(self, claims: Sequence[Claim]) -> None:
        """Commit the change. See Backend.release."""
        await self._store.do(release, claims)

    async def recover(self) -> int:
        """Check the file, then commit the change. See Backend.recover."""
        damage = self._read("PRAGMA quick_check(1)")[0][0]
        if damage != "ok":
            raise OSError(f"{self._path} is damaged: {damage}")
        return await self._store.do(recover, None)

    async def prune(self, before: float) -> None:
        """Commit a few deletions at a time. See Backend.prune."""
        after: int | None = 0
        while after is not None:
            after = await self._store.do(prune, (after, before))

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
