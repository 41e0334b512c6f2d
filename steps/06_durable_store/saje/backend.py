"""Where jobs are kept."""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from os import SEEK_END
from pathlib import Path
from typing import Any
from uuid import UUID

import ujson
from sanic.log import logger

from saje.model import Claim, JobDetails, JobState, NewJob, Outcome, encode, iso


class Backend(ABC):
    """A store of jobs. Every method raises OSError while the store can't be used."""

    @abstractmethod
    async def add(self, job: NewJob) -> UUID:
        """Store a job that waits for a worker. When this returns, it won't get lost.

        Args:
            job: The job.

        Returns:
            Its uid.

        Raises:
            ValueError: There is a job with this uid.
        """

    @abstractmethod
    async def claim(self, worker: str, free: int) -> list[Claim]:
        """Take the oldest jobs that wait. From now on they are running.

        Args:
            worker: The name of the process that takes them.
            free: How many to take at most.

        Returns:
            The jobs, oldest first.
        """

    @abstractmethod
    async def finish(self, outcome: Outcome) -> bool:
        """Record how a job has ended.

        Args:
            outcome: How it has ended.

        Returns:
            False if this wasn't the job's latest attempt, so nothing was recorded.
        """

    @abstractmethod
    async def recover(self) -> int:
        """Let jobs wait again that were running when the app died.

        Call this while no worker is running.

        Returns:
            The number of those jobs.
        """

    @abstractmethod
    async def fetch(self, uid: UUID) -> JobDetails | None:
        """Look a job up.

        Args:
            uid: The job.

        Returns:
            What is known about the job, or None if the uid is unknown.
        """

    @abstractmethod
    async def page(
        self, state: JobState | None, limit: int, after: int | None
    ) -> tuple[list[JobDetails], int | None]:
        """List jobs, newest first.

        Args:
            state: List only the jobs in this state, or all of them.
            limit: How many to list at most.
            after: The cursor that came with the page before this one.

        Returns:
            The jobs, and the cursor for the next page, or None if there can be none.
        """

    @abstractmethod
    def waiting(self) -> int:
        """Return how many jobs wait for a worker."""


