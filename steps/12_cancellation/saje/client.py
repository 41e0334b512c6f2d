"""SajeClient: the application's side of SAJE."""

from hashlib import sha256
from typing import Any
from uuid import UUID

import ujson

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
                to get a new one; its `delay`, the seconds before it may run; its
                `priority`, the seconds of its head start; and its `key`: if there is a
                job with the same key, this is a request for that one.

        Returns:
            The job's uid.

        Raises:
            ValueError: The arguments can't be written as JSON, or the uid is taken.
            BacklogFull: Too many jobs wait.
            KeyConflict: There is a job with the same key, and it is another one.
            OSError: The job couldn't be stored.
        """
        uid = job_definition.get("uid")
        job = NewJob(
            UUID(uid) if uid else new_uid(),
            job_definition["task"],
            encode(job_definition["kwargs"]),
            job_definition.get("delay", 0.0),
            job_definition.get("priority", 0.0),
            job_definition.get("key"),
        )
        if job.key:
            job.digest = digest(job)
        stored = await self.backend.add(job)
        self.bell.ring()
        return stored

    async def cancel(self, uid: UUID) -> JobState | None:
        """Cancel a job, or ask for its end. See Backend.cancel."""
        return await self.backend.cancel(uid)

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


def digest(job: NewJob) -> str:
    """Return what is the same for two jobs that differ in their uid and key alone.

    The order of the names in their kwargs doesn't make a difference.
    """
    asked = [job.task, ujson.loads(job.kwargs), float(job.delay), float(job.priority)]
    text = ujson.dumps(asked, sort_keys=True)
    return sha256(text.encode()).hexdigest()
