"""What a test of an SQLiteBackend needs beside it: from step 08 on."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from saje.model import Claim, JobState, Outcome
from saje.schema import connect


class Clock:
    """A clock that a test sets."""

    now = 1000.0
    """Seconds since 1970, or since the computer was started."""

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Beside:
    """A connection to the database, beside the one that is tested."""

    def __init__(self, path: Path) -> None:
        """Open the database. It is created if there is none yet."""
        self.db = connect(path, "normal")

    def put(self, task: str, **row: Any) -> UUID:
        """Insert a job.

        Args:
            task: The name of its task.
            **row: The columns in which it isn't a job that waits for its first attempt.

        Returns:
            Its uid.
        """
        uid = uuid4()
        row = {"uid": uid.bytes, "task": task, "kwargs": "{}", "state": "queued"} | row
        row = {"submitted_at": 1.0} | row
        marks = ", ".join("?" * len(row))
        sql = f"INSERT INTO jobs ({', '.join(row)}) VALUES ({marks})"
        self.db.execute(sql, tuple(row.values()))
        return uid

    def rows(self, columns: str = "task, state") -> list[Any]:
        """Return some columns of all jobs, the oldest job first."""
        return self.db.execute(f"SELECT {columns} FROM jobs ORDER BY seq").fetchall()


def succeeded(claim: Claim) -> Outcome:
    """Return the outcome of a job that has succeeded."""
    return Outcome(claim.seq, claim.attempt, JobState.SUCCEEDED, "7")
