"""Two workers against one: the same CPU work, and the servers meanwhile.

Eight `primes` jobs are nothing but CPU work in Python, of which a process can do one at
a time. While they run, GET /v1/info is asked again and again. No job may run twice.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from statistics import median_high

from rich.table import Table

from benchmarks._common import finish, parser, running_app, spread
from workshop.core.output import console

JOBS = 8


def main() -> int:
    """Measure in turns, and print a table; return the exit status."""
    options = parser("workers", __doc__)
    options.add_argument("--below", type=int, default=300_000, help="the primes' limit")
    options.add_argument("--turns", type=int, default=3)
    chosen = options.parse_args()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    answers: dict[int, list[float]] = {1: [], 2: []}
    twice = 0
    for _ in range(chosen.turns):
        for workers in seconds:
            with running_app(SAJE_WORKERS=workers) as app:
                began = time.perf_counter()
                job = {"task": "primes", "kwargs": {"below": chosen.below}}
                for _ in range(JOBS):
                    app.http.post("/v1/job", json=job).raise_for_status()
                running = True
                while running:
                    asked = time.perf_counter()
                    app.http.get("/v1/info").raise_for_status()
                    answers[workers].append((time.perf_counter() - asked) * 1000)
                    reply = app.http.get("/v1/job?state=running").json()
                    depth = app.http.get("/v1/info").json()["queue_depth"]
                    running = bool(reply["jobs"] or depth)
                    time.sleep(0.05)
                seconds[workers].append(time.perf_counter() - began)
                with closing(sqlite3.connect(app.db)) as db:
                    sql = "SELECT count(*) FROM jobs WHERE attempt != 1"
                    twice += db.execute(sql).fetchone()[0]
    table = Table("workers", f"seconds for {JOBS} jobs", "GET /v1/info meanwhile, ms")
    for workers, values in seconds.items():
        table.add_row(str(workers), spread(values, 2), spread(answers[workers], 1))
    console().print(table)
    one, two = (median_high(values) for values in seconds.values())
    console().print(f"Two workers are {one / two:.2f} times as fast as one.")
    console().print(f"Jobs that ran twice: {twice}")
    return int(twice > 0)


if __name__ == "__main__":
    finish(main)
