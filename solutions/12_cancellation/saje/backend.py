"""What SAJE asks of any store."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from uuid import UUID

from saje.model import Claim, JobDetails, JobState, NewJob, Outcome


class BacklogFull(Exception):
    """As many jobs wait as the app allows."""


class KeyConflict(Exception):
    """There is another job with this key."""


class Backend(ABC):
    """A store of jobs. Every method raises OSError while the store can't be used."""

    @abstractmethod
    async def add(self, job: NewJob) -> UUID:
        """Store a job that waits for a worker. When this returns, it won't get lost.

        Args:
            job: The job.

        Returns:
            Its uid, or that of the job with the same key, which is there already.

        Raises:
            ValueError: There is a job with this uid.
            BacklogFull: Too many jobs wait.
            KeyConflict: There is another job with this key.
        """

    @abstractmethod
    async def turn(
        self, outcomes: Sequence[Outcome], worker: str, free: int
    ) -> tuple[list[bool], list[Claim], float]:
        """Record how jobs have ended, and take the oldest jobs that are due, at once.

        Args:
            outcomes: How jobs have ended.
            worker: The name of the process that takes jobs. They are running then.
            free: How many it could run. It gets its fair share of the jobs at most.

        Returns:
            Whether each outcome was recorded, which it isn't if its attempt wasn't the
            job's latest one; the claimed jobs, oldest first; and the seconds until
            another job is due, which are 0 if one is due now, and infinite if none
            waits.
        """

    @abstractmethod
    async def release(self, claims: Sequence[Claim]) -> None:
        """Hand jobs back that this worker won't finish, so that they wait again.

        Args:
            claims: What the worker has claimed. A job that has ended stays as it is.
        """

    @abstractmethod
    async def beat(self, worker: str, lease: float) -> bool:
        """Extend the lease of a worker, or begin it.

        A worker holds its jobs for as long as it has a lease. See `reap`.

        Args:
            worker: The name of the process.
            lease: Seconds from now on that the lease lasts.

        Returns:
            Whether there was a lease. If there wasn't, the worker has lost its jobs.
            What it has claimed without a lease waits again.
        """

    @abstractmethod
    async def dismiss(self, worker: str) -> None:
        """End the lease of a worker, which holds no jobs any more.

        Args:
            worker: The name of the process.
        """

    @abstractmethod
    async def reap(self, dead: Sequence[str] = ()) -> int:
        """End the leases that are over, and let the jobs of those workers wait again.

        A job whose workers have died too often under it is dead. See MAX_CRASHES.

        Args:
            dead: Workers that have died, so their leases end now.

        Returns:
            The number of those jobs.
        """

    @abstractmethod
    async def retry(self, uid: UUID) -> bool:
        """Let a job that has failed for good run again, with all of its tries.

        Args:
            uid: The job.

        Returns:
            Whether it runs again. It doesn't unless it is failed or dead.
        """

    @abstractmethod
    async def cancel(self, uid: UUID) -> JobState | None:
        """Cancel a job that waits, or ask for the end of one that runs.

        Args:
            uid: The job.

        Returns:
            The state in which the job was, or None if the uid is unknown. A job that
            was neither queued nor running stays as it is.
        """

    @abstractmethod
    def cancelling(self, worker: str) -> list[int]:
        """Return which jobs of a worker somebody has asked to cancel.

        Args:
            worker: The name of the process.

        Returns:
            The numbers of those jobs, `seq`.
        """

    @abstractmethod
    async def add_slot(self, job: NewJob, slot: float) -> bool:
        """Store the job of a periodic task for one of the times at which it is due.

        Args:
            job: The job.
            slot: That time, in seconds since 1970, UTC.

        Returns:
            Whether the job was stored. It isn't if somebody else was faster, nor for
            the first slot of a task, because its app has only been there for a part
            of the time before that.
        """

    @abstractmethod
    async def recover(self) -> int:
        """Let jobs wait again that were running when the app died.

        Call this while no worker is running.

        Returns:
            The number of those jobs.
        """

    @abstractmethod
    async def prune(self, before: float) -> None:
        """Forget the jobs that have ended before a time.

        Args:
            before: Seconds since 1970, UTC.
        """

    @abstractmethod
    async def fetch(self, uid: UUID) -> JobDetails | None:
        """Look a job up.

        Args:
            uid: The job.

        Returns:
            What is known about the job, or None if the uid is unknown.
        """

    @abstractmethod
    async def page(
        self, state: JobState | None, limit: int, after: int | None
    ) -> tuple[list[JobDetails], int | None]:
        """List jobs, newest first.

        Args:
            state: List only the jobs in this state, or all of them.
            limit: How many to list at most.
            after: The cursor that came with the page before this one.

        Returns:
            The jobs, and the cursor for the next page, or None if there can be none.
        """

    @abstractmethod
    def waiting(self) -> int:
        """Return how many jobs wait for a worker."""
