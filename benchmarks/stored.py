"""What a look-up, a claim and a page cost when a million jobs are stored.

The jobs have ended, as most have in a system that has been running for a while. Each
call is made on the backend itself, without HTTP, and the two sizes take turns after
each call, so that whatever else the machine does affects both alike. "claim" and
"record" are turns of a worker with one job. A page has 50 jobs.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median_high
from typing import Any
from uuid import UUID

from rich.table import Table

from benchmarks._common import SOLUTION, draw, finish, parser, progress
from workshop.core.output import console

sys.path.insert(0, str(SOLUTION))

from saje.model import JobState, NewJob, Outcome, new_uid
from saje.schema import connect
from saje.sqlite import SQLiteBackend

SIZES = (1_000, 1_000_000)


def main() -> int:
    """Measure in turns, and print a table; return the exit status."""
    options = parser("stored", __doc__)
    options.add_argument("--calls", type=int, default=2000, help="of each kind")
    options.add_argument("--picture", action="store_true", help="draw one as well")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        times = asyncio.run(measure(Path(folder), chosen.calls))
    table = Table("µs", *(f"{size:,} stored" for size in SIZES), "ratio of the medians")
    bars = {}
    for kind, by_size in times.items():
        middles = [median_high(values) for values in by_size.values()]
        shown = [f"{middle:,.1f}" for middle in middles]
        table.add_row(kind, *shown, f"{middles[1] / middles[0]:.2f}")
        for size, middle in zip(SIZES, middles, strict=True):
            bars[f"{kind}, {size:,} stored"] = middle
    console().print(table)
    if chosen.picture:
        draw("stored", "Microseconds a call (lower is better)", bars)
    return 0


async def measure(folder: Path, calls: int) -> dict[str, dict[int, list[float]]]:
    """Return the microseconds of each call, by its kind and the number of jobs."""
    found = {}
    for size in SIZES:
        progress(f"storing {size:,} jobs ...")
        path = folder / f"{size}.db"
        uids = fill(path, size)
        found[size] = SQLiteBackend(path, "normal"), uids
    times: dict[str, dict[int, list[float]]] = {}
    for _ in range(calls):
        for size, (backend, uids) in found.items():
            for kind, microseconds in (await call(backend, uids)).items():
                times.setdefault(kind, {}).setdefault(size, []).append(microseconds)
    return times


async def call(backend: SQLiteBackend, uids: list[UUID]) -> dict[str, float]:
    """Make one call of each kind, and return the microseconds."""
    times = {}

    async def timed(kind: str, function: Callable[[], Awaitable[Any]]) -> Any:
        began = time.perf_counter()
        result = await function()
        times[kind] = (time.perf_counter() - began) * 1e6
        return result

    uid = random.choice(uids)
    await timed("look-up", lambda: backend.fetch(uid))
    await timed("page", lambda: backend.page(None, 50, None))
    await timed("page of failed jobs", lambda: backend.page(JobState.FAILED, 50, None))
    job = NewJob(new_uid(), "nothing", "{}")
    await timed("add", lambda: backend.add(job))
    _, claims, _ = await timed("claim", lambda: backend.turn([], "worker", 1))
    ended = [Outcome(c.seq, c.attempt, JobState.SUCCEEDED, "null") for c in claims]
    await timed("record", lambda: backend.turn(ended, "worker", 0))
    return times


def fill(path: Path, size: int) -> list[UUID]:
    """Store jobs that have ended, one in ten of them as failed."""
    db, uids, now = connect(path, "normal"), [], time.time()

    def row(number: int) -> tuple[Any, ...]:
        uids.append(new_uid())
        kwargs = json.dumps({"name": f"Ada {number}", "seconds": 3})
        state = "failed" if number % 10 == 0 else "succeeded"
        return uids[-1].bytes, kwargs, state, now, now, now

    db.execute("BEGIN")
    db.executemany(
        """
        INSERT INTO jobs (uid, task, kwargs, state, attempt, worker, submitted_at,
                          started_at, finished_at, result)
        VALUES (?, 'hello', ?, ?, 1, 'worker', ?, ?, ?, '"Hello, Ada."')
        """,
        (row(number) for number in range(size)),
    )
    db.execute("COMMIT")
    db.close()
    return uids


if __name__ == "__main__":
    finish(main)
