"""watch shows each save's outcome; no process outlives a check, however it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workshop.conftest import (
    ANSWERED,
    LIMIT,
    Running,
    family,
    until,
    write,
)
from workshop.core.steps import Repository

HANGS = "while True:\n    pass\n"

# A test that starts a process as the harness does, then waits without end.
HOLDS = """
from pathlib import Path
import sys, time
from workshop.core import processes

@pytest.mark.todo("1.1")
def test_hold(app):
    command = [sys.executable, "-c", "import time; time.sleep(300)"]
    below = processes.start(command, cwd=app)
    Path(app, "held.jsonl").write_text(str(below.pid))
    time.sleep(300)
"""


Started = Callable[..., Running]


@pytest.fixture
def watching(started: Started) -> Running:
    """`watch 1`, after its first check."""
    running = started("watch", "1")
    running.says("hint 1.1")
    return running


@pytest.fixture
def answer(small: Repository) -> Path:
    """The file that a learner edits."""
    return small.root / "steps/01_first/app/answer.py"


def test_watch_from_red_to_green(
    watching: Running, answer: Path, small: Repository
) -> None:
    """Each save is tested; it says what has changed, and what to do next."""
    first = watching.says("hint 1.1")
    assert "red 1.1 Give the answer\n" in first
    assert "the [answer] is 42" in first
    # The files that a running app makes don't count.
    write(watching.root / "steps/01_first/jobs.jsonl", "{}")
    write(answer, ANSWERED.replace("six times seven", "mine"))
    second = watching.says("hint 1.2")
    assert "ok  1.1 Give the answer (it was red)\n" in second
    write(answer, ANSWERED)
    last = watching.says("Next: read steps/02_second/README.md").split("hint 1.2")[1]
    # The TODO that was red comes first.
    assert last.index("ok  1.2 Ask the [question] (it was red)") < last.index("ok  1.1")
    assert "You can now:\n- answer\n" in last
    assert watching.log.read_text().count("Checking") == 3
    assert json.loads((small.state / "results/01.json").read_text())["green"] is True
    watching.signal(signal.SIGINT)
    assert watching.process.wait(LIMIT) == 130
    assert watching.log.read_text().endswith("Stopped.\n")


def test_a_save_ends_the_tests_that_are_running(
    watching: Running, answer: Path
) -> None:
    """An app that hangs is overtaken by the next save, and no process of it is left."""
    write(answer, HANGS)
    watching.says("Checking", 2)
    write(answer, ANSWERED)
    assert watching.says("Green:").count("Red:") == 1
    watching.leaves(2)  # watch itself, and its keeper


def test_a_broken_step_costs_one_message(watching: Running, answer: Path) -> None:
    """If pytest dies, or the folder is gone, watch goes on."""
    write(answer, "import os\nos._exit(3)\n")
    watching.says("The tests did not run to the end")
    app = watching.root / "steps/01_first"
    app.rename(watching.root / "away")
    watching.says("steps/01_first/server.py are missing")
    write(watching.root / "away/app/answer.py", ANSWERED)
    (watching.root / "away").rename(app)
    said = watching.says("Green:")
    assert said.count("are missing") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["check 1", "watch 1", "doctor"])
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL", "pytest"])
def test_an_end_leaves_no_process(
    small: Repository, started: Started, command: str, how: str
) -> None:
    """Whether it is interrupted or killed, or pytest is, everything it started ends."""
    step = small.step(2 if command == "doctor" else 1)
    app = small.solution(step) if command == "doctor" else small.starter(step)
    suite = small.suite(step) / "test_it.py"
    holds = HOLDS.replace("1.1", step.todos[0].id)
    write(suite, suite.read_text() + holds)
    running = started(*command.split())
    held = app / "held.jsonl"
    until(lambda: held.exists() and held.read_text(), running.log.read_text)
    if how == "pytest":
        [victim] = [p for p in family(small.root) if "pytest" in p.cmdline()]
        victim.kill()
        running.says("isn't green" if command == "doctor" else "did not run to the end")
        running.leaves(2 if command == "watch 1" else 0)
    else:
        running.process.send_signal(getattr(signal, how))
        status = running.process.wait(LIMIT)
        assert status == (-signal.SIGKILL if how == "SIGKILL" else 130)
        running.leaves(0)
    assert "Traceback" not in running.log.read_text()
