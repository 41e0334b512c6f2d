"""`schedule`: the run sheet, made from the minutes in each step's step.toml."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.table import Table

from workshop.core.errors import WorkshopError
from workshop.core.output import say
from workshop.core.steps import Step

WELCOME = 10
"""Minutes for the welcome, and for `doctor` on each laptop."""
SHOW = 3
"""Minutes of each step for what INSTRUCTOR.md shows on the projector."""
QUESTIONS = 7
"""Minutes of each step for "Break it on purpose" and its questions."""
WRAP_UP = 5
"""Minutes."""
REST = 10
"""Minutes of a break."""
LONGEST = 80
"""Minutes after which a break comes before the next step."""


@dataclass(frozen=True)
class Row:
    """A line of the run sheet."""

    start: int
    """Minutes since midnight."""
    end: int
    what: str
    behind: str = ""
    """The command that takes anyone who is behind to the next step."""


def time_of_day(text: str) -> int:
    """Return a time such as 09:00 in minutes since midnight, or raise ValueError."""
    time = datetime.strptime(text, "%H:%M")
    return time.hour * 60 + time.minute


def own_break(text: str) -> Row:
    """Return a break such as 10:30+15; raise ValueError if it isn't one."""
    begin, plus, minutes = text.partition("+")
    if not plus or not minutes.isdecimal():
        raise ValueError(f"{text!r} isn't a time and minutes such as 10:30+15")
    start = time_of_day(begin)
    return Row(start, start + int(minutes), "Break")


def parts(steps: Sequence[Step], rests: bool) -> Iterator[tuple[int, str, str]]:
    """Yield the parts of a workshop.

    Args:
        steps: The steps.
        rests: Whether breaks are among the parts.

    Yields:
        The minutes of a part, its name, and the command for anyone who is behind.
    """
    yield WELCOME, "Welcome, set-up (doctor)", ""
    worked = WELCOME
    for step in steps:
        minutes = SHOW + step.minutes + QUESTIONS
        if rests and worked + minutes > LONGEST:
            yield REST, "Break", ""
            worked = 0
        worked += minutes
        yield SHOW, f"{step.number:02} {step.title}: show", ""
        yield step.minutes, "   read, build, check", ""
        if not step.todos:
            yield QUESTIONS, "   break it, questions", ""
            continue
        last = step is steps[-1]
        behind = f"solve {step.number}" if last else f"reset {step.number + 1}"
        yield QUESTIONS, "   break it, questions, catch up", behind
    yield WRAP_UP, "Wrap-up, hand in", ""


def sheet(steps: Sequence[Step], start: int, breaks: Sequence[Row] = ()) -> list[Row]:
    """Return the rows of the run sheet.

    Args:
        steps: The steps.
        start: When the workshop begins, in minutes since midnight.
        breaks: Breaks that divide the row that they fall into. Without any, there are
            breaks between steps, at most LONGEST apart.

    Raises:
        WorkshopError: A break isn't within the workshop.
    """
    found: list[Row] = []
    at, waiting = start, sorted(breaks, key=lambda rest: rest.start)
    for left, what, behind in parts(steps, rests=not breaks):
        while waiting and at <= waiting[0].start < at + left:
            rest = waiting.pop(0)
            if rest.start > at:
                found.append(Row(at, rest.start, what))
                what = f"{what}, continued"
            found.append(rest)
            left -= rest.start - at
            at = rest.end
        found.append(Row(at, at + left, what, behind))
        at += left
    if waiting:
        raise WorkshopError(
            f"A break at {clock(waiting[0].start)} can't be kept, because the workshop "
            f"takes from {clock(start)} to {clock(at)}, or another break isn't over by "
            "then.\nChange --break or --start."
        )
    return found


def show(
    steps: Sequence[Step], start: int, breaks: Sequence[Row], console: Console
) -> None:
    """Print the run sheet; see `sheet` for the arguments."""
    rows = sheet(steps, start, breaks)
    table = Table("from", "to", "what", "anyone who is behind types", box=None)
    for row in rows:
        table.add_row(clock(row.start), clock(row.end), row.what, row.behind)
    console.print(table)
    minutes = rows[-1].end - start
    say(
        console,
        f"\n{minutes // 60} h {minutes % 60:02} min in all. The commands in the last "
        "column follow python3 -m workshop.\nThey keep a copy of the attendee's code "
        "and bring everybody to the same place.",
    )


def clock(minutes: int) -> str:
    """Return a time of day, which is given in minutes since midnight."""
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"
