"""How many jobs that do nothing go through the system in a second.

A job counts from the moment it is sent until its result is stored. SAJE's jobs are sent
from inside a server through the client, by 500 coroutines at the same time, as handlers
do it. Huey's are sent one by one, as its interface asks, and of one and two of its
workers the faster ones count. "On disk" means that a job is accepted only when it
survives a power cut (SAJE_SYNC=full, Huey's fsync), "by the system" that the operating
system may still keep it in memory. Two limits stand beside them: SQLite alone, doing
the same writes in one process, and asyncio alone, running as many tasks.

All of them take turns, so that whatever else the machine does affects all alike.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median_high

from rich.table import Table

from benchmarks._common import (
    SOLUTION,
    draw,
    finish,
    huey,
    parser,
    progress,
    running_app,
    spread,
)
from workshop.core.output import console

sys.path.insert(0, str(SOLUTION))

from saje import sqlite
from saje.model import JobState, NewJob, Outcome, new_uid
from saje.schema import connect

SENDERS = 500
BATCH = 64
"""Jobs in each transaction of SQLite alone, as many as a worker has slots."""


def main() -> int:
    """Measure in turns, and print a table; return the exit status."""
    options = parser("throughput", __doc__)
    options.add_argument("--jobs", type=int, default=20_000, help="in each turn")
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--picture", action="store_true", help="draw one as well")
    chosen = options.parse_args()
    count, rates, cpu = chosen.jobs, dict[str, list[float]](), list[float]()
    ones = dict[str, list[float]]()

    def note(name: str, seconds: float, jobs: int = count) -> None:
        rates.setdefault(name, []).append(jobs / seconds)
        progress(f"{name}: {jobs / seconds:,.0f} jobs/s")

    with (
        running_app(servers=1, SAJE_SYNC="full") as full,
        running_app(servers=1, SAJE_SYNC="normal") as normal,
    ):
        for _ in range(chosen.turns):
            for app, kind in ((full, "on disk"), (normal, "by the system")):
                before = app.cpu()
                found = app.post(f"/burst/{count}/{SENDERS}")
                cpu.append((app.cpu() - before) / count * 1e6)
                note(f"SAJE, {kind}", found["ended"])
                few = app.post(f"/burst/{count // 20}/1")
                ones.setdefault(f"SAJE, {kind}", []).append(count / 20 / few["ended"])
            for fsync, kind in ((True, "on disk"), (False, "by the system")):
                jobs = count // 10 if fsync else count // 2
                found = min(
                    (huey(fsync, workers, jobs) for workers in (1, 2)),
                    key=lambda measured: measured["ended"],
                )
                note(f"Huey, {kind}", found["ended"], jobs)
                ones.setdefault(f"Huey, {kind}", []).append(1000 / found["median"])
            note("SQLite alone", sqlite_alone(count))
            note("asyncio alone", asyncio.run(asyncio_alone(count)))
    table = Table("jobs in a second", "median (from, to)", "ratio", title="Throughput")
    middle = {name: median_high(values) for name, values in rates.items()}
    for name, values in rates.items():
        peer = middle.get(name.replace("SAJE", "Huey"), 0)
        ratio = f"{middle[name] / peer:.1f} times Huey" if "SAJE" in name else ""
        table.add_row(name, spread(values), ratio)
    console().print(table)
    console().print(f"SAJE's CPU time, in µs a job: {spread(cpu, 1)}")
    for name, values in ones.items():
        console().print(f"{name}, sent one by one, in a second: {spread(values)}")
    if chosen.picture:
        del middle["asyncio alone"]  # beside it, all other bars would be short
        draw("throughput", "Jobs in a second (higher is better)", middle)
    return 0


def sqlite_alone(count: int) -> float:
    """Do with SQLite what a job needs, and return the seconds."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        db = connect(Path(folder, "jobs.db"), "normal")
        began = time.perf_counter()
        for _ in range(count // BATCH):
            jobs = [NewJob(new_uid(), "nothing", "{}") for _ in range(BATCH)]
            transaction(db, lambda jobs=jobs: sqlite.add(db, jobs, count))
            now = time.time()
            claim = partial(sqlite.claim, db, "", BATCH, workers=1, now=now)
            claims = transaction(db, claim)[0]
            ended = [Outcome(c.seq, c.attempt, JobState.SUCCEEDED) for c in claims]
            transaction(
                db,
                lambda ended=ended: [sqlite.finish(db, o, time.time()) for o in ended],
            )
        seconds = time.perf_counter() - began
        db.close()
    return seconds


def transaction(db: sqlite3.Connection, write):  # type: ignore[no-untyped-def]
    """Call a function in a transaction."""
    db.execute("BEGIN IMMEDIATE")
    done = write()
    db.execute("COMMIT")
    return done


async def asyncio_alone(count: int) -> float:
    """Run as many tasks, each for a future that is awaited; return the seconds."""
    loop = asyncio.get_running_loop()

    async def nothing(future: asyncio.Future[None]) -> None:
        future.set_result(None)

    async def send(share: int) -> None:
        for _ in range(share):
            future: asyncio.Future[None] = loop.create_future()
            task = loop.create_task(nothing(future))
            await future
            await task

    began = time.perf_counter()
    await asyncio.gather(*(send(count // SENDERS) for _ in range(SENDERS)))
    return time.perf_counter() - began


if __name__ == "__main__":
    finish(main)
