"""Evenness: how many lines a learner writes, and reads, in each step."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.proofs.partway import read_lines
from workshop.core.apps import app_files, hunks
from workshop.core.steps import Repository

MOST_TO_WRITE = 60
MOST_TIMES_MEDIAN = 2
MOST_TO_READ = 400


class Lines(NamedTuple):
    """What a step asks of a learner."""

    to_write: int
    """Lines of the solution that the starter lacks."""
    to_read: int
    """Lines of the starter that the solution before it lacks."""


def table(repository: Repository) -> dict[str, Lines]:
    """Return the lines to write and to read in each step, by the step's name."""
    return {
        step.name: Lines(
            new_lines(repository.starter(step), repository.solution(step)),
            new_lines(repository.solution(before), repository.starter(step)),
        )
        for before, step in itertools.pairwise(repository.steps())
    }


def new_lines(old: Path, new: Path) -> int:
    """Count the lines that an app has and an older version of it doesn't.

    Blank lines, comments and docstrings don't count.
    """
    before, after = app_files(old), app_files(new)
    lines = [
        line.strip()
        for name, path in after.items()
        for hunk in hunks(code(before.get(name)), code(path))
        for line in hunk.new
    ]
    return sum(1 for line in lines if line and not line.startswith("#"))


def code(path: Path | None) -> tuple[str, ...]:
    """Return the lines of a Python file that belong to no docstring."""
    lines = read_lines(path) if path else ()
    docstrings = {
        number
        for node in ast.walk(ast.parse("".join(lines)))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    numbered = enumerate(lines, start=1)
    return tuple(line for number, line in numbered if number not in docstrings)


def check(steps: dict[str, Lines]) -> list[str]:
    """Return which steps of a table ask too much at once."""
    problems = []
    middle = median(lines.to_write for lines in steps.values())
    for name, lines in steps.items():
        most = min(MOST_TO_WRITE, int(MOST_TIMES_MEDIAN * middle))
        if lines.to_write > most:
            problems.append(
                f"steps/{name}: {lines.to_write} lines to write, but {most} are the "
                "most; provide some, or move them to another step."
            )
        if lines.to_read > MOST_TO_READ:
            problems.append(
                f"steps/{name}: {lines.to_read} new lines to read, but {MOST_TO_READ} "
                "are the most; cut some, or move them to another step."
            )
    return problems
