"""More jobs than the app may keep waiting.

2,000 POSTs from 20 connections meet an app with SAJE_BACKLOG=50, two workers with one
slot each, and jobs of 10 ms. Never may more than 50 jobs wait. Each refusal has to be a
503 with a Retry-After, and each job that was accepted has to succeed. Otherwise the
exit status is 1.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx

from benchmarks._common import finish, parser, running_app
from workshop.core.output import console

BACKLOG = 50
PATIENCE = 60.0  # seconds until the last accepted job has to be done
WAITING = "SELECT count(*) FROM jobs WHERE state = 'queued'"
UNFINISHED = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
SUCCEEDED = "SELECT count(*) FROM jobs WHERE task = 'hello' AND state = 'succeeded'"


def main() -> int:
    """Post, watch the file meanwhile, and return the exit status."""
    options = parser("overload", __doc__)
    options.add_argument("--posts", type=int, default=2000)
    options.add_argument("--connections", type=int, default=20)
    chosen = options.parse_args()
    most, over = 0, threading.Event()
    job = {"task": "hello", "kwargs": {"seconds": 0.01}}
    with running_app(SAJE_BACKLOG=BACKLOG, SAJE_CONCURRENCY=1) as app:

        def post(_: int) -> Counter[str]:
            answers = Counter[str]()
            with httpx.Client(base_url=app.http.base_url, trust_env=False) as client:
                for _ in range(chosen.posts // chosen.connections):
                    reply = client.post("/v1/job", json=job, timeout=60)
                    later = "Retry-After" if "Retry-After" in reply.headers else ""
                    answers[f"{reply.status_code} {later}".strip()] += 1
            return answers

        def watch() -> None:
            nonlocal most
            with closing(sqlite3.connect(app.db)) as db:
                while not over.wait(0.001):
                    most = max(most, db.execute(WAITING).fetchone()[0])

        watching = threading.Thread(target=watch)
        watching.start()
        with ThreadPoolExecutor(chosen.connections) as pool:
            answers = sum(pool.map(post, range(chosen.connections)), Counter[str]())
        over.set()
        watching.join()
        with closing(sqlite3.connect(app.db)) as db:
            deadline = time.monotonic() + PATIENCE
            while db.execute(UNFINISHED).fetchone()[0] and time.monotonic() < deadline:
                time.sleep(0.05)
            succeeded = db.execute(SUCCEEDED).fetchone()[0]
    console().print(f"answers: {dict(answers)}, most jobs waiting: {most}")
    console().print(f"succeeded: {succeeded}")
    right = set(answers) <= {"202", "503 Retry-After"} and most <= BACKLOG
    return int(not right or succeeded != answers["202"])


if __name__ == "__main__":
    finish(main)
