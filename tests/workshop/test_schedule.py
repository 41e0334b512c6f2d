"""``schedule``: the run sheet."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import typer

from tests.workshop.conftest import RunWorkshop
from workshop.cli import time_of_day
from workshop.core.steps import Repository, Step
from workshop.instructor.schedule import BREAK, LONGEST, QUESTIONS, slots


def lasting(small: Repository, *minutes: int) -> list[Step]:
    """Return steps with todos that take so many minutes."""
    first = small.step(1)
    return [replace(first, number=n, minutes=m) for n, m in enumerate(minutes)]


def test_the_sheet(workshop: RunWorkshop) -> None:
    """Each step, its questions, and when to catch up; in 00 there is nothing to."""
    done = workshop("schedule", "--start", "9:30")
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[1:7] == [
        "09:30 09:35 00 The start",
        "09:35 09:42 break it, questions",
        "09:42 09:52 01 The first",
        "09:52 09:59 break it, questions at 09:59: catchup 2",
        "09:59 10:09 02 The second",
        "10:09 10:16 break it, questions",
    ]
    assert lines[-1] == "0 h 46 min, with breaks and questions."


def test_it_begins_at_nine(workshop: RunWorkshop) -> None:
    """Without --start."""
    assert "09:00" in workshop("schedule").stdout.splitlines()[1]


def test_midnight(workshop: RunWorkshop) -> None:
    """Times of the next day are marked, and it says how to avoid them."""
    done = workshop("schedule", "--start", "23:30")
    assert "00:16+" in done.stdout
    assert "To end before midnight, start by 23:13." in done.stdout
    assert "+" in workshop("schedule", "--start", "23:14").stdout
    assert "+" not in workshop("schedule", "--start", "23:13").stdout


def test_a_wrong_time(workshop: RunWorkshop) -> None:
    """It is named, with an example of a right one."""
    done = workshop("schedule", "--start=24:00")
    assert done.returncode == 2
    assert "'24:00' is no time of the day, such as 09:00" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("time", ["9", "09:60", "nine", "-1:00", "", "12:00 "])
def test_wrong_times(time: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(typer.BadParameter):
        time_of_day(time)


def test_breaks(small: Repository) -> None:
    """Nobody works for more than an hour without one, unless a step alone does."""
    found = slots(lasting(small, 20, 26, 20, 70, 5), start=600)
    rests = [slot for slot in found if slot.what == "Break"]
    begin = 600 + 20 + 26 + 2 * QUESTIONS
    assert begin == 600 + LONGEST
    third = begin + BREAK + 20 + QUESTIONS
    fourth = third + BREAK + 70 + QUESTIONS
    assert [rest.start for rest in rests] == [begin, third, fourth]
    assert all(rest.end - rest.start == BREAK for rest in rests)
    for one, other in itertools.pairwise(found):
        assert one.end == other.start
