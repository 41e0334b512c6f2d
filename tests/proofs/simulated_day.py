"""A day in the life of the store, in seconds: `python -m tests.proofs.simulated_day`.

Three workers share one file. They claim jobs, of which some fail and are tried again,
and they store the jobs of two periodic tasks. Now and then a worker dies, and another
one takes its place, or it is away for longer than its lease, and comes back with what
it has done. At noon the clock is set back an hour. Nothing here waits: both
clocks are numbers, and each step of the day calls the functions that the real
processes call.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workshop.core.environment import ROOT

sys.path.insert(0, str(max((ROOT / "solutions").glob("[0-9][0-9]_*"))))

from saje import sqlite as store
from saje.model import Claim, JobState, NewJob, Outcome, new_uid
from saje.periodic import latest_slot
from saje.retry import Retry
from saje.schema import connect
from saje.task import Task

HOUR = 3600.0
STEP = 5.0  # seconds
LEASE = 15.0
TRIES = Retry(tries=3, first=60.0)


class Minutely(Task):
    """Is due every minute."""

    name = "minutely"
    every = 60.0

    def run(self) -> None:
        """Do nothing: nobody runs it."""


class Quarterly(Task):
    """Is due four times an hour."""

    name = "quarterly"
    cron = "*/15 * * * *"

    def run(self) -> None:
        """Do nothing: nobody runs it."""


@dataclass
class Worker:
    """A worker that runs its jobs for a few steps each."""

    name: str
    jobs: list[tuple[Claim, float]] = field(default_factory=list)
    """What it has claimed, and the monotonic time at which it is done."""
    away_until: float = 0.0


class Day:
    """The clocks, the store and the workers."""

    def __init__(self, db: sqlite3.Connection, seed: int) -> None:
        """Begin the day with three workers and an empty store."""
        self.db = db
        self.chance = random.Random(seed)
        self.wall = 1_800_000_000.0 // 86_400 * 86_400
        self.monotonic = 1000.0
        self.workers = [Worker(f"worker {number}") for number in range(3)]
        self.counts = Counter[str]()

    def clock(self) -> float:
        """Return the time of day."""
        return self.wall

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what is done inside."""
        self.db.execute("BEGIN IMMEDIATE")
        yield self.db
        self.db.execute("COMMIT")

    def step(self, number: int) -> None:
        """Let a few seconds pass for everybody."""
        self.wall += STEP
        self.monotonic += STEP
        if number == 12 * HOUR / STEP:
            self.wall -= HOUR
        if number % 6 == 0:
            with self.transaction() as db:
                store.add(db, [NewJob(new_uid(), "job", "{}")], 10_000, self.clock)
            self.counts["posted"] += 1
        if self.chance.random() < 0.002:
            victim = self.chance.randrange(3)
            if self.chance.random() < 0.5:
                self.counts["workers died"] += 1
                self.workers[victim] = Worker(f"worker {victim} from step {number} on")
            else:
                self.counts["workers away"] += 1
                self.workers[victim].away_until = self.monotonic + 3 * LEASE
        for worker in self.workers:
            if worker.away_until <= self.monotonic:
                self.work(worker)
                self.slots()

    def work(self, worker: Worker) -> None:
        """Let a worker beat, reap, record what is done, and claim."""
        done = [claim for claim, end in worker.jobs if end <= self.monotonic]
        worker.jobs = [pair for pair in worker.jobs if pair[1] > self.monotonic]
        outcomes = [self.outcome(claim) for claim in done]
        turn = (outcomes, worker.name, 4 - len(worker.jobs))
        with self.transaction() as db:
            ((recorded, claims, _),) = store.turn(db, [turn], 3, self.clock)
            lease = (worker.name, LEASE)
            if not store.beat(db, [lease], lambda: self.monotonic)[0]:
                worker.jobs, claims = [], []
            self.counts["taken back"] += store.reap(db, [()], lambda: self.monotonic)[0]
        self.counts["recorded"] += sum(recorded)
        self.counts["refused"] += len(recorded) - sum(recorded)
        for claim in claims:
            length = self.chance.choice([0.0, 5.0, 10.0, 40.0])
            worker.jobs.append((claim, self.monotonic + length))

    def outcome(self, claim: Claim) -> Outcome:
        """End a job: one try in four fails."""
        end = Outcome(claim.seq, claim.attempt, JobState.SUCCEEDED, "null")
        end.finished_at = self.wall
        if self.chance.random() < 0.25:
            tries = claim.tries + 1
            end.state, end.result, end.error = JobState.DEAD, None, '{"type": "Bad"}'
            if tries < TRIES.tries:
                end.state, end.pause = JobState.QUEUED, TRIES.pause(tries)
        return end

    def slots(self) -> None:
        """Store the jobs of periodic tasks, as each worker does it."""
        for task in (Minutely, Quarterly):
            slot = latest_slot(task, self.wall)
            assert slot is not None
            with self.transaction() as db:
                due = [(NewJob(new_uid(), task.name, "{}"), slot)]
                (added,) = store.add_slot(db, due, self.clock)
            self.counts[task.name] += added


def main(hours: float = 24, seed: int = 1) -> list[str]:
    """Simulate a day, print what happened, and return what went wrong."""
    began, steps = time.monotonic(), int(hours * HOUR / STEP)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        db = connect(Path(folder, "jobs.db"), "off")
        day = Day(db, seed)
        for number in range(steps):
            day.step(number)
        evening = dict(day.counts)
        for _ in range(int(HOUR / STEP)):  # without new jobs
            day.wall, day.monotonic = day.wall + STEP, day.monotonic + STEP
            for worker in day.workers:
                day.work(worker)
        states = Counter(
            dict(db.execute("SELECT state, count(*) FROM jobs GROUP BY 1"))
        )
        query = "SELECT max(tries), max(crashes), count(*) FROM jobs"
        tries, crashes, jobs = db.execute(query).fetchone()
        db.close()
    repeated = HOUR if hours > 12 else 0.0  # after the clock was set back
    wrong = []
    expected = {
        "minutely": (hours * HOUR - repeated) // 60,
        "quarterly": (hours * HOUR - repeated) // 900,
        "posted": jobs - evening["minutely"] - evening["quarterly"],
    }
    wrong += [
        f"{name}: {evening[name]}, not {count:.0f}"
        for name, count in expected.items()
        if evening[name] != count
    ]
    unfinished = sum(states.values()) - states["succeeded"] - states["dead"]
    wrong += [f"{unfinished} jobs have not ended"] if unfinished else []
    wrong += [f"a job has had {tries} tries"] if tries > TRIES.tries else []
    print(
        f"{hours:g} hours in {time.monotonic() - began:.1f} s: {evening}, "
        f"{dict(states)}, most crashes of a job: {crashes}"
    )
    return wrong


if __name__ == "__main__":
    found: Any = main()
    sys.exit("\n".join(found) or 0)
