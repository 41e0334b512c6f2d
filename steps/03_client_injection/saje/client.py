"""SajeClient: the application's side of the queue."""

from queue import Queue
from typing import Any

from saje.model import encode


class SajeClient:
    """Sends jobs to the worker.

    There is one in every server process; they all share one queue.
    """

    def __init__(self, queue: Queue[str]) -> None:
        self.queue = queue

    async def send(self, job_definition: dict[str, Any] | str) -> None:
        """Put a job on the queue.

        Args:
            job_definition: `task`, `uid` and `kwargs` of the job, as a
                dictionary or as the JSON text of one.

        Raises:
            ValueError: The definition cannot be written as JSON.
        """
        # TODO 3.2: put the job on the queue as JSON text: encode() a dictionary,
        # leave a string as it is.

    def depth(self) -> int:
        """Return how many jobs wait on the queue, taken by no worker yet."""
        return self.queue.qsize()
