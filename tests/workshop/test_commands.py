"""The commands, each run as a user runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.workshop.conftest import ANSWER, ANSWERED, RunWorkshop, write
from workshop.core.steps import Repository


def solve(small: Repository, text: str = ANSWERED) -> None:
    """Edit step 1 as a learner does."""
    write(small.root / "steps/01_first/app/answer.py", text)


def test_progress_at_the_start(workshop: RunWorkshop) -> None:
    """Nothing was done: every step is "not started", and step 0 is the next."""
    done = workshop()
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("not started") == 3
    assert "The lesson: steps/00_start/README.md" in done.stdout
    assert done.stdout.endswith("Type next:  python3 -m workshop run 0\n")


def test_progress_follows_the_learner(workshop: RunWorkshop, small: Repository) -> None:
    """The state goes from started over red to green, and says when edited since."""

    def state() -> str:
        return next(line for line in workshop().stdout.splitlines() if "01" in line)

    solve(small, ANSWER.replace("# TODO 1.1", "#"))
    assert "not checked" in state()
    assert "not started" not in state()
    solve(small, ANSWERED.replace("seven", "six"))
    workshop("check", "1")
    assert "red 1 of 2" in state()
    assert "edited since" not in state()
    solve(small)
    assert "red 1 of 2, edited since" in state()
    workshop("check", "1")
    assert "green" in state()
    assert "edited since" not in state()
    write(small.root / "steps/01_first/app/info.py", "")
    assert "green, edited since" in state()


def test_torn_results_count_as_none(workshop: RunWorkshop, small: Repository) -> None:
    """A result file that cannot be read is no reason to fail."""
    write(small.state / "results" / "01.json", '{"green": tr')
    assert workshop().stdout.count("not started") == 3


def test_check_red(workshop: RunWorkshop) -> None:
    """One line for each todo, what the first failure says, and status 1."""
    done = workshop("check", "1")
    assert done.returncode == 1
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "Checking steps/01_first"
    assert lines[1:3] == ["red 1.1 Give the answer", "red 1.2 Ask the [question]"]
    assert "the [answer] is 42" in done.stdout
    assert "no question" not in done.stdout
    assert "0 of 2 TODOs are green" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")
def test_check_on_a_terminal(small: Repository) -> None:
    """There, a line that moves below the others does not swallow any of them."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, str(small.root / "workshop"), "check", "1"],
        stdout=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    seen = b""
    with suppress(OSError):  # Linux ends the other side of a terminal so.
        while part := os.read(ours, 4096):
            seen += part
    os.close(ours)
    assert process.wait(20) == 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    lines = [line.rpartition("\r")[2] for line in text.split("\r\n")]
    assert "red 1.1 Give the answer" in lines
    assert "red 1.2 Ask the [question]" in lines


def test_check_all_prints_every_failure(workshop: RunWorkshop) -> None:
    """--all prints what every failure says."""
    done = workshop("check", "1", "--all")
    assert "the [answer] is 42" in done.stdout
    assert "no question" in done.stdout


def test_check_green(workshop: RunWorkshop, small: Repository) -> None:
    """All green: status 0, and what comes next."""
    solve(small)
    done = workshop("check", "1")
    assert done.returncode == 0
    assert "ok  1.1 Give the answer\nok  1.2 Ask the [question]\n" in done.stdout
    assert done.stdout.endswith("Next: read steps/02_second/README.md\n")


def test_check_runs_its_own_suite_first(
    workshop: RunWorkshop, small: Repository
) -> None:
    """Then the earlier ones, a line each, with their red todos."""
    write(small.root / "steps/02_second/app/answer.py", ANSWER)
    lines = workshop("check", "2").stdout.splitlines()
    assert lines[1:3] == ["red 2.1 Give more", "red 01_first: 1.1, 1.2"]
    assert "red 0 of 1 (and 01)" in workshop().stdout


