"""A status look-up in files of 1,000 to 1,000,000 records.

A record is one line of the file, which says that a job has changed. The jobs are
`hello` jobs with three lines each: queued, running and succeeded. A job's last line
comes 10 jobs after its first two, as it does when jobs run in parallel, so the last 10
jobs of each file are still running.

A look-up is `await FileBackend.fetch(uid)` of solution 05 for a random job that has
ended. It asks the system for new lines (there aren't any), reads the three lines of the
job and merges them. HTTP isn't part of it. The sizes take turns after each look-up, so
that anything else the machine does affects all of them alike.

The largest file has about 140 MB. It is in the system's temporary folder and is removed
at the end.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

import psutil
from rich.table import Table

from benchmarks._common import SOLUTION, at_least, finish, parser, progress
from workshop.core.output import console

sys.path.insert(0, str(SOLUTION))

from saje.backend import FileBackend
from saje.model import JobState, encode

SIZES = (1_000, 10_000, 100_000, 1_000_000)
"""Records in each file, unless --records says otherwise."""
LATER = 10
"""Jobs that begin between a job's begin and its end."""
FIRST_JOB = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Measured:
    """One file, its index, and the times of its look-ups."""

    backend: FileBackend
    ended: list[UUID]
    """The jobs that a look-up may ask for."""
    records: int
    megabytes: float
    index_seconds: float
    """How long the first reading of the file took."""
    index_megabytes: float
    """By how much the process grew meanwhile (resident memory)."""
    times: list[float] = field(default_factory=list)
    """Of each look-up, in microseconds."""


def main() -> int:
    """Measure and print one row for each size; return the exit status."""
    options = parser("look_up", __doc__)
    options.add_argument(
        "--records", type=at_least(100), nargs="+", default=SIZES, help="in each file"
    )
    options.add_argument(
        "--look-ups", type=at_least(1), default=2000, help="in each file"
    )
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Windows can't remove an open file. The backends, which keep theirs open, are
        # gone once measure() has returned.
        table = measure(Path(folder), chosen.records, chosen.look_ups)
    out = console()
    out.print(table)
    out.print(f"A look-up: the median of {chosen.look_ups} in each file.")
    return 0


def measure(folder: Path, sizes: Sequence[int], look_ups: int) -> Table:
    """Write files, index them, look jobs up, and return the table.

    Args:
        folder: Where the files go.
        sizes: How many records each file has.
        look_ups: How many look-ups to measure in each file.
    """
    chance = random.Random(5)  # The same uids in each run.
    files = []
    for records in sizes:
        path = folder / f"{records}.jsonl"
        progress(f"Writing and indexing {records:,} records")
        ended = write_file(path, records, chance)
        files.append(open_file(path, records, ended))
    progress(f"Looking up {look_ups:,} jobs in each file")
    asyncio.run(look_up(files, look_ups, chance))
    table = Table(box=None)
    for heading in ("records", "MB", "index: s", "ns/record", "memory: MB"):
        table.add_column(heading, justify="right")
    table.add_column("look-up: µs", justify="right")
    table.add_column("ratio", justify="right")
    smallest = statistics.median(files[0].times)
    for file in files:
        median = statistics.median(file.times)
        table.add_row(
            f"{file.records:,}",
            f"{file.megabytes:.1f}",
            f"{file.index_seconds:.3f}",
            f"{file.index_seconds / file.records * 1e9:.0f}",
            f"{file.index_megabytes:.1f}",
            f"{median:.1f}",
            f"{median / smallest:.2f}",
        )
    return table


def write_file(path: Path, records: int, chance: random.Random) -> list[UUID]:
    """Write a job file as FileBackend.store does, but many lines at a time.

    Returns: the jobs that have ended.
    """
    ended = []
    with path.open("wb") as file:
        for uid, state, line in islice(lines(chance), records):
            file.write(line)
            if state is JobState.SUCCEEDED:
                ended.append(uid)
    return ended


def lines(chance: random.Random) -> Iterator[tuple[UUID, JobState, bytes]]:
    """Yield the lines of jobs that begin every 10 ms and run for 0.1 s, endlessly.

    Each comes with its job and state.
    """
    begun: list[tuple[UUID, datetime]] = []
    queued_at = FIRST_JOB
    while True:
        uid = UUID(int=chance.getrandbits(128), version=4)
        begun.append((uid, queued_at))
        yield line(
            uid,
            JobState.QUEUED,
            task="hello",
            kwargs={"name": "Ada", "seconds": 0.1},
            submitted_at=queued_at.isoformat(),
        )
        started_at = queued_at + timedelta(microseconds=2345)
        yield line(uid, JobState.RUNNING, started_at=started_at.isoformat())
        if len(begun) > LATER:
            uid, then = begun.pop(0)
            finished_at = then + timedelta(microseconds=103456)
            yield line(
                uid,
                JobState.SUCCEEDED,
                result="Hello, Ada.",
                finished_at=finished_at.isoformat(),
            )
        queued_at += timedelta(microseconds=10_001)


def line(uid: UUID, state: JobState, **changes: object) -> tuple[UUID, JobState, bytes]:
    """Return a line in FileBackend's format, with its job and state."""
    record = encode({"uid": str(uid), "state": state, **changes}).encode() + b"\n"
    return uid, state, record


def open_file(path: Path, records: int, ended: list[UUID]) -> Measured:
    """Open a FileBackend on a file and have it index the file, timed."""
    backend = FileBackend(path)
    process = psutil.Process()
    before = process.memory_info().rss
    began = time.perf_counter()
    backend.refresh()
    seconds = time.perf_counter() - began
    grown = process.memory_info().rss - before
    megabytes = path.stat().st_size / 1e6
    return Measured(backend, ended, records, megabytes, seconds, grown / 1e6)


async def look_up(files: list[Measured], look_ups: int, chance: random.Random) -> None:
    """Look up random jobs, the files in turn, and note the times in them.

    Raises: RuntimeError if an answer isn't the right job, or the job hasn't ended.
    """
    turns = list(files)
    for _ in range(look_ups):
        chance.shuffle(turns)  # No size always follows the same other one.
        for file in turns:
            uid = chance.choice(file.ended)
            began = time.perf_counter_ns()
            details = await file.backend.fetch(uid)
            file.times.append((time.perf_counter_ns() - began) / 1000)
            if (
                details is None
                or details.uid != str(uid)
                or details.state != JobState.SUCCEEDED
                or details.submitted_at is None
                or details.started_at is None
            ):
                raise RuntimeError(f"{uid} among {file.records} records: {details}")


if __name__ == "__main__":
    finish(main)
