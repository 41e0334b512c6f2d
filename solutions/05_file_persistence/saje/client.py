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
        message = encode(job_definition)
        uid = UUID(job_definition["uid"])
        # On file first, because the worker may get the message before put returns.
        await self.backend.store(
            uid,
            JobState.QUEUED,
            task=job_definition["task"],
            kwargs=job_definition["kwargs"],
            submitted_at=now(),
        )
        try:
            self.queue.put_nowait(message)
        except (EOFError, OSError) as error:
            await self.backend.store(
                uid, JobState.FAILED, error=describe(error), finished_at=now()
            )
            raise

    async def fetch(self, uid: UUID) -> JobDetails | None:
        """Look a job up.

        Args:
            uid: The job.

        Returns:
            What is known about the job, or None if the uid is unknown.
        """
        return await self.backend.fetch(uid)

    def depth(self) -> int:
        """Return how many jobs are waiting on the queue for the worker."""
        return self.queue.qsize()
