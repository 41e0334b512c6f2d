"""Evenness: how many lines a learner writes, and reads, in each step."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from statistics import median

from workshop.core.apps import app_files, hunks, read_lines
from workshop.core.steps import Repository, Step

MOST_LINES = 60
MOST_TIMES_MEDIAN = 2
MOST_TO_READ = 400


def lines_to_write(repository: Repository, step: Step) -> int:
    """Count the lines that a learner adds to a starter to get its solution.

    Blank lines and comments don't count, but docstrings do.
    """
    starter = app_files(repository.starter(step))
    solution = app_files(repository.solution(step))
    return sum(
        new_lines(starter[name], solution[name])
        for name in starter.keys() & solution.keys()
    )


def lines_to_read(repository: Repository, before: Step, step: Step) -> int:
    """Count the lines of a starter that the solution before it (``before``) lacks.

    A learner meets them for the first time in this step. Blank lines, comments and
    docstrings don't count.
    """
    old = app_files(repository.solution(before))
    new = app_files(repository.starter(step))
    return sum(new_lines(old.get(name), path, docs=False) for name, path in new.items())


def new_lines(old: Path | None, new: Path, docs: bool = True) -> int:
    """Count the lines that a version of a file has and the old one doesn't.

    Args:
        old: The old version, or None if there wasn't one.
        new: The version.
        docs: Whether docstrings count.
    """
    before, after = (read_lines(path) if path else () for path in (old, new))
    if not docs:
        before, after = without_docstrings(before), without_docstrings(after)
    lines = [line.strip() for hunk in hunks(before, after) for line in hunk.new]
    return sum(1 for line in lines if line and not line.startswith("#"))


def without_docstrings(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines of a Python file that belong to no docstring."""
    docstrings = {
        number
        for node in ast.walk(ast.parse("".join(lines)))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    numbered = enumerate(lines, start=1)
    return tuple(line for number, line in numbered if number not in docstrings)


def table(repository: Repository) -> dict[str, int]:
    """Return the lines to write in each step that has any todo, by the step's name."""
    return {
        step.name: lines_to_write(repository, step)
        for step in repository.steps()
        if step.todos
    }


def reading(repository: Repository) -> dict[str, int]:
    """Return the lines to read in each step but the first, by the step's name."""
    return {
        step.name: lines_to_read(repository, before, step)
        for before, step in itertools.pairwise(repository.steps())
    }


def check(repository: Repository) -> list[str]:
    """Return which steps ask too much at once; empty if all of them are even."""
    problems = [
        f"steps/{name}: {count} new lines to read, but {MOST_TO_READ} are the most; "
        "cut some, or move them to another step."
        for name, count in reading(repository).items()
        if count > MOST_TO_READ
    ]
    counts = table(repository)
    if not counts:
        return problems
    middle = median(counts.values())
    for name, count in counts.items():
        if count > MOST_LINES:
            problems.append(
                f"steps/{name}: {count} lines to write, but {MOST_LINES} are the most."
            )
        if count > MOST_TIMES_MEDIAN * middle:
            problems.append(
                f"steps/{name}: {count} lines to write, more than {MOST_TIMES_MEDIAN} "
                f"times the median of {middle:g}; move some to a provided file or to "
                "another step."
            )
    return problems
