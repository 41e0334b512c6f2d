"""Evenness: how many lines a learner writes in each step."""

from __future__ import annotations

from statistics import median

from workshop.chain import app_files, hunks, read_lines
from workshop.steps import Repository, Step

MOST_LINES = 60
MOST_TIMES_MEDIAN = 2


def lines_to_write(repository: Repository, step: Step) -> int:
    """Count the lines that a learner adds to a starter to get its solution.

    Blank lines and comments do not count; docstrings do.
    """
    starter = app_files(repository.starter(step))
    solution = app_files(repository.solution(step))
    lines = [
        line.strip()
        for name in starter.keys() & solution.keys()
        for hunk in hunks(read_lines(starter[name]), read_lines(solution[name]))
        for line in hunk.new
    ]
    return sum(1 for line in lines if line and not line.startswith("#"))


def table(repository: Repository) -> dict[str, int]:
    """Return the lines to write in each step that has any todo, by the step's name."""
    return {
        step.name: lines_to_write(repository, step)
        for step in repository.steps()
        if step.todos
    }


def check(repository: Repository) -> list[str]:
    """Return which steps ask too much at once; empty when all are even."""
    counts = table(repository)
    if not counts:
        return []
    middle = median(counts.values())
    problems = []
    for name, count in counts.items():
        if count > MOST_LINES:
            problems.append(
                f"steps/{name}: {count} lines to write; {MOST_LINES} are the most."
            )
        if count > MOST_TIMES_MEDIAN * middle:
            problems.append(
                f"steps/{name}: {count} lines to write, more than {MOST_TIMES_MEDIAN} "
                f"times the median of {middle:g}; move some to a provided file or to "
                "another step."
            )
    return problems
