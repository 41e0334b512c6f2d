"""SQLiteBackend: keeps jobs in one SQLite file, which all processes share."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any
from uuid import UUID

import ujson

from saje.backend import Backend, BacklogFull
from saje.model import Claim, JobDetails, JobState, NewJob, Outcome, encode, iso
from saje.schema import connect
from saje.store import Store

COLUMNS = (
    "uid, task, state, kwargs, result, error, submitted_at, started_at, finished_at, "
    "attempt, failures"
)
"""The columns of a job, in the order of JobDetails."""

FRESH = "started_at = NULL, finished_at = NULL, error = NULL"
"""What a job that waits again forgets about its last attempt."""

COUNT = """
    SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'queued' LIMIT ?)
"""
"""Counts the jobs that wait, up to a limit."""

DUE = """
    SELECT count(*) FROM (
        SELECT 1 FROM jobs WHERE state = 'queued' AND run_at <= ? AND crashes < 2
        LIMIT ?
    )
"""
"""Counts the jobs that are due at a time, without the suspects, up to a limit."""

READY = """
    SELECT seq FROM jobs WHERE state = 'queued' AND run_at <= :now AND crashes < 2
    ORDER BY run_at, seq LIMIT :share
"""
"""Selects the jobs that are due, those first that have been due for longest. A job with
more crashes is a suspect."""

# TODO 11.5: any suspect may be the one that kills its workers, so a worker must never
# run two of them at a time. Select the suspect that has been due for longest, and none
# if the worker that claims, which is :worker, runs a suspect already.
SUSPECT = "SELECT seq FROM jobs WHERE state = 'queued' AND crashes > 1"
"""Selects a suspect, which is a job that may be the one that kills its workers. Each
worker has only one of them at a time. So if one job is to blame, a job that only ran
beside it may have been in two of its crashes, but it isn't in the third."""

MAX_CRASHES = 3
"""How often its worker has to die under a job that is taken to be the reason for it. A
worker that is frozen or blocked until its lease ends counts as well, because nobody can
tell the difference."""

Clock = Callable[[], float]
"""Returns the seconds since some time in the past. Tests can pass clocks of their own.

Times that people read, and `run_at`, are those of the wall clock, time.time(). It can
be set back or forward, so leases have the time since the computer was started,
time.monotonic(), which is the same for all processes.
"""

MANY = 1_000_000
"""How far `waiting` counts."""

BITE = 500
"""How many rows `prune` looks at in one transaction, which takes a few milliseconds."""


def add(
    db: sqlite3.Connection,
    jobs: Sequence[NewJob],
    backlog: int,
    clock: Clock = time.time,
) -> list[UUID | BacklogFull]:
    """Insert jobs that are queued from now on, while the backlog has room for them."""
    (waiting,) = db.execute(COUNT, (backlog,)).fetchone()
    accepted = jobs[: backlog - waiting]
    refused = [BacklogFull() for _ in jobs[len(accepted) :]]
    now = clock()
    db.executemany(
        """
        INSERT INTO jobs (uid, task, kwargs, state, submitted_at, run_at)
        VALUES (?, ?, ?, 'queued', ?, ?)
        """,
        [
            (job.uid.bytes, job.task, job.kwargs, now, now + job.delay)
            for job in accepted
        ],
    )
    return [*(job.uid for job in accepted), *refused]


