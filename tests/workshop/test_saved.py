"""reset, catchup, solve, restore, diff: what is replaced is kept, and can be seen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workshop.conftest import ANSWER, ANSWERED, RunWorkshop, write
from workshop.core.steps import Repository
from workshop.learner import saved

MINE = ANSWERED.replace("six times seven", "mine")


@pytest.fixture
def mine(small: Repository) -> Path:
    """The app of step 1, as a learner has left it."""
    app = small.root / "steps" / "01_first"
    write(app / "app/answer.py", MINE)
    write(app / "app/notes/more.py", "notes = 1\n")
    (app / "app/answer.txt").write_bytes(b"no \xff text")
    (app / "jobs.jsonl").write_text("{}\n")
    return app


def test_reset_makes_the_starter_and_keeps_what_was_there(
    workshop: RunWorkshop, small: Repository, mine: Path
) -> None:
    """The app is as at the start; all that it had is in the folder that it names."""
    before = saved.contents(mine)
    workshop("check", "1")
    done = workshop("reset", "1")
    assert done.returncode == 0
    assert (mine / "app/answer.py").read_text() == ANSWER
    assert not (mine / "app/notes/more.py").exists()
    assert (mine / "jobs.jsonl").exists()
    assert (mine / "step.toml").exists()
    where = small.root / done.stdout.splitlines()[1]
    assert saved.contents(where) == before
    state = next(line for line in workshop().stdout.splitlines() if "01" in line)
    assert "not started" in state
    # Again, there is nothing to do, and nothing to keep.
    assert "nothing had to be replaced" in workshop("reset", "1").stdout
    assert len(saved.copies(small)) == 1


def test_restore_brings_it_back(workshop: RunWorkshop, mine: Path) -> None:
    """The latest copy, or one by its name; what that replaces is kept too."""
    before = saved.contents(mine)
    name = workshop("reset", "1").stdout.split()[-1]
    workshop("solve", "1")
    assert workshop("restore", name).returncode == 0
    assert saved.contents(mine) == before
    workshop("restore")
    assert (mine / "app/answer.py").read_text() == ANSWERED
    listed = workshop("restore", "--list").stdout.splitlines()
    assert listed[0] == f"{name}  01_first"
    assert len(listed) == 4


def test_restore_without_a_copy(workshop: RunWorkshop, mine: Path) -> None:
    """It says what makes copies, or how to see those there are."""
    done = workshop("restore")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no copy yet" in done.stderr
    workshop("reset", "1")
    assert "restore --list" in workshop("restore", "of_this_name").stderr


def test_catchup_goes_to_the_start_of_a_step(workshop: RunWorkshop, mine: Path) -> None:
    """Whatever was done in any step, the next thing to do is that step."""
    done = workshop("catchup", "2")
    assert done.returncode == 0
    assert "Read steps/02_second/README.md" in done.stdout
    assert (mine / "app/answer.py").read_text() == MINE
    assert workshop().stdout.endswith("Type next:  python3 -m workshop run 2\n")
    workshop("catchup", "1")
    assert (mine / "app/answer.py").read_text() == ANSWER


def test_solve_makes_it_green(workshop: RunWorkshop, mine: Path) -> None:
    """The solution is in place, and its check is green."""
    assert workshop("solve", "1").returncode == 0
    assert (mine / "app/answer.py").read_text() == ANSWERED
    assert workshop("check", "1").returncode == 0


@pytest.mark.parametrize("command", ["reset", "catchup", "solve"])
def test_nothing_to_edit(workshop: RunWorkshop, command: str) -> None:
    """Step 0 has no starter and no solution of its own."""
    done = workshop(command, "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Step 00 has nothing to")


def test_a_changed_solution_changes_nothing(
    workshop: RunWorkshop, small: Repository, mine: Path
) -> None:
    """A starter that cannot be made for certain is not made at all."""
    write(small.root / "solutions/01_first/app/answer.py", ANSWERED + "\nmore = 1\n")
    before = saved.contents(mine)
    done = workshop("reset", "1")
    assert done.returncode == 2
    assert "not as the workshop ships it" in done.stderr
    assert saved.contents(mine) == before
    assert saved.copies(small) == []


class Killed(BaseException):
    """Stands for kill -9: nothing of the program runs after it."""


def test_an_end_at_any_moment_loses_nothing(
    small: Repository, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended before any of its steps on the disk, reset leaves each file old or new.

    And once a file is new, all of the old ones are in a copy.
    """
    before = saved.contents(mine)
    after = saved.starters.read(small, small.step(1))
    allowed = 0

    def until_killed(name: str) -> None:
        real: Callable[..., Any] = getattr(Path, name)

        def call(path: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal allowed
            allowed -= 1
            if allowed < 0:
                if name == "write_bytes":  # The worst moment: in the middle.
                    real(path, arguments[0][: len(arguments[0]) // 2])
                raise Killed
            return real(path, *arguments, **options)

        monkeypatch.setattr(Path, name, call)

    for name in ("write_bytes", "replace", "rename", "unlink", "mkdir"):
        until_killed(name)
    moments = 0
    killed = True
    while killed:
        allowed = 1000
        saved.replace(small, small.step(1), before, "again")
        copies = len(saved.copies(small))
        allowed, killed = moments, False
        try:
            saved.reset(small, small.step(1))
        except Killed:
            killed = True
        moments += 1
        now = saved.contents(mine)
        assert all(now[name] in (before.get(name), after.get(name)) for name in now)
        made = [saved.contents(copy.folder) for copy in saved.copies(small)[copies:]]
        assert all(copy == before for copy in made)
        assert made or now == before
    assert now == after
    assert moments > 10


def test_diff_only_when_green(workshop: RunWorkshop, mine: Path) -> None:
    """Before, it would give the answer away: it says how to see it all the same."""
    done = workshop("diff", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "diff 1 --spoil" in done.stderr
    spoiled = workshop("diff", "1", "--spoil").stdout
    assert '-    return "mine"\n+    return "six times seven"\n' in spoiled
    assert "answer()" not in spoiled.replace("def answer()", "")
    workshop("solve", "1")
    workshop("check", "1")
    assert "are alike" in workshop("diff").stdout


def test_diff_between_steps(workshop: RunWorkshop) -> None:
    """It shows what one step adds to another, once all in between are green."""
    done = workshop("diff", "1", "2")
    assert done.returncode == 2
    assert "diff 1 2 --spoil" in done.stderr
    shown = workshop("diff", "1", "2", "--spoil").stdout
    assert "+++ solutions/02_second/app/more.py" in shown
    assert "answer.py" not in shown


def test_diff_side_by_side(small: Repository, mine: Path) -> None:
    """Where the terminal is wide, both stand beside each other."""
    done = subprocess.run(
        [sys.executable, str(small.root / "workshop"), "diff", "1", "--spoil"],
        env={**os.environ, "FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if "mine" in line)
    assert line.index("six times seven") >= 80


def test_hint_of_the_first_red_todo(workshop: RunWorkshop, small: Repository) -> None:
    """Without an id, the hint is for what is red where the learner is."""
    assert workshop("hint").stdout.startswith("TODO 1.1:")  # Step 00 has none.
    write(small.root / "steps/01_first/app/answer.py", MINE)
    workshop("check", "1")
    assert workshop("hint").stdout.startswith("TODO 1.2:")
    workshop("solve", "1")
    workshop("check", "1")
    done = workshop("hint")
    assert done.returncode == 2
    assert "hint 1.1" in done.stderr


def test_a_file_that_was_deleted(workshop: RunWorkshop, small: Repository) -> None:
    """check says which file is missing, and what brings it back; that does."""
    file = small.root / "steps/01_first/app/answer.py"
    before = file.read_bytes()
    file.unlink()
    done = workshop("check", "1")
    assert done.returncode == 2
    assert "steps/01_first/app/answer.py is missing." in done.stderr
    assert "python3 -m workshop reset 1" in done.stderr
    assert workshop("reset", "1").returncode == 0
    assert file.read_bytes() == before
