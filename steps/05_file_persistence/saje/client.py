"""SajeClient: the application's side of the queue."""

from queue import Queue
from typing import Any
from uuid import UUID

from saje.backend import Backend
from saje.model import JobDetails, JobState, describe, encode, now


class SajeClient:
    """Sends jobs to the worker and asks how they are doing.

    There is one client in each server process. They all share one queue.
    """

    def __init__(self, queue: Queue[str], backend: Backend) -> None:
        """Create a client.

        Args:
            queue: The queue that the worker reads.
            backend: Where jobs are recorded.
        """
        self.queue = queue
        self.backend = backend

    async def send(self, job_definition: dict[str, Any]) -> None:
        """Record a job as queued and put it on the queue.

        Args:
            job_definition: The `task`, `uid` and `kwargs` of the job.

        Raises:
            ValueError: The definition can't be written as JSON.
            OSError: The job couldn't be recorded, so it wasn't queued either. Or the
                queue is gone, see EOFError.
            EOFError: The queue is gone, and the job is recorded as failed.
        """
        # TODO 5.4: record the job as queued, with its task, kwargs and submitted_at,
        # before you put it on the queue, because the worker may have the message before
        # put_nowait() returns. encode() the whole message before anything is stored, so
        # that a job that is refused leaves no trace. If the queue is gone (EOFError,
        # OSError), record the job as failed, with the error and finished_at, and raise
        # the exception again.
        self.queue.put_nowait(encode(job_definition))

    async def fetch(self, uid: UUID) -> JobDetails | None:
        """Look a job up.

        Args:
            uid: The job.

        Returns:
            What is known about the job, or None if the uid is unknown.
        """
        return None  # TODO 5.4: ask the backend.

    def depth(self) -> int:
        """Return how many jobs are waiting on the queue for the worker."""
        return self.queue.qsize()
