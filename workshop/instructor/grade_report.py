"""The results of `grade`: a table for the terminal, and a page for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from textwrap import shorten

from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workshop.core.errors import WorkshopError
from workshop.core.output import say
from workshop.core.steps import Step
from workshop.instructor.grading import UNTROUBLED, Cell, Copy, Mark

PAGE_WIDTH = 160
"""Characters. The table of all steps and a name fit into that."""
SUMMARY = 240
"""Characters of an explanation that stand beside a name."""
WARNING = """\
This runs the code of the copies with your rights. For code of people that you don't
know, use a container: workshop/GRADING.md shows how.
"""


def show(copies: Sequence[Copy], steps: Sequence[Step], console: Console) -> None:
    """Print the table, the total of each TODO, and where each attendee is stuck."""
    table = Table(box=None)
    table.add_column("attendee", max_width=30, overflow="fold")
    table.add_column("green", no_wrap=True)
    for step in steps:
        numbers = "".join(todo.id[-1] for todo in step.todos)
        table.add_column(f"{step.number:02}\n{numbers}", no_wrap=True)
    for copy in copies:
        row = [Text(copy.name), Text(copy.score)]
        for step in steps:
            found = [copy.cells[todo.id].mark for todo in step.todos]
            row.append(Text.assemble(*((mark.sign, mark.style) for mark in found)))
        table.add_row(*row)
    console.print(table)
    seen = {cell.mark for copy in copies for cell in copy.cells.values()}
    key = [Text(f"{mark.sign} {mark.meaning}") for mark in Mark if mark in seen]
    console.print("", Columns(key, padding=(0, 3)), "")
    totals = totals_of(copies)
    for todo in [todo for step in steps for todo in step.todos]:
        say(console, f"{todo.id} is green in {totals[todo.id]}: {todo.title}")
    say(console, "")
    for copy in copies:
        if copy.stuck:
            place, cell = copy.stuck
            text = f"{place} ({cell.mark.meaning}): {summary(cell)}"
            say(console, f"{copy.name} is stuck at {text}")


def totals_of(copies: Sequence[Copy]) -> dict[str, str]:
    """Return in how many of the graded copies each TODO is green, by the TODO's id."""
    totals = {}
    for todo in copies[0].cells:
        marks = [copy.cells[todo].mark for copy in copies]
        graded = len(marks) - marks.count(Mark.UNGRADED)
        totals[todo] = f"{marks.count(Mark.GREEN)} of {graded}"
    return totals


def summary(cell: Cell) -> str:
    """Return the beginning of the line of a message that helps most."""
    return shorten(best_line(cell), SUMMARY, placeholder=" ...")


def best_line(cell: Cell) -> str:
    """Return the line of a message that names a cause, or else what happened."""
    lines = cell.message.splitlines() or [""]
    for label in ("likely:", "perhaps:", "log:"):
        for line in lines:
            if line.startswith(label):
                return line.removeprefix(label).strip()
    got = next((line for line in lines if line.startswith("got:")), "")
    return f"{lines[0]} {got}"


def write_page(path: Path, copies: Sequence[Copy], steps: Sequence[Step]) -> None:
    """Write a page for the browser: what `show` prints, and every message.

    Raises:
        WorkshopError: The system refuses that.
    """
    page = Console(record=True, file=StringIO(), width=PAGE_WIDTH, highlight=False)
    show(copies, steps, page)
    for copy in copies:
        say(page, f"\n{copy.name}, {copy.score} green")
        todos: dict[Cell, list[str]] = {}
        for todo, cell in copy.cells.items():
            if (
                cell.mark not in UNTROUBLED
            ):  # An app that doesn't start says so for each.
                todos.setdefault(cell, []).append(todo)
        for cell, ids in todos.items():
            say(page, f"\n{', '.join(ids)}: {cell.mark.meaning}\n{cell.message}")
    try:
        page.save_html(str(path))
    except OSError as error:
        raise WorkshopError(
            f"The page can't be written: {error}.\nName a file in a folder that exists."
        ) from None