class FileBackend(Backend):
    """Keeps jobs in a flat file: append-only, one line of JSON for each change.

    Every server and the worker open the same file. A server remembers where the lines
    of a job begin, and reads on from where it stopped the last time, so a look-up takes
    hardly longer in a large file than in a small one.

    It writes on the event loop. An append takes about 10 microseconds, and handing it
    to a thread would take at least four times as long.
    """

    RECORD = re.compile(
        rb'\{"uid":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",'
        rb'"state":"(%b)".*\}\n' % "|".join(JobState).encode()
    )
    """A whole line: group 1 is the uid, group 2 the state. Both come first in every
    line, so that the index can be built without parsing any JSON."""

    def __init__(self, path: str | Path) -> None:
        """Open the file, and create it if it doesn't exist.

        Args:
            path: The file.

        Raises:
            OSError: The file can't be opened for reading and appending.
        """
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: a buffer is written out whenever it is full, even within a line.
        self._writer = self.path.open("ab", buffering=0)
        self._reader = self.path.open("rb")
        self._offsets: dict[bytes, list[int]] = {}  # where the lines of a job begin
        self._states: dict[bytes, bytes] = {}  # what the latest line of a job says
        self._end = 0  # bytes of the file that are in _offsets

    async def add(self, job: NewJob) -> UUID:
        """Append a line. See Backend.add."""
        await self.store(
            job.uid,
            JobState.QUEUED,
            task=job.task,
            kwargs=ujson.loads(job.kwargs),
            submitted_at=iso(time.time()),
        )
        return job.uid

    async def claim(self, worker: str, free: int) -> list[Claim]:
        """Append a line for each job that is queued. See Backend.claim."""
        self.refresh()
        claims = []
        queued = [uid for uid, state in self._states.items() if state == b"queued"]
        for uid in queued[:free]:
            offset = self._offsets[uid][0]
            self._reader.seek(offset)
            job = self._parse(self._reader.readline(), offset)
            claims.append(
                Claim(offset, UUID(job["uid"]), job["task"], encode(job["kwargs"]), 1)
            )
            await self.store(
                UUID(job["uid"]), JobState.RUNNING, started_at=iso(time.time())
            )
        return claims

    async def finish(self, outcome: Outcome) -> bool:
        """Append a line. See Backend.finish."""
        self._reader.seek(outcome.seq)
        job = self._parse(self._reader.readline(), outcome.seq)
        await self.store(
            UUID(job["uid"]),
            outcome.state,
            result=ujson.loads(outcome.result or "null"),
            error=ujson.loads(outcome.error or "null"),
            finished_at=iso(outcome.finished_at),
        )
        return True

    async def page(
        self, state: JobState | None, limit: int, after: int | None
    ) -> tuple[list[JobDetails], int | None]:
        """Refuse to list jobs: the file can only be searched from end to end."""
        raise OSError("only a database can list jobs")

    def waiting(self) -> int:
        """Count the jobs that are queued. See Backend.waiting."""
        self.refresh()
        return list(self._states.values()).count(b"queued")

    async def store(self, uid: UUID, state: JobState, **changes: Any) -> None:
        """Append one line about a job."""
        # encode() has checked the values of the job before. It would refuse the deepest
        # of them here, because the record around them is one more level.
        values = {"uid": str(uid), "state": state, **changes}
        line = ujson.dumps(values, ensure_ascii=False, escape_forward_slashes=False)
        record = line.encode() + b"\n"
        if self._ends_torn():
            record = b"\n" + record
        if self._writer.write(record) != len(record):
            raise OSError(f"{self.path}: a record was cut short. Is the disk full?")

    async def fetch(self, uid: UUID) -> JobDetails | None:
        """Merge the lines of one job, oldest first. See Backend.fetch."""
        self.refresh()
        details: dict[str, Any] = {}
        for offset in self._offsets.get(str(uid).encode(), []):
            self._reader.seek(offset)
            line = self._parse(self._reader.readline(), offset)
            # Another uid means that somebody has cut the file since it was indexed.
            if line.get("uid") == str(uid):
                details |= line
        return JobDetails(**details) if "task" in details else None

    def refresh(self) -> None:
        """Index the lines that were appended since the last time.

        Every look-up does this. Call it once before the first one if the file may be
        long, because a million lines take about a second.
        """
        for offset, record in self._new_records():
            self._offsets.setdefault(record[1], []).append(offset)
            self._states[record[1]] = record[2]

    async def recover(self) -> int:
        """Record as failed what an earlier run of the app left unfinished.

        Call this while nobody else uses the file. The queue of that run is gone, and
        none of its jobs can still be running.

        Returns:
            The number of those jobs.
        """
        unfinished: set[bytes] = set()
        for offset, record in self._new_records():
            # A line that was torn right after a "}" matches RECORD as well.
            if not self._parse(record[0], offset):
                continue
            if JobState(record[2].decode()).ended:
                unfinished.discard(record[1])
            else:
                unfinished.add(record[1])
        error = {"type": "Interrupted", "message": "The app died before the job ended."}
        for uid in unfinished:
            await self.store(
                UUID(uid.decode()),
                JobState.FAILED,
                error=error,
                finished_at=iso(time.time()),
            )
        return len(unfinished)

    def _new_records(self) -> Iterator[tuple[int, re.Match[bytes]]]:
        """Yield the offset and the RECORD match of each line since the last time."""
        self._reader.seek(self._end)
        # A line without its end is still being written. It is read the next time.
        while (line := self._reader.readline()).endswith(b"\n"):
            offset, self._end = self._end, self._end + len(line)
            if record := self.RECORD.fullmatch(line):
                yield offset, record
            elif line != b"\n":
                self._warn(offset)

    def _parse(self, line: bytes, offset: int) -> dict[str, Any]:
        """Return a line as a dictionary, which is empty if the line is torn."""
        try:
            return dict(ujson.loads(line))
        except (TypeError, ValueError):
            self._warn(offset)
            return {}

    def _ends_torn(self) -> bool:
        """Return whether the last writer died in the middle of its line."""
        size = self._reader.seek(0, SEEK_END)
        self._reader.seek(max(size - 1, 0))
        return self._reader.read(1) not in (b"", b"\n")

    def _warn(self, offset: int) -> None:
        logger.warning("%s: skipped a torn line at byte %d", self.path, offset)
