"""What is known of a job, and how it is written down."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

MAX_DEPTH = 64
"""Levels of nesting that a message may have. JSON parsers stop at about a
thousand, each at another number; far below that, all of them agree."""


class Interrupted(Exception):
    """The job had not ended when its worker stopped."""

    def __init__(self) -> None:
        super().__init__("The worker stopped before the job had ended.")


class JobState(StrEnum):
    """Where a job is on its way."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """True when nothing more will happen to the job."""
        return self in (JobState.SUCCEEDED, JobState.FAILED)


@dataclass
class JobDetails:
    """One job as its submitter sees it. Times are ISO 8601 in UTC."""

    uid: str
    task: str
    state: JobState
    kwargs: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    error: dict[str, str] | None = None
    submitted_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the details as JSON-ready values."""
        return asdict(self)


def now() -> str:
    """Return the present moment in ISO 8601, UTC, to the microsecond."""
    return datetime.now(UTC).isoformat()


def encode(value: object) -> str:
    """Write a value as one line of JSON that every process can read back.

    Args:
        value: What to write: a message, a record, the result of a task.

    Returns:
        Compact JSON without line breaks.

    Raises:
        ValueError: The value would not survive the trip: it holds NaN or
            Infinity, half of a surrogate pair, an object that JSON has no
            form for, or it is nested deeper than MAX_DEPTH.
    """
    if _deeper_than(MAX_DEPTH, value):
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    try:
        line = json.dumps(
            value, allow_nan=False, ensure_ascii=False, separators=(",", ":")
        )
        line.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise ValueError(f"it is not valid JSON: {error}") from error
    return line


def describe(error: BaseException) -> dict[str, str]:
    """Describe an exception for a job's record: its type and its message."""
    try:
        message = str(error)
    except BaseException:  # SystemExit would end the worker
        message = "(its message cannot be shown: __str__ raised)"
    # A message may hold what JSON cannot: half of a surrogate pair.
    message = message.encode("utf-8", "backslashreplace").decode()
    return {"type": type(error).__name__, "message": message}


def _deeper_than(levels: int, value: object) -> bool:
    if isinstance(value, dict):
        children = list(value.values())
    elif isinstance(value, list | tuple):
        children = list(value)
    else:
        return False
    return levels == 0 or any(_deeper_than(levels - 1, child) for child in children)
