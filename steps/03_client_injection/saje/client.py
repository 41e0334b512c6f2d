"""SajeClient: the application's side of the queue."""

from queue import Queue
from typing import Any

# TODO 3.2: import encode from saje.model.


class SajeClient:
    """Sends jobs to the worker.

    There is one client in each server process. They all share one queue.
    """

    def __init__(self, queue: Queue[str]) -> None:
        """Create a client.

        Args:
            queue: The queue that the worker reads.
        """
        self.queue = queue

    async def send(self, job_definition: dict[str, Any]) -> None:
        """Put a job on the queue.

        Args:
            job_definition: The `task`, `uid` and `kwargs` of the job.

        Raises:
            ValueError: The definition can't be written as JSON.
            EOFError, OSError: The queue is gone.
        """
        # TODO 3.2: put the job on the queue. The worker expects one line of JSON, which
        # any program can read. If JSON can't hold the job, raise ValueError, as
        # encode() does, and put nothing on the queue.

    def depth(self) -> int:
        """Return how many jobs are waiting on the queue for the worker."""
        return self.queue.qsize()
