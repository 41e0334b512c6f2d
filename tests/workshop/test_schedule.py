"""`schedule`: the run sheet."""

from __future__ import annotations

import re

from tests.workshop.conftest import RunWorkshop


def rows_of(output: str) -> list[str]:
    """Return the rows of a run sheet, with single spaces."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    return [line for line in lines if re.match(r"\d\d:\d\d ", line)]


def test_the_sheet(workshop: RunWorkshop) -> None:
    """It holds all that happens, and how anyone who is behind catches up."""
    done = workshop("schedule", "--start", "9:30")
    assert done.returncode == 0
    assert rows_of(done.stdout) == [
        "09:30 09:40 Welcome, set-up (doctor)",
        "09:40 09:43 00 The start: show",
        "09:43 09:48 read, build, check",
        "09:48 09:55 break it, questions",
        "09:55 09:58 01 The first: show",
        "09:58 10:08 read, build, check",
        "10:08 10:15 break it, questions, catch up reset 2",
        "10:15 10:18 02 The second: show",
        "10:18 10:28 read, build, check",
        "10:28 10:35 break it, questions, catch up solve 2",
        "10:35 10:40 Wrap-up, hand in",
    ]
    assert "1 h 10 min in all" in done.stdout


def test_breaks_of_ones_own(workshop: RunWorkshop) -> None:
    """They begin to the minute, and what they interrupt goes on afterwards."""
    done = workshop("schedule", "--break=10:02+30", "--break=9:10+5")
    rows = rows_of(done.stdout)
    assert rows[:3] == [
        "09:00 09:10 Welcome, set-up (doctor)",
        "09:10 09:15 Break",
        "09:15 09:18 00 The start: show",
    ]
    assert rows[9:12] == [
        "09:53 10:02 read, build, check",
        "10:02 10:32 Break",
        "10:32 10:33 read, build, check, continued",
    ]
