"""Task: a named piece of work, and the registry that finds it by its name."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar


class Task(ABC):
    """A kind of work that jobs can ask for. Subclass it, name it, write `run`.

    Defining the subclass registers it, in every process that imports it.
    """

    registry: ClassVar[dict[str, type["Task"]]] = {}
    """Every task of this process, by name."""

    name: ClassVar[str]
    """What a job calls the task."""

    def __init_subclass__(cls) -> None:
        """Register the subclass.

        Raises:
            TypeError: It has no name, or another task has the same one.
        """
        if "name" not in cls.__dict__:
            raise TypeError(f'{cls.__name__} needs a name of its own: name = "..."')
        if cls.name in Task.registry:
            raise TypeError(f'{cls.__name__}: there is a task "{cls.name}" already')
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
            BaseException: Whatever went wrong; the job is then failed.
        """
