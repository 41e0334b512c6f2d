"""SajeClient: the application's side of the queue."""

import json
from queue import Queue
from typing import Any
from uuid import UUID

from saje.backend import Backend
from saje.model import JobDetails, JobState, encode, now


class SajeClient:
    """Sends jobs to the worker and asks how they are doing.

    There is one in every server process; they all share one queue.
    """

    def __init__(self, queue: Queue[str], backend: Backend) -> None:
        self.queue = queue
        self.backend = backend

    async def send(self, job_definition: dict[str, Any] | str) -> None:
        """Record a job as queued and put it on the queue.

        Args:
            job_definition: `task`, `uid` and `kwargs` of the job, as a
                dictionary or as the JSON text of one.

        Raises:
            KeyError: One of the three is missing.
            ValueError: The definition cannot be written as JSON.
            OSError: The job could not be recorded. It is not queued then.
        """
        # TODO 5.4: make a dictionary of a string. Store the job as queued, with
        # its task, kwargs and submitted_at, before it goes on the queue.
        if not isinstance(job_definition, str):
            job_definition = encode(job_definition)
        self.queue.put_nowait(job_definition)

    async def fetch(self, uid: UUID) -> JobDetails | None:
        """Return what is known of a job, or None for an unknown uid."""
        # TODO 5.4: ask the backend.
        return None

    def depth(self) -> int:
        """Return how many jobs wait on the queue, taken by no worker yet."""
        return self.queue.qsize()
