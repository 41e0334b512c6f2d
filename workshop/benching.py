"""``bench``: the measurements in ``benchmarks/``, listed or run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence

from rich.console import Console

from workshop import processes
from workshop.errors import WorkshopError
from workshop.output import say
from workshop.steps import Repository


def benchmarks(repository: Repository) -> dict[str, str]:
    """Return the first line that each benchmark says about itself, by its name.

    A module whose name begins with an underscore is none: the others share it.
    """
    found = {}
    for path in sorted((repository.root / "benchmarks").glob("[!_]*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        found[path.stem] = (ast.get_docstring(module) or "").partition("\n")[0]
    return found


def require(repository: Repository, name: str) -> None:
    """Make sure that there is such a benchmark.

    Raises: WorkshopError, with a list, when there is none of that name.
    """
    names = benchmarks(repository)
    if name not in names:
        raise WorkshopError(
            f"There is no benchmark {name}. There are: {', '.join(names)}."
        )


def show(repository: Repository, console: Console) -> None:
    """Print each benchmark, a line each, and how to run one."""
    for name, what in benchmarks(repository).items():
        say(console, f"{name:<8} {what}")
    say(console, "\nTo run one: python3 -m workshop bench NAME")


def run(repository: Repository, name: str, arguments: Sequence[str]) -> int:
    """Run a benchmark with this Python, in the repository's folder.

    Takes: ``arguments``, for the benchmark itself.
    Returns: its exit status (where the system lets this process become the benchmark,
    it does not return). Raises: WorkshopError when there is no such benchmark.
    """
    require(repository, name)
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    return processes.replace(command, cwd=repository.root)
