"""What ``grade`` found, as a table for the terminal, and as JSON, JUnit XML and HTML.

Every name and message in it was chosen by other people. ``grading.printable`` has made
them fit to be printed; here they are kept from being read as markup.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from xml.etree import ElementTree

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workshop.core.errors import WorkshopError
from workshop.core.files import write_whole
from workshop.core.output import say
from workshop.core.steps import Step
from workshop.instructor.grading import (
    BROKEN,
    MISSING,
    NO_FAULT,
    NO_START,
    NOT_STARTED,
    OK,
    RED,
    UNGRADED,
    Copy,
    Mark,
    printable,
    summary,
)

SIGNS = {
    OK: ("+", "green"),
    RED: ("x", "red"),
    NOT_STARTED: (".", "dim"),
    NO_START: ("S", "red"),
    "time": ("T", "magenta"),
    "memory": ("M", "magenta"),
    "processes": ("P", "magenta"),
    "output": ("O", "magenta"),
    MISSING: ("?", "yellow"),
    BROKEN: ("B", "yellow"),
    UNGRADED: ("-", "dim"),
}
"""How the table shows each mark, and in which colour."""
LEGEND = {
    OK: "ok",
    RED: "red",
    NOT_STARTED: "not started",
    NO_START: "does not start",
    "time": "over the time",
    "memory": "over the memory",
    "processes": "too many processes",
    "output": "wrote too much",
    MISSING: "not there, or unreadable",
    BROKEN: "the grading broke",
    UNGRADED: "not graded",
}
"""What each mark means."""
NAME = 30
"""Characters of a name in one line of the table."""
SUMMARY = 160
"""Characters of a cause that the terminal shows."""
WARNING = """\
This runs the code of the copies, with your rights: it can read and change what you can.
For code of people whom you do not know, take a container: see workshop/GRADING.md.
"""
"""What is said before anything runs."""


@dataclass(frozen=True)
class Files:
    """The files that get a report; None for those that nobody asked for."""

    json: Path | None
    junit: Path | None
    html: Path | None

    def __post_init__(self) -> None:
        """Refuse, before a long run, what cannot be written after it."""
        for path in (self.json, self.junit, self.html):
            if path and (path.is_dir() or not path.absolute().parent.is_dir()):
                raise WorkshopError(
                    f"{path} cannot be written: name a file in a folder that exists."
                )

    def write(self, copies: list[Copy], steps: list[Step]) -> None:
        """Write them. Raises: WorkshopError when the system refuses."""
        titles = {todo.id: todo.title for step in steps for todo in step.todos}
        texts = {
            self.json: as_json(copies),
            self.junit: as_junit(copies, titles),
            self.html: as_html(copies, steps),
        }
        for path, text in texts.items():
            try:
                if path:
                    write_whole(path.absolute(), text.encode())
            except OSError as error:
                raise WorkshopError(f"{path} cannot be written: {error}") from None


def show(copies: list[Copy], steps: list[Step], console: Console) -> None:
    """Print the table, what its signs mean, and who is stuck on what."""
    console.print(table(copies, steps))
    console.print(Text(legend(copies)))
    if lines := stuck_lines(copies):
        say(console, "\nStuck:")
    for line in lines:
        say(console, line)


def table(copies: list[Copy], steps: list[Step]) -> Table:
    """Return the table of attendee by todo: a sign for each todo."""
    found = Table(box=SIMPLE)
    found.add_column("attendee", max_width=NAME)
    found.add_column("ok", no_wrap=True)
    for step in steps:
        numbers = "".join(todo.id.rpartition(".")[2][-1] for todo in step.todos)
        found.add_column(f"{step.number:02}\n{numbers}", no_wrap=True)
    for copy in copies:
        row = [Text(copy.name, overflow="fold"), Text(score(copy))]
        for grade in copy.grades:
            signs = [SIGNS.get(m.mark, SIGNS[BROKEN]) for m in grade.todos.values()]
            row.append(Text.assemble(*signs))
        found.add_row(*row)
    return found


def legend(copies: list[Copy]) -> str:
    """Return what the signs mean that a table has."""
    seen = {mark.mark for copy in copies for _, mark in copy.marks()}
    return "  ".join(f"{SIGNS[m][0]} {LEGEND[m]}" for m in SIGNS if m in seen)


def score(copy: Copy) -> str:
    """Return how many todos are green, and of how many."""
    marks = [mark.mark for _, mark in copy.marks()]
    return f"{marks.count(OK)}/{len(marks)}"


def stuck_lines(copies: list[Copy]) -> list[str]:
    """Return a line for each attendee who is stuck: on what, and why."""
    lines = []
    for copy in copies:
        if found := copy.stuck():
            todo, mark = found
            text = summary(mark)
            text = text if len(text) <= SUMMARY else f"{text[: SUMMARY - 3]}..."
            lines.append(f"{copy.name}: {todo} {LEGEND.get(mark.mark, BROKEN)}: {text}")
    return lines


def as_json(copies: list[Copy]) -> str:
    """Return everything, as JSON."""
    content = {
        "graded_at": now(),
        "attendees": [
            {
                "name": copy.name,
                "folder": printable(str(copy.folder)),
                "seconds": round(copy.seconds, 1),
                "steps": [asdict(grade) for grade in copy.grades],
            }
            for copy in copies
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def as_junit(copies: list[Copy], titles: Mapping[str, str]) -> str:
    """Return a JUnit report: a test suite for each attendee, a test case for each todo.

    Takes: ``titles``, of the todos by their ids.
    """
    root = ElementTree.Element("testsuites", name="workshop")
    for copy in copies:
        count = Counter(kind_of(mark) for _, mark in copy.marks())
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=copy.name,
            tests=str(count.total()),
            failures=str(count["failure"]),
            errors=str(count["error"]),
            skipped=str(count["skipped"]),
            time=f"{copy.seconds:.1f}",
        )
        for grade in copy.grades:
            for todo, mark in grade.todos.items():
                case = ElementTree.SubElement(
                    suite,
                    "testcase",
                    classname=grade.step,
                    name=f"{todo} {titles.get(todo, '')}",
                    time=f"{grade.seconds / len(grade.todos):.1f}",
                )
                if kind := kind_of(mark):
                    element = ElementTree.SubElement(case, kind, message=summary(mark))
                    if kind != "skipped":
                        element.set("type", mark.mark)
                        element.text = mark.message
    ElementTree.indent(root, " ")
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def kind_of(mark: Mark) -> str:
    """Return which element JUnit has for a mark; "" when all is well."""
    if mark.mark in NO_FAULT:
        return "" if mark.mark == OK else "skipped"
    return "failure" if mark.mark == RED else "error"


def as_html(copies: list[Copy], steps: list[Step]) -> str:
    """Return one page with all of it, which needs nothing else and runs no script."""
    heads = "".join(
        f'<th colspan="{len(s.todos)}" title="{escape(s.title)}">{s.number:02}</th>'
        for s in steps
    )
    ids = "".join(f"<th>{escape(t.id)}</th>" for s in steps for t in s.todos)
    rows, parts = [], []
    for number, copy in enumerate(copies):
        cells = "".join(cell(mark) for _, mark in copy.marks())
        link = f'<a href="#a{number}">{escape(copy.name)}</a>'
        rows.append(f"<tr><th class=who>{link}</th><td>{score(copy)}</td>{cells}</tr>")
        parts.append(attendee(f"a{number}", copy))
    key = "".join(
        f"<li>{cell(Mark(m), 'span')} {escape(LEGEND[m])}</li>" for m in SIGNS
    )
    return PAGE.format(
        date=escape(now()),
        table="<tr><th class=who rowspan=2>attendee</th><th rowspan=2>ok</th>"
        f"{heads}</tr><tr>{ids}</tr>" + "\n".join(rows),
        key=key,
        parts="\n".join(parts),
    )


def cell(mark: Mark, tag: str = "td") -> str:
    """Return a mark as an HTML element."""
    sign, colour = SIGNS.get(mark.mark, SIGNS[BROKEN])
    title = escape(LEGEND.get(mark.mark, mark.mark))
    return f'<{tag} class="{colour}" title="{title}">{sign}</{tag}>'


def attendee(anchor: str, copy: Copy) -> str:
    """Return what there is to read of one attendee, as HTML."""
    found = copy.stuck()
    line = f"stuck at {found[0]}: {summary(found[1])}" if found else "not stuck"
    messages: dict[str, list[str]] = {}  # The ids of the todos, by what they say.
    for todo, mark in copy.marks():
        if mark.mark not in NO_FAULT:
            key = f"{LEGEND.get(mark.mark, mark.mark)}\n{mark.message}"
            messages.setdefault(key, []).append(todo)
    texts = "".join(
        f"<h3>{escape(', '.join(ids))}</h3><pre>{escape(text)}</pre>"
        for text, ids in messages.items()
    )
    notes = [note for grade in copy.grades for note in grade.notes]
    texts += "".join(f"<p>{escape(note)}</p>" for note in notes)
    return (
        f'<details id="{anchor}"><summary>{escape(copy.name)}: {score(copy)}, '
        f"{escape(line)}</summary>{texts}</details>"
    )


def now() -> str:
    """Return the date and time, with the offset from UTC."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'">
<title>The room</title>
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif }}
body {{ margin: 1rem; overflow-wrap: anywhere }}
.wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; white-space: nowrap }}
th, td {{ border: 1px solid #8884; padding: .2rem .4rem; text-align: center }}
.who {{ position: sticky; left: 0; background: Canvas;
 text-align: left; max-width: 40vw; overflow: hidden; text-overflow: ellipsis }}
.green {{ background: #2a72 }} .red {{ background: #d333 }}
.magenta {{ background: #a3c4 }} .yellow {{ background: #da14 }}
.dim {{ color: GrayText }}
ul {{ columns: 14rem; list-style: none; padding: 0 }}
li span {{ display: inline-block; width: 1.4rem; text-align: center }}
pre {{ white-space: pre-wrap; background: #8882; padding: .5rem }}
details {{ margin: .5rem 0 }}
</style>
</head>
<body>
<h1>The room</h1>
<p>{date}</p>
<div class="wide"><table>
{table}
</table></div>
<ul>{key}</ul>
{parts}
</body>
</html>
"""
