"""Task: a named piece of work, and the registry that finds it by its name."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from saje.retry import Retry


class Task(ABC):
    """A kind of work that jobs can ask for. Subclass it, name it, write `run`.

    Defining the subclass registers it, in every process that imports it.
    """

    registry: ClassVar[dict[str, type["Task"]]] = {}
    """Every task of this process, by name."""

    name: ClassVar[str]
    """What a job calls the task."""

    retry: ClassVar[Retry] = Retry()
    """Whether a job is tried again after the task has failed. By default it isn't."""

    limit: ClassVar[float | None] = None
    """How many seconds a try may take."""

    try_number: int = 1
    """Which try this is. It starts over when somebody retries the job by hand."""

    def __init_subclass__(cls) -> None:
        """Register the subclass.

        Raises:
            TypeError: It has no name, another task has the same one, or its retry or
                limit can't be used.
        """
        if "name" not in cls.__dict__:
            raise TypeError(f'{cls.__name__} needs a name of its own: name = "..."')
        if cls.name in Task.registry:
            raise TypeError(f'{cls.__name__}: there is a task "{cls.name}" already')
        if not isinstance(cls.retry, Retry):
            raise TypeError(f"{cls.__name__}: retry must be a Retry")
        if cls.limit is not None and not cls.limit > 0:
            raise TypeError(f"{cls.__name__}: limit must be more than 0 seconds")
        Task.registry[cls.name] = cls

    @abstractmethod
    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work.

        Write `async def run` for work that waits: it runs on the worker's
        event loop. Write `def run` for work that computes or blocks: it runs
        in a thread.

        Args:
            args: Not used, because a job passes all arguments by name.
            kwargs: The arguments that the job was submitted with.

        Returns:
            The result: anything that JSON can hold.

        Raises:
            BaseException: Whatever went wrong. The job is tried again if `retry` says
                so, and has failed otherwise.
        """
