"""The names that the calls of step 12 use.

The file is one for all of the lesson: what a call has stored, a later one finds.
"""

import asyncio
from datetime import UTC, datetime

import app.tasks as app_tasks  # registers its tasks
from saje.backend import KeyConflict
from saje.client import SajeClient
from saje.model import NewJob, new_uid
from saje.periodic import latest_slot
from saje.scheduler import Scheduler
from saje.sqlite import SQLiteBackend
from saje.task import Task
from saje.wake import Bell, new_tokens

backend = SQLiteBackend("calls.db", "full")
saje = SajeClient(backend, Bell(new_tokens()))
scheduler = Scheduler(backend, saje.bell, "me", 8, 1.0, 60.0)


def new_job(task: str = "hello", priority: float = 0.0) -> NewJob:
    """Return a job with a uid of its own."""
    return NewJob(new_uid(), task, "{}", priority=priority)
