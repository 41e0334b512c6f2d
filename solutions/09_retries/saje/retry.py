"""Retry: whether a task that failed is tried again, and when."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """How often a task may fail, and how long to wait until the next try."""

    tries: int = 1
    """How many tries a job has in all."""
    first: float = 1.0
    """Seconds that the pause after the first try may last."""
    factor: float = 2.0
    """Each further pause may last so many times as long as the one before it."""
    longest: float = 3600.0
    """Seconds that no pause exceeds."""
    on: tuple[type[BaseException], ...] = (Exception,)
    """The exceptions that are worth another try. Others would only come again."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One of them can't be used.
        """
        if not 1 <= self.tries <= 100:
            raise ValueError(f"tries must be from 1 to 100, not {self.tries}")
        if not (self.first >= 0 and self.longest >= 0 and 1 <= self.factor <= 100):
            raise ValueError(
                "first and longest can't be negative, and factor must be from 1 to 100"
            )

    def worth(self, error: BaseException) -> bool:
        """Return whether another try is worth it after this error."""
        return self.tries > 1 and isinstance(error, self.on)

    def pause(self, tries: int) -> float:
        """Return how many seconds to wait before the next try.

        The pauses grow, so that whatever is overloaded gets the time to recover. They
        are random, so that jobs which failed together don't come back together. This is
        called exponential backoff with full jitter:
        https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

        Args:
            tries: How often the job has been tried by now.
        """
        most = self.first * self.factor ** (tries - 1)
        return random.uniform(0, min(self.longest, most))
