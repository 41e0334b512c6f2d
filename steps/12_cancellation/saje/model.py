"""What is known about a job, and how it is written down."""

import os
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import Any
from uuid import UUID

import ujson

MAX_DEPTH = 63
"""How many levels of nesting arguments and results may have: 64 with the job around
them. JSON parsers give up at about a thousand, and all of them can read far fewer."""


class JobState(StrEnum):
    """How far a job has come."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # and not worth another try
    DEAD = "dead"  # failed as often as it may
    CANCELLED = "cancelled"


@dataclass
class NewJob:
    """A job on its way into the store."""

    uid: UUID
    task: str
    kwargs: str
    """The arguments, as JSON."""
    delay: float = 0.0
    """Seconds to wait at least before it runs."""
    priority: float = 0.0
    """Seconds of a head start: it is placed in the line as if it had come earlier."""
    key: str | None = None
    """The same for all requests that ask for the same job, which they do only once."""
    digest: str | None = None
    """Shows whether two requests with the same key ask for the same job."""


@dataclass
class Claim:
    """A job that one worker may run."""

    seq: int
    """The job's number in the store."""
    uid: UUID
    task: str
    kwargs: str
    """The arguments, as JSON."""
    attempt: int
    """How often the job has been claimed by now. An outcome counts only while this is
    the job's latest attempt."""
    tries: int = 0
    """How often the task has failed by now. A job that was handed back, or whose worker
    died, has been claimed more often than that."""


@dataclass
class Outcome:
    """How an attempt at a job has ended."""

    seq: int
    attempt: int
    state: JobState
    result: str | None = None
    """What the task returned, as JSON."""
    error: str | None = None
    """The exception that the task raised, as JSON. See `describe`."""
    finished_at: float = field(default_factory=time.time)
    """Seconds since 1970, UTC."""
    pause: float = 0.0
    """Seconds until the next try, if the job is queued again."""


@dataclass
class JobDetails:
    """A job as the client sees it. Times are ISO 8601 in UTC."""

    uid: str
    task: str
    state: JobState
    kwargs: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    error: dict[str, str] | None = None
    submitted_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    attempts: int = 0
    """How often the job has been started."""
    failures: list[dict[str, Any]] = field(default_factory=list)
    """The error of each try that failed, with the number of its attempt."""

    def to_dict(self) -> dict[str, Any]:
        """Return the details as values that JSON can hold."""
        return asdict(self)


def new_uid() -> UUID:
    """Make a UUID of version 7, which begins with the time.

    New ones sort behind older ones, so the database adds them at the end of its index.
    uuid4() would spread them all over it. Python has uuid7() from 3.14 on.

    Returns:
        The UUID: 48 bits with the milliseconds since 1970, 74 random ones, and the
        version. See RFC 9562, section 5.7.
    """
    uid = bytearray(os.urandom(16))
    uid[:6] = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    uid[6] = 0x70 | uid[6] & 0x0F  # the version
    uid[8] = 0x80 | uid[8] & 0x3F  # the variant
    return UUID(bytes=bytes(uid))


def iso(moment: float | None) -> str | None:
    """Write a time as text.

    Args:
        moment: Seconds since 1970, or None.

    Returns:
        The time in ISO 8601, UTC, with microseconds, or None.
    """
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")


def encode(value: object) -> str:
    """Write a value as one line of JSON that reads back as the same value.

    Args:
        value: A message, a record, or the result of a task.

    Returns:
        Compact JSON without line breaks.

    Raises:
        ValueError: It wouldn't read back as the same value. It holds NaN or Infinity, a
            broken character (half of a surrogate pair), a key that isn't text, or an
            object that JSON has no form for, or it is nested too deeply (MAX_DEPTH).
    """
    _check(value, MAX_DEPTH)
    line = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)
    line.encode()  # raises UnicodeEncodeError, a ValueError, for half of a pair
    return line


def describe(error: BaseException) -> dict[str, str]:
    """Describe an exception for a job's record.

    Args:
        error: The exception.

    Returns:
        Its type and its message, which is never empty.
    """
    try:
        message = str(error) or repr(error)
    except BaseException:  # a SystemExit would end the worker
        message = "Its message can't be shown, because __str__ raised an exception."
    # A message may contain half of a surrogate pair, which JSON can't hold.
    message = message.encode(errors="backslashreplace").decode()
    return {"type": type(error).__name__, "message": message}


def _check(value: object, levels: int) -> None:
    """Raise ValueError unless JSON can hold a value.

    ujson alone would let too much pass: it turns the key 1 into "1", and calls the
    `__json__` of objects that have one.
    """
    if isinstance(value, dict | list | tuple) and not levels:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the key {key!r:.50} isn't text")
            _check(child, levels - 1)
    elif isinstance(value, list | tuple):
        for child in value:
            _check(child, levels - 1)
    elif isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"JSON has no {value}")
    elif value is not None and not isinstance(value, str | int):
        raise ValueError(f"JSON has no form for the type {type(value).__name__}")
