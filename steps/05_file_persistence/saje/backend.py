"""Where the details of jobs are kept."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from os import SEEK_END
from pathlib import Path
from typing import Any
from uuid import UUID

from sanic.log import logger

from saje.model import Interrupted, JobDetails, JobState, describe, encode, now


class Backend(ABC):
    """What SAJE asks of any store."""

    @abstractmethod
    async def store(self, uid: UUID, state: JobState, **changes: Any) -> None:
        """Record that a job has entered a state.

        Args:
            uid: The job.
            state: The state that it is in from now on.
            **changes: Further fields of JobDetails that have changed.

        Raises:
            ValueError: A change cannot be written as JSON.
            OSError: The record could not be written.
        """

    @abstractmethod
    async def fetch(self, uid: UUID) -> JobDetails | None:
        """Return what is known of a job, or None for an unknown uid."""


class FileBackend(Backend):
    """Keeps jobs in a flat file: append-only, a line of JSON for each change.

    Servers and workers each hold a FileBackend of their own on the same file.
    A line goes out in one `write`, so lines of two processes never mix. Each
    process remembers where the lines of a job begin, and reads on from where
    it stopped the last time: a look-up costs the same in a file of any size.
    """

    RECORD = re.compile(
        rb'\{"uid":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",'
        rb'"state":"(%b)".*\}\n' % "|".join(JobState).encode()
    )
    """A whole line. The first two fields can be read without a JSON parser."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: a buffer would cut the lines where it is full.
        self._writer = self.path.open("ab", buffering=0)
        self._reader = self.path.open("rb")
        self._offsets: dict[bytes, list[int]] = {}
        self._end = 0  # bytes of the file that are in _offsets

    async def store(self, uid: UUID, state: JobState, **changes: Any) -> None:
        """Append one line. See Backend.store."""
        # TODO 5.1: encode() uid, state and changes, in this order, as one object.
        # Write it with its line break in one call of self._writer.write. Begin
        # with a line break if the file ends torn. Raise OSError if not all of
        # it was written.

    async def fetch(self, uid: UUID) -> JobDetails | None:
        """Merge the lines of one job, oldest first. See Backend.fetch."""
        # TODO 5.3: refresh the index, read the job's lines at their offsets, and
        # merge what self._parse makes of them. Without a task, it is no job.
        return None

    def refresh(self) -> None:
        """Index the lines that were appended since the last time.

        Every look-up does this. Do it once before the first one when the file
        may be long: a million lines take about a second.
        """
        for offset, record in self._new_records():
            self._offsets.setdefault(record[1], []).append(offset)

    async def recover(self) -> int:
        """Record as failed whatever an earlier run of the program left undone.

        Call this while nobody else uses the file: the queue of that run is
        gone, and nothing of it can still be running.

        Returns:
            How many jobs there were.
        """
        undone: set[bytes] = set()
        for offset, record in self._new_records():
            # A line that broke off at a brace looks whole, and is not.
            if not self._parse(record[0], offset):
                continue
            if JobState(record[2].decode()).ended:
                undone.discard(record[1])
            else:
                undone.add(record[1])
        error = describe(Interrupted())
        for uid in undone:
            await self.store(
                UUID(uid.decode()), JobState.FAILED, error=error, finished_at=now()
            )
        return len(undone)

    def _new_records(self) -> Iterator[tuple[int, re.Match[bytes]]]:
        self._reader.seek(self._end)
        # TODO 5.2: read line by line. A line without a line break is not written
        # to its end yet: leave it for the next time. Move self._end past each
        # whole line. Yield its offset and its match of self.RECORD, or call
        # self._warn if it is torn (an empty line is not).
        yield from ()

    def _parse(self, line: bytes, offset: int) -> dict[str, Any]:
        try:
            return dict(json.loads(line))
        except ValueError:
            self._warn(offset)
            return {}

    def _ends_torn(self) -> bool:
        """Tell whether the last writer died in the middle of its line."""
        size = self._reader.seek(0, SEEK_END)
        self._reader.seek(max(size - 1, 0))
        return self._reader.read(1) not in (b"", b"\n")

    def _warn(self, offset: int) -> None:
        logger.warning("%s: skipped a torn line at byte %d", self.path, offset)
