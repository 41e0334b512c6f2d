"""The names that the calls of step 08 use.

The file is one for all of the lesson: what a call has stored, a later one finds.
"""

import asyncio
import time
from pathlib import Path
from time import perf_counter

from saje.backend import BacklogFull
from saje.model import JobState, NewJob, Outcome, new_uid
from saje.schema import connect
from saje.sqlite import SQLiteBackend
from saje.store import Store

backend = SQLiteBackend("calls.db", "full")
db = connect(Path("calls.db"), "full")


def new_job() -> NewJob:
    """Return a job with a uid of its own."""
    return NewJob(new_uid(), "hello", '{"seconds": 0}')
