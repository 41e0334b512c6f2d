"""``schedule``: when what begins, from the minutes of the steps."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from workshop.core.output import say
from workshop.core.steps import Step

QUESTIONS = 7
"""Minutes after each step, for its questions and for "Break it on purpose"."""
BREAK = 10
"""Minutes."""
LONGEST = 60
"""Minutes without a break, unless one step takes longer."""
DAY = 24 * 60


@dataclass(frozen=True)
class Slot:
    """Something that takes a while."""

    start: int
    """Minutes from midnight; more than a day's are of the next day."""
    end: int
    what: str
    catch_up: int | None = None
    """The step that whoever is behind goes to at the end of this slot."""


def slots(steps: list[Step], start: int) -> list[Slot]:
    """Return the slots of a workshop.

    Takes: ``start``, minutes from midnight.
    """
    found: list[Slot] = []
    at = rested = start
    for index, step in enumerate(steps):
        end = at + step.minutes + QUESTIONS
        if found and end - rested > LONGEST:
            found.append(Slot(at, at + BREAK, "Break"))
            at = rested = at + BREAK
        work = at + step.minutes
        after = steps[index + 1].number if index + 1 < len(steps) else None
        found.append(Slot(at, work, f"{step.number:02} {step.title}"))
        found.append(
            Slot(
                work,
                work + QUESTIONS,
                "   break it, questions",
                after if step.todos else None,
            )
        )
        at = work + QUESTIONS
    return found


def show(steps: list[Step], start: int, console: Console) -> None:
    """Print the run sheet.

    Takes: ``start``, minutes from midnight.
    """
    found = slots(steps, start)
    sheet = Table("from", "to", "what", "if you are behind", box=None)
    for slot in found:
        behind = ""
        if slot.catch_up is not None:
            behind = f"at {clock(slot.end)}: catchup {slot.catch_up}"
        sheet.add_row(clock(slot.start), clock(slot.end), slot.what, behind)
    console.print(sheet)
    total = found[-1].end - start
    say(
        console,
        "\nWho has not finished at the time in the last column types, for example,\n"
        "python3 -m workshop catchup 2. That keeps what was written, and\n"
        "takes them to the start of step 02.",
    )
    say(console, f"{total // 60} h {total % 60:02} min, with breaks and questions.")
    if found[-1].end >= DAY:
        say(console, "A + is the next day.")
        if total < DAY:
            latest = clock(DAY - 1 - total)
            say(console, f"To end before midnight, start by {latest}.")


def clock(minutes: int) -> str:
    """Return a time of the day, with a + when it is of the next day."""
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}{'+' * (minutes >= DAY)}"
