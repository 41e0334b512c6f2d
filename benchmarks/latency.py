"""How soon a job starts, and what a busy worker costs others.

It starts solution 05 with 2 servers and the worker.

First it submits `hello` jobs of 0 seconds one after another, each to an idle worker. A
job's time is `started_at` minus `submitted_at` from its details, so it reaches from the
server that accepts the job to the worker that starts it. Between two jobs this client
times one GET /v1/info, which shows how fast the machine is at all.

Then it asks for GET /v1/info again and again, for a while when nothing else is going on
and for a while when a `primes` job keeps one core busy in the worker.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx
from rich.table import Table

from benchmarks._common import (
    at_least,
    client,
    finish,
    parser,
    percentile_95,
    progress,
    running_app,
)
from workshop.core.errors import WorkshopError
from workshop.core.output import console

PAUSES = (0.05, 0.45)
"""Seconds between two jobs, at least and at most. The worker's thread looks up from the
empty queue every 0.2 s; pauses of random length meet it at every moment of that."""
PATIENCE = 60.0
"""Seconds in which a job must have ended."""
TURNS = 4
"""How often it measures idle and busy in turn."""
TURN = 2.0
"""Seconds of each."""
SPACING = 0.02
"""Seconds between two GET /v1/info."""
BELOW = 200_000
"""Where the first `primes` job stops; the longer ones are worked out from its time."""


def main() -> int:
    """Measure and print both tables; return the exit status."""
    options = parser("latency", __doc__)
    options.add_argument(
        "--jobs", type=at_least(2), default=50, help="that an idle worker gets"
    )
    jobs: int = options.parse_args().jobs
    out = console()
    with running_app() as app, client(app) as http:
        run_job(http, "hello", seconds=0)  # The first job takes longer.
        progress("An idle worker, about half a second for each job")
        starts, answers = idle_worker(http, jobs)
        rows = {"a job, submitted to started": starts, "GET /v1/info": answers}
        out.print(table(f"{jobs} of each, in turns; in ms", rows))
        ratio = statistics.median(starts) / statistics.median(answers)
        out.print(f"Ratio of the medians: {ratio:.2f}\n")
        progress(f"Idle and busy, about {TURNS * TURN * 2.5:.0f} s")
        idle, busy = busy_worker(http)
        rows = {"nothing": idle, "a primes job in the worker": busy}
        out.print(table("GET /v1/info while there is; in ms", rows))
        out.print(f"Ratio of the longest: {max(busy) / max(idle):.2f}")
    return 0


def idle_worker(http: httpx.Client, jobs: int) -> tuple[list[float], list[float]]:
    """Submit jobs one by one, and ask for /v1/info between them.

    Returns: how long each job took to start, and each answer to come, in milliseconds.
    """
    chance = random.Random(5)
    starts, answers = [], []
    for _ in range(jobs):
        time.sleep(chance.uniform(*PAUSES))
        details = run_job(http, "hello", seconds=0)
        starts.append((at(details, "started_at") - at(details, "submitted_at")) * 1000)
        time.sleep(chance.uniform(*PAUSES))
        answers.append(time_info(http))
    return starts, answers


def busy_worker(http: httpx.Client) -> tuple[list[float], list[float]]:
    """Ask for /v1/info while the worker is idle, and while it computes.

    Returns: how long each answer took, in milliseconds: idle, then busy.
    """
    details = run_job(http, "primes", below=BELOW)
    seconds = at(details, "finished_at") - at(details, "started_at")
    # The work grows about as below ** 1.5. Half as much again, to be on the safe side.
    below = int(BELOW * (TURN * 1.5 / seconds) ** (2 / 3))
    idle, busy = [], []
    for _ in range(TURNS):
        idle += [answer for _, answer in ask_for(http, TURN)]
        uid = submit(http, "primes", below=below)
        while get(http, uid)["state"] == "queued":
            time.sleep(0.01)
        answers = ask_for(http, TURN)
        ended = at(wait(http, uid), "finished_at")
        # Requests after the end of the job met an idle worker.
        busy += [answer for asked_at, answer in answers if asked_at < ended]
    return idle, busy


def ask_for(http: httpx.Client, seconds: float) -> list[tuple[float, float]]:
    """Ask for /v1/info again and again, for some seconds.

    Returns: when each was asked for, in seconds since the epoch, and how long its
    answer took, in milliseconds.
    """
    answers = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        asked_at = time.time()
        answers.append((asked_at, time_info(http)))
        time.sleep(SPACING)
    return answers


def time_info(http: httpx.Client) -> float:
    """Return how long GET /v1/info takes, in milliseconds."""
    began = time.perf_counter()
    http.get("/v1/info").raise_for_status()
    return (time.perf_counter() - began) * 1000


def run_job(http: httpx.Client, task: str, **kwargs: object) -> dict[str, Any]:
    """Submit a job, wait for its end, and return its details."""
    return wait(http, submit(http, task, **kwargs))


def submit(http: httpx.Client, task: str, **kwargs: object) -> str:
    """Submit a job and return its uid."""
    reply = http.post("/v1/job", json={"task": task, "kwargs": kwargs})
    return str(reply.raise_for_status().json()["uid"])


def get(http: httpx.Client, uid: str) -> dict[str, Any]:
    """Return the details of a job."""
    details: dict[str, Any] = http.get(f"/v1/job/{uid}").raise_for_status().json()
    return details


def wait(http: httpx.Client, uid: str) -> dict[str, Any]:
    """Return the details of a job when it has succeeded.

    Raises: WorkshopError when it failed, or has not ended after PATIENCE.
    """
    deadline = time.monotonic() + PATIENCE
    while (details := get(http, uid))["finished_at"] is None:
        if time.monotonic() > deadline:
            raise WorkshopError(f"A job has not ended after {PATIENCE} s: {details}")
        time.sleep(0.02)
    if details["state"] != "succeeded":
        raise WorkshopError(f"A job has failed: {details}")
    return details


def at(details: dict[str, Any], moment: str) -> float:
    """Return one of a job's moments, in seconds since the epoch."""
    return datetime.fromisoformat(details[moment]).timestamp()


def table(title: str, rows: Mapping[str, Sequence[float]]) -> Table:
    """Return a table of rows of milliseconds, by their names."""
    made = Table(title, box=None)
    for heading in ("count", "median", "95th percentile", "longest"):
        made.add_column(heading, justify="right")
    for name, values in rows.items():
        figures = (statistics.median(values), percentile_95(values), max(values))
        made.add_row(name, str(len(values)), *(f"{value:.2f}" for value in figures))
    return made


if __name__ == "__main__":
    finish(main)
