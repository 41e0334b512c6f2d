"""The names that the calls of step 10 use.

The file is one for all of the lesson: what a call has stored, a later one finds.
"""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import app.tasks
from saje.model import JobState, NewJob, Outcome, new_uid
from saje.scheduler import Scheduler
from saje.schema import connect
from saje.sqlite import SQLiteBackend
from saje.wake import Bell, new_tokens

clock = SimpleNamespace(now=0.0)
backend = SQLiteBackend("calls.db", "full", monotonic=lambda: clock.now)
db = connect(Path("calls.db"), "full")
tokens = new_tokens()
bell = Bell(tokens)


def new_job() -> NewJob:
    """Return a job with a uid of its own."""
    return NewJob(new_uid(), "hello", '{"seconds": 60}')