def test_check_solution_leaves_the_learners_state(
    workshop: RunWorkshop, small: Repository
) -> None:
    """The solution is green; the learner's step stays as it was."""
    done = workshop("check", "2", "--solution")
    assert done.returncode == 0
    assert "Checking solutions/02_second" in done.stdout
    assert not (small.state / "results").exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("import nothing_of_this_name", "pytest ended with status 2"),
        ("import os; os._exit(0)", "pytest found no tests"),
        ("def test_die(app): import os; os._exit(0)", "tests said nothing"),
        ("def test_skip(app): pytest.skip('no')", "status 0 and 1 failures"),
    ],
)
def test_check_never_takes_a_broken_run_for_green(
    workshop: RunWorkshop, small: Repository, damage: str, reason: str
) -> None:
    """Whatever breaks pytest, it says so in two lines, with the log, and status 1."""
    solve(small)
    suite = small.root / "tests/01_first/test_it.py"
    write(suite, f"{suite.read_text()}\n{damage}\n")
    done = workshop("check", "1")
    assert done.returncode == 1
    *_, first, second = done.stdout.splitlines()
    assert reason in first
    log = Path(second.removeprefix("What pytest printed is in "))
    assert log.exists()
    assert "Green:" not in done.stdout
    result = json.loads((small.state / "results" / "01.json").read_text())
    assert result["green"] is False


def test_check_without_tests_is_red(workshop: RunWorkshop, small: Repository) -> None:
    """An empty suite is red."""
    (small.root / "tests/01_first/test_it.py").write_text("")
    solve(small)
    done = workshop("check", "1")
    assert done.returncode == 1
    assert "red 1.1 not decided" in done.stdout


def test_check_of_a_todo_without_a_test_is_red(
    workshop: RunWorkshop, small: Repository
) -> None:
    """A todo that no test decides is never green, though all that ran passed."""
    solve(small)
    suite = small.root / "tests/01_first/test_it.py"
    write(suite, suite.read_text().replace('"1.2"', '"1.1"'))
    done = workshop("check", "1")
    assert done.returncode == 1
    assert "red 1.2 not decided" in done.stdout


def test_check_of_a_step_without_todos(workshop: RunWorkshop) -> None:
    """Step 0 has nothing to check: it says what to type instead."""
    done = workshop("check", "0")
    assert done.returncode == 2
    assert "python3 -m workshop run 0" in done.stderr


@pytest.mark.parametrize("command", [("check", "7"), ("run", "7"), ("check", "-1")])
def test_no_such_step(workshop: RunWorkshop, command: tuple[str, str]) -> None:
    """A number that is no step is answered with those there are."""
    done = workshop(*command)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) <= 2


def test_no_such_step_lists_them(workshop: RunWorkshop) -> None:
    """It names every step."""
    assert workshop("check", "7").stderr == (
        "There is no step 7. The steps are: 00_start, 01_first, 02_second.\n"
    )


@pytest.mark.parametrize(
    "command", [("chek", "1"), ("check",), ("check", "one"), ("run", "1", "--prot=1")]
)
def test_usage_errors_are_two_lines(
    workshop: RunWorkshop, command: tuple[str, ...]
) -> None:
    """What cannot be understood is answered in two lines, with where to look."""
    done = workshop(*command)
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first
    assert second == "To see what there is: python3 -m workshop --help"


def test_hints_come_one_by_one(workshop: RunWorkshop) -> None:
    """Each call shows one more, up to the third."""
    sketch = "return 6 * 7"
    first, second, third, fourth = (workshop("hint", "1.1").stdout for _ in range(4))
    assert "Which number?" in first
    assert "Multiplication." not in first
    assert "Multiplication." in second
    assert sketch not in second
    assert sketch in third
    assert fourth == third
    assert "Which words?" in workshop("hint", "1.2").stdout


def test_no_such_hint(workshop: RunWorkshop) -> None:
    """An id that is no todo is answered with those there are."""
    done = workshop("hint", "1.9")
    assert done.returncode == 2
    assert done.stderr == "There is no TODO 1.9. There are: 1.1, 1.2.\n"
