"""The results of `grade`: a table for the terminal, and a page for the browser."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from textwrap import shorten

from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workshop.core.errors import WorkshopError
from workshop.core.files import write_whole
from workshop.core.output import say
from workshop.core.steps import Step
from workshop.instructor.grading import UNDECIDED, UNTROUBLED, Cell, Copy, Mark

SUMMARY = 240
"""Characters of an explanation that stand beside a name."""
REASONS = (
    r"got: +(.* (?:endless loop|without end|hangs)\b.*)",
    r"log: +(?! |the app's log says)(.*)",
    r"likely: +(.*)",
    r"perhaps: +(.*)",
    r"log: +(.*)",
)
"""The lines of a message that name a cause, the most certain one first."""
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
        if total := totals[todo.id]:
            say(console, f"{todo.id} is green in {total}: {todo.title}")
    say(console, "")
    for copy in copies:
        if copy.stuck:
            say(console, f"{copy.name} {where(copy)}")


def totals_of(copies: Sequence[Copy]) -> dict[str, str]:
    """Return in how many of the copies each TODO is green, by the TODO's id.

    A total counts the copies in which the TODO was decided, and is empty without any.
    """
    totals = {}
    for todo in copies[0].cells:
        marks = [copy.cells[todo].mark for copy in copies]
        decided = [mark for mark in marks if mark not in UNDECIDED]
        green = f"{decided.count(Mark.GREEN)} of {len(decided)}"
        totals[todo] = green if decided else ""
    return totals


def where(copy: Copy) -> str:
    """Return how far an attendee is, and why they aren't any further."""
    return f"{copy.standing}: {summary(copy.stuck[1])}" if copy.stuck else copy.standing


def summary(cell: Cell) -> str:
    """Return the beginning of the line of a message that helps most."""
    return shorten(best_line(cell), SUMMARY, placeholder=" ...")


def best_line(cell: Cell) -> str:
    """Return the line of a message that names a cause, or else what happened."""
    lines = cell.message.splitlines() or [""]
    for pattern in REASONS:
        for line in lines:
            if found := re.match(pattern, line):
                return found[1]
    got = next((line for line in lines if line.startswith("got:")), "")
    return f"{lines[0]} {got}"


def check_page(path: Path) -> None:
    """Find out before a long run whether the page can be written.

    Raises:
        WorkshopError: It can't be, in this folder.
    """
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise WorkshopError(
            f"The page can't be written: {path}.\nName a file in a folder that exists."
        )


def write_page(path: Path, copies: Sequence[Copy], steps: Sequence[Step]) -> None:
    """Write the page, whole or not at all, once something was graded.

    Raises:
        WorkshopError: The system refuses that.
    """
    if all(c.mark is Mark.UNGRADED for copy in copies for c in copy.cells.values()):
        return  # An earlier page is worth more.
    try:
        write_whole(path, page(copies, steps).encode())
    except OSError as error:
        raise WorkshopError(
            f"The page can't be written: {error}.\nName a file in a folder that exists."
        ) from None


def page(copies: Sequence[Copy], steps: Sequence[Step]) -> str:
    """Return the page, which is one file and needs neither a network nor scripts."""
    groups = "".join(
        f'<th colspan="{len(step.todos)}">{step.number:02}</th>' for step in steps
    )
    titles = "".join(
        f'<th><span class="title">{todo.id} {escape(todo.title)}</span></th>'
        for step in steps
        for todo in step.todos
    )
    totals = "".join(f"<td>{total}</td>" for total in totals_of(copies).values())
    rows = "\n".join(
        f'<tr><th class="who"><a href="#copy-{number}">{escape(copy.name)}</a></th>'
        f"<td>{copy.green}</td>{''.join(map(html_of, copy.cells.values()))}</tr>"
        for number, copy in enumerate(copies)
    )
    key = "".join(f"<tr>{html_of(Cell(m))}<td>{m.meaning}</td></tr>" for m in Mark)
    messages = "\n".join(details(f"copy-{n}", copy) for n, copy in enumerate(copies))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The room</title>
<style>{STYLE}</style>
</head>
<body>
<h1>The room</h1>
<p>{datetime.now():%d %B %Y, %H:%M}</p>
<div class="wide" tabindex="0"><table>
<tr><th class="who" rowspan="2">attendee</th><th rowspan="2">green</th>{groups}</tr>
<tr>{titles}</tr>
<tr class="totals"><th class="who">green in</th><td></td>{totals}</tr>
{rows}
</table></div>
<table class="key">{key}</table>
<h2>Messages</h2>
{messages}
</body>
</html>
"""


def html_of(cell: Cell) -> str:
    """Return a cell of the page's table."""
    mark = cell.mark
    return f'<td class="{mark.style}" title="{mark.meaning}">{mark.sign}</td>'


def details(anchor: str, copy: Copy) -> str:
    """Return the part of the page with all messages about one copy."""
    todos: dict[tuple[str, str], list[str]] = {}
    for todo, cell in copy.cells.items():
        if cell.mark not in UNTROUBLED:  # An app that doesn't start says so for each.
            todos.setdefault((cell.mark.meaning, cell.message), []).append(todo)
    messages = "".join(
        f"<h3>{', '.join(ids)}: {meaning}</h3><pre>{escape(message)}</pre>"
        for (meaning, message), ids in todos.items()
    )
    # A link to something inside it opens it, and the anchor lies at its top.
    return (
        f"<details><summary><b>{escape(copy.name)}</b>, {copy.score} green, "
        f"{escape(where(copy))}</summary>"
        f'<span id="{anchor}"></span>{messages}</details>'
    )


STYLE = """
:root { color-scheme: light dark; font: 1rem/1.4 system-ui, sans-serif }
body { margin: 1rem; overflow-wrap: anywhere }
.wide { overflow-x: auto }
table { border-collapse: collapse }
th, td { border: 1px solid #8886; padding: .2rem .4rem; text-align: center;
  overflow-wrap: normal; vertical-align: middle }
th { vertical-align: bottom } .who { vertical-align: middle }
.who { position: sticky; left: 0; z-index: 1; background: Canvas; text-align: left;
  font-weight: normal; min-width: 6rem; max-width: 12rem; overflow-wrap: anywhere }
.title { writing-mode: vertical-rl; transform: rotate(180deg); font-weight: normal;
  max-height: 17rem; text-align: left; line-height: 1.2 }
.totals { font-weight: bold }
.green { background: #2a75 } .red { background: #e448 } .yellow { background: #db17 }
.magenta { background: #a4e6 } .dim { color: light-dark(#767676, #999) }
.key { margin: 1rem 0 } .key td { text-align: left; border: 0; padding: .1rem .5rem }
pre { white-space: pre-wrap; background: #8882; padding: .5rem; font-size: .85rem }
h3 { font-size: 1rem } details { margin: .5rem 0 } summary { cursor: pointer }
details { position: relative } details > span { position: absolute; top: 0 }
"""
