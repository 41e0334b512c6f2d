"""The names that the calls of step 09 use.

The file is one for all of the lesson: what a call has stored, a later one finds.
"""

import asyncio
import random

import app.tasks
from saje.job import Job
from saje.model import Claim, JobState, NewJob, Outcome, new_uid
from saje.retry import Retry
from saje.sqlite import SQLiteBackend

moment = 0.0
backend = SQLiteBackend("calls.db", clock=lambda: moment)


def new_job(delay: float = 0) -> NewJob:
    """Return a job with a uid of its own."""
    return NewJob(new_uid(), "flaky", "{}", delay)
