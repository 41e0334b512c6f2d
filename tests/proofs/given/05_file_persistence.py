"""The names that the calls of step 05 use.

The file is one for all of the lesson: what a call has stored, a later one finds.
"""

from queue import Queue
from uuid import UUID

import app.tasks
from saje.backend import FileBackend
from saje.client import SajeClient
from saje.job import Job
from saje.model import JobState, now

backend = FileBackend("calls.jsonl")
saje = SajeClient(Queue(), backend)
uid = UUID("f54e4ca4-9b5b-4a3e-9c7b-5d1a0c0f7d11")
