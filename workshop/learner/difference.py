"""``diff``: a learner's step beside its solution, or one step beside another."""

from __future__ import annotations

import difflib
from itertools import zip_longest
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workshop.core import results
from workshop.core.apps import app_files
from workshop.core.errors import WorkshopError
from workshop.core.output import say
from workshop.core.steps import Repository, Step

WIDE = 140
"""Columns of a terminal from which on two texts stand side by side."""
CONTEXT = 3
"""Lines shown around a change."""
STYLES = {"-": "red", "+": "green", "@": "cyan"}


def mine(repository: Repository, step: Step, spoil: bool, console: Console) -> None:
    """Show in what a learner's step differs from its solution.

    Takes: ``spoil``, to show it though the step is not green.
    Raises: WorkshopError when the step is not green, as it would give the answer away.
    """
    if not step.todos:
        raise WorkshopError(f"Step {step.number:02} has nothing to edit.")
    if not spoil:
        require_green(repository, [step], f"diff {step.number}")
    ours, theirs = repository.starter(step), repository.solution(step)
    show(repository.root, ours, theirs, console)


def between(
    repository: Repository, before: Step, after: Step, spoil: bool, console: Console
) -> None:
    """Show what changes from one step's solution to another's.

    Raises: WorkshopError when a step in between is not green, unless ``spoil``.
    """
    first, last = sorted((before.number, after.number))
    steps = repository.steps()[first + 1 : last + 1]
    if not spoil:
        require_green(repository, steps, f"diff {before.number} {after.number}")
    one, other = repository.solution(before), repository.solution(after)
    show(repository.root, one, other, console)


def require_green(repository: Repository, steps: list[Step], command: str) -> None:
    """Make sure that the learner has done some steps; raises WorkshopError if not."""
    for step in steps:
        result = results.load(repository, step)
        if step.todos and not (result and result.green):
            raise WorkshopError(
                f"Step {step.number:02} is not green yet, and this shows its solution. "
                f"First: python3 -m workshop check {step.number}\n"
                f"To see it all the same: python3 -m workshop {command} --spoil"
            )


def show(root: Path, old: Path, new: Path, console: Console) -> None:
    """Print in what two apps differ, file by file; ``root`` is cut off their paths."""
    ours, theirs = app_files(old), app_files(new)
    titles = [folder.relative_to(root).as_posix() for folder in (old, new)]
    alike = True
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = lines(ours.get(name)), lines(theirs.get(name))
        if one == other:
            continue
        alike = False
        before, after = (f"{title}/{name}" for title in titles)
        if console.is_terminal and console.width >= WIDE:
            console.print(side_by_side(before, after, one, other))
        else:
            for line in difflib.unified_diff(one, other, before, after, lineterm=""):
                style = STYLES.get(line[:1], "") if console.is_terminal else ""
                console.print(Text(line, style), soft_wrap=True)
    if alike:
        say(console, f"{titles[0]} and {titles[1]} are alike.")


def side_by_side(before: str, after: str, old: list[str], new: list[str]) -> Table:
    """Return the changes of a file in two columns, with the two paths as heads."""
    table = Table(box=None, show_edge=False, pad_edge=False, expand=True)
    for title in (before, after):
        table.add_column(title, ratio=1, overflow="fold")
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        _, i, _, j, _ = group[0]
        table.add_row(*(Text(f"line {at + 1}", "cyan") for at in (i, j)))
        for kind, i1, i2, j1, j2 in group:
            styles = ("", "") if kind == "equal" else ("red", "green")
            for left, right in zip_longest(old[i1:i2], new[j1:j2], fillvalue=""):
                table.add_row(Text(left, styles[0]), Text(right, styles[1]))
    return table


def lines(path: Path | None) -> list[str]:
    """Return the lines of a text; none when there is no such file."""
    if path is None:
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
