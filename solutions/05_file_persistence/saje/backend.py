"""Where the details of jobs are kept."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from os import SEEK_END
from pathlib import Path
from typing import Any
from uuid import UUID

import ujson
from sanic.log import logger

from saje.model import Interrupted, JobDetails, JobState, describe, encode, now


class Backend(ABC):
    """What SAJE asks of any store."""

    @abstractmethod
    async def store(self, uid: UUID, state: JobState, **changes: Any) -> None:
        """Record that a job has entered a state.

        Args:
            uid: The job.
            state: Its state from now on.
            **changes: Other fields of JobDetails that have changed.

        Raises:
            ValueError: A change can't be written as JSON.
            OSError: The record could not be written.
        """

    @abstractmethod
    async def fetch(self, uid: UUID) -> JobDetails | None:
        """Look a job up.

        Args:
            uid: The job.

        Returns:
            What is known about the job, or None if the uid is unknown.
        """


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
        self._end = 0  # bytes of the file that are in _offsets

    async def store(self, uid: UUID, state: JobState, **changes: Any) -> None:
        """Append one line. See Backend.store."""
        record = encode({"uid": str(uid), "state": state, **changes}).encode() + b"\n"
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
        error = describe(Interrupted())
        for uid in unfinished:
            await self.store(
                UUID(uid.decode()), JobState.FAILED, error=error, finished_at=now()
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
