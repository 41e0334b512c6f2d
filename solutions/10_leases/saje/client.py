"""SajeClient: the application's side of SAJE."""

from typing import Any
from uuid import UUID

from saje.backend import Backend
from saje.model import JobDetails, JobState, NewJob, encode, new_uid
from saje.wake import Bell


class SajeClient:
    """Stores jobs for the workers, and asks how they are doing.

    There is one client in each server process. They share one store and one bell.
    """

    def __init__(self, backend: Backend, bell: Bell) -> None:
        """Create a client.

        Args:
            backend: Where the jobs are kept.
            bell: Wakes a worker.
        """
        self.backend = backend
        self.bell = bell

    async def send(self, job_definition: dict[str, Any]) -> UUID:
        """Store a job. It runs sooner or later, whatever is killed from now on.

        Args:
            job_definition: The `task` and the `kwargs` of the job; its `uid`, or none
                to get a new one; and its `delay`, the seconds before it may run.

        Returns:
            The job's uid.

        Raises:
            ValueError: The arguments can't be written as JSON, or the uid is taken.
            BacklogFull: Too many jobs wait.
            OSError: The job couldn't be stored.
        """
        uid = job_definition.get("uid")
        job = NewJob(
            UUID(uid) if uid else new_uid(),
            job_definition["task"],
            encode(job_definition["kwargs"]),
            job_definition.get("delay", 0.0),
        )
        stored = await self.backend.add(job)
        self.bell.ring()
        return stored

    async def retry(self, uid: UUID) -> bool:
        """Let a job run again that is failed or dead. See Backend.retry."""
        done = await self.backend.retry(uid)
        self.bell.ring()
        return done

    async def fetch(self, uid: UUID) -> JobDetails | None:
        """Look a job up.

        Args:
            uid: The job.

        Returns:
            What is known about the job, or None if the uid is unknown.
        """
        return await self.backend.fetch(uid)

    async def page(
        self, state: JobState | None, limit: int, after: int | None
    ) -> tuple[list[JobDetails], int | None]:
        """List jobs, newest first. See Backend.page."""
        return await self.backend.page(state, limit, after)

    def depth(self) -> int:
        """Return how many jobs wait for a worker."""
        return self.backend.waiting()