def claim(
    db: sqlite3.Connection, worker: str, free: int, workers: int, now: float
) -> tuple[list[Claim], float]:
    """Mark the oldest due jobs as running, and return them. See Backend.turn."""
    # The line may be long, so count only one job more than all workers can take.
    (due,) = db.execute(DUE, (now, free * workers + 1)).fetchone()
    share = min(free, -(-due // workers))  # rounded up
    rows = db.execute(
        f"""
        UPDATE jobs
        SET state = 'running', attempt = attempt + 1, worker = :worker,
            started_at = :now
        WHERE seq IN (
            SELECT * FROM ({SUSPECT}) UNION ALL SELECT * FROM ({READY}) LIMIT :free
        )
        RETURNING run_at, seq, uid, task, kwargs, attempt, tries, crashes
        """,
        {"worker": worker, "now": now, "share": share, "free": free},
    ).fetchall()
    claims = [
        Claim(seq, UUID(bytes=uid), *rest)
        for run_at, seq, uid, *rest, crashes in sorted(rows)
    ]
    if due > sum(crashes < 2 for *_, crashes in rows):
        return claims, 0.0
    (next_at,) = db.execute(
        "SELECT min(run_at) FROM jobs WHERE state = 'queued' AND crashes < 2"
    ).fetchone()
    return claims, inf if next_at is None else next_at - now


def finish(db: sqlite3.Connection, outcome: Outcome, now: float) -> bool:
    """Record an outcome, if it is that of the latest attempt. See Backend.turn."""
    done = db.execute(
        """
        UPDATE jobs
        SET state = :state, result = :result, error = :error, finished_at = :finished_at
        WHERE seq = :seq AND attempt = :attempt AND state = 'running'
        """,
        vars(outcome),
    )
    if done.rowcount and outcome.error:
        db.execute(
            """
            UPDATE jobs SET tries = tries + 1, failures =
                json_insert(failures, '$[#]', json_set(:error, '$.attempt', :attempt))
            WHERE seq = :seq
            """,
            vars(outcome),
        )
    if done.rowcount and outcome.state == JobState.QUEUED:
        db.execute(
            f"UPDATE jobs SET run_at = ?, {FRESH} WHERE seq = ?",
            (now + outcome.pause, outcome.seq),
        )
    return done.rowcount == 1


Turn = tuple[Sequence[Outcome], str, int]
"""What has ended, the name of the worker, and how many slots it has free."""


def turn(
    db: sqlite3.Connection,
    turns: Sequence[Turn],
    workers: int,
    clock: Clock = time.time,
) -> list[tuple[list[bool], list[Claim], float]]:
    """Record what has ended, and claim new jobs. See Backend.turn."""
    now = clock()
    return [
        (
            [finish(db, outcome, now) for outcome in outcomes],
            *claim(db, worker, free, workers, now),
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


Beat = tuple[str, float]
"""The name of a worker, and the seconds that its lease lasts from now on."""


def beat(
    db: sqlite3.Connection, beats: Sequence[Beat], monotonic: Clock = time.monotonic
) -> list[bool]:
    """Extend leases, and return for each whether there was one. See Backend.beat."""
    found = []
    for worker, lease in beats:
        until = monotonic() + lease
        done = db.execute(
            "UPDATE workers SET alive_until = ? WHERE name = ?", (until, worker)
        )
        if not done.rowcount:
            db.execute(
                f"""
                UPDATE jobs SET state = 'queued', {FRESH}
                WHERE state = 'running' AND worker = ?
                """,
                (worker,),
            )
            db.execute("INSERT INTO workers VALUES (?, ?)", (worker, until))
        found.append(done.rowcount == 1)
    return found


def dismiss(db: sqlite3.Connection, workers: Sequence[str]) -> list[None]:
    """End the leases of workers. See Backend.dismiss."""
    db.executemany("DELETE FROM workers WHERE name = ?", [(name,) for name in workers])
    return [None for _ in workers]


def reap(
    db: sqlite3.Connection,
    calls: Sequence[Sequence[str]],
    monotonic: Clock = time.monotonic,
) -> list[int]:
    """Take the jobs back from workers without a lease. See Backend.reap."""
    db.execute("DELETE FROM workers WHERE alive_until < ?", (monotonic(),))
    dismiss(db, [name for dead in calls for name in dead])
    message = f"its worker died or froze {MAX_CRASHES} times"
    error = encode({"type": "WorkerDied", "message": message})
    # TODO 11.4: a job that kills each worker which runs it must not come back forever.
    # So count a crash for each job that you queue again. A job that has MAX_CRASHES by
    # now is dead instead, with this error, and has finished now.
    sql = f"UPDATE jobs SET state = 'queued', {FRESH} WHERE state = 'running'"
    sql += " AND worker NOT IN (SELECT name FROM workers) RETURNING seq, crashes"
    lost = db.execute(sql).fetchall()
    return [len(lost), *(0 for _ in calls[1:])]


def retry(db: sqlite3.Connection, uids: Sequence[UUID], clock: Clock) -> list[bool]:
    """Let failed jobs wait again, with all of their tries. See Backend.retry."""
    sql = f"""
        UPDATE jobs SET state = 'queued', tries = 0, crashes = 0, run_at = ?, {FRESH}
        WHERE uid = ? AND state IN ('failed', 'dead')
    """
    now = clock()
    return [db.execute(sql, (now, uid.bytes)).rowcount == 1 for uid in uids]


def recover(db: sqlite3.Connection, calls: Sequence[None]) -> list[int]:
    """Let every running job wait again. See Backend.recover."""
    # After a restart of the computer, the times of the leases mean nothing any more.
    db.execute("DELETE FROM workers")
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
    ends: list[int | None] = []
    for after, before in bites:
        rows = db.execute(
            """
            SELECT seq, submitted_at, finished_at FROM jobs
            WHERE seq > ? ORDER BY seq LIMIT ?
            """,
            (after, BITE),
        ).fetchall()
        old = [(seq,) for seq, _, ended in rows if ended is not None and ended < before]
        db.executemany("DELETE FROM jobs WHERE seq = ?", old)
        more = len(rows) == BITE and rows[-1][1] < before
        ends.append(rows[-1][0] if more else None)
    return ends


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
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
    ) -> None:
        """Open the database, and create it if it doesn't exist.

        Args:
            path: The file.
            sync: When a commit is done. See `connect`.
            workers: How many processes share the jobs.
            backlog: How many jobs may wait.
            clock: Tells which jobs are due.
            monotonic: Tells which leases are over.

        Raises:
            OSError: The file can't be used.
        """
        self._path = Path(path)
        self._store = Store(connect(self._path, sync))
        self._reader = connect(self._path, sync)
        self._reader.execute("PRAGMA query_only = true")
        # Made once, because the Store recognizes calls of the same function.
        self._add = partial(add, backlog=backlog, clock=clock)
        self._turn = partial(turn, workers=workers, clock=clock)
        self._retry = partial(retry, clock=clock)
        self._beat = partial(beat, monotonic=monotonic)
        self._reap = partial(reap, monotonic=monotonic)

    async def add(self, job: NewJob) -> UUID:
        """Commit a new row. See Backend.add."""
        return await self._store.do(self._add, job)

    async def turn(
        self, outcomes: Sequence[Outcome], worker: str, free: int
    ) -> tuple[list[bool], list[Claim], float]:
        """Commit the outcomes and the claims. See Backend.turn."""
        return await self._store.do(self._turn, (outcomes, worker, free))

    async def release(self, claims: Sequence[Claim]) -> None:
        """Commit the change. See Backend.release."""
        await self._store.do(release, claims)

    async def beat(self, worker: str, lease: float) -> bool:
        """Commit the lease. See Backend.beat."""
        return await self._store.do(self._beat, (worker, lease))

    async def dismiss(self, worker: str) -> None:
        """Commit the change. See Backend.dismiss."""
        await self._store.do(dismiss, worker)

    async def reap(self, dead: Sequence[str] = ()) -> int:
        """Commit the change. See Backend.reap."""
        return await self._store.do(self._reap, dead)

    async def retry(self, uid: UUID) -> bool:
        """Commit the change. See Backend.retry."""
        return await self._store.do(self._retry, uid)

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
    uid, task, state, kwargs, result, error, *times, attempts, failures = row
    submitted_at, started_at, finished_at = map(iso, times)
    return JobDetails(
        str(UUID(bytes=uid)),
        task,
        JobState(state),
        ujson.loads(kwargs),
        ujson.loads(result or "null"),
        ujson.loads(error or "null"),
        submitted_at,
        started_at,
        finished_at,
        attempts,
        ujson.loads(failures),
    )
