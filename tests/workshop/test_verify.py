"""verify: the matrix accepts what is as it must be, and nothing else."""

from __future__ import annotations

import re

import pytest

from tests.workshop.conftest import SUITES, RunWorkshop, write
from workshop import mistakes
from workshop.errors import WorkshopError
from workshop.steps import Repository


def last_line(text: str) -> str:
    """Return the line that counts."""
    return text.splitlines()[-1]


def test_verify_green(workshop: RunWorkshop) -> None:
    """1 unit test; 2 + 3 tests of solutions, 2 + 3 of starters; 1 after TODO 1.1."""
    done = workshop("verify")
    assert done.returncode == 0
    assert done.stderr == ""
    assert last_line(done.stdout) == "12 passed, 0 failed"
    assert re.search(r"solution 02 +│ 2 ok +│ 1 ok ", done.stdout)
    assert re.search(r"starter 01 +│ 2 red as meant ", done.stdout)
    assert re.search(r"starter 02 +│ 2 ok +│ 1 red as meant ", done.stdout)


def test_verify_lessons(workshop: RunWorkshop, small: Repository) -> None:
    """Each lesson that is there is a run of its own, and its check is a row."""
    add_lessons(small, "00_start", "02_second")
    done = workshop("verify")
    assert "lesson 00: 1 tests" in done.stdout
    assert "lesson 01" not in done.stdout
    assert "solution 01: 2 tests" in done.stdout
    assert "solution 02: " not in done.stdout
    assert re.search(r"solution 02 +│ 2 ok +│ 1 ok ", done.stdout)
    assert done.returncode == 0
    assert last_line(done.stdout) == "14 passed, 0 failed"


def test_verify_a_lesson_that_fails(workshop: RunWorkshop, small: Repository) -> None:
    """It counts once, and its row says so."""
    add_lessons(small, "02_second", check="assert False, 'it parts'")
    done = workshop("verify")
    test = "tests/lessons/test_it.py::test_lesson[02_second]"
    assert f"- lesson 02: {test} must pass, but:\nit parts" in done.stdout
    assert re.search(r"solution 02 +│ lesson failed +│ lesson failed ", done.stdout)
    assert done.returncode == 1
    assert last_line(done.stdout) == "9 passed, 1 failed"


def test_verify_a_lesson_without_a_check(
    workshop: RunWorkshop, small: Repository
) -> None:
    """The matrix lacks a row then."""
    add_lessons(small, "02_second", check="pass")
    done = workshop("verify")
    assert "- solution 02: not one test of tests/01_first ran" in done.stdout
    assert "- solution 02: not one test of tests/02_second ran" in done.stdout
    assert "- TODO 2.1 has no test" in done.stdout
    assert last_line(done.stdout) == "10 passed, 3 failed"


def add_lessons(small: Repository, *names: str, check: str = "check()") -> None:
    """Give steps a lesson, which checks the solution, if it is step 2's."""
    for name in names:
        write(small.root / "steps" / name / "README.md", "# A lesson\n")
    text = LESSONS.replace("CHECK", check)
    write(small.root / "tests" / "lessons" / "test_it.py", text)


LESSONS = """
import os, shutil, subprocess, sys
from pathlib import Path
import pytest

ROOT = Path(__file__).parents[2]

def check():
    command = [sys.executable, str(ROOT / "workshop"), "check", "2", "--solution"]
    subprocess.run(command, check=True)
    for path in (ROOT / ".workshop").glob("check-*.jsonl"):
        shutil.copy(path, os.environ["WORKSHOP_LESSON_REPORTS"])

@pytest.mark.parametrize("name", ["00_start", "01_first", "02_second"])
def test_lesson(name):
    '''It is so.'''
    if name == "02_second":
        CHECK
"""
SUITE_1 = "tests/01_first/test_it.py"
SUITE_2 = "tests/02_second/test_it.py"
UNIT = "tests/workshop/test_it.py"
SETUP = """import runpy, pytest

@pytest.fixture(autouse=True)
def up(app):
    assert 'solutions' in str(app)
"""


@pytest.mark.parametrize(
    ("edits", "tally", "words"),
    [
        pytest.param(
            [
                (UNIT, "'''It is.'''", "assert not 'it is'"),
                ("solutions/02_second/app/answer.py", "six * 7", "six + 7"),
                ("steps/02_second/app/answer.py", "six * 7", "six + 7"),
                ("steps/01_first/app/answer.py", "return 0", "return 42"),
                ("steps/01_first/app/answer.py", 'return ""', "raise OSError"),
            ],
            "7 passed, 5 failed",
            [
                f"{UNIT}::test_unit:",
                f"solution 02: {SUITE_1}::test_answer (TODO 1.1) must pass, but:",
                f"starter 02: {SUITE_1}::test_answer (TODO 1.1) must pass, but:",
                f"starter 01: {SUITE_1}::test_answer (TODO 1.1) passed; it must fail",
                f"starter 01: {SUITE_1}::test_question (TODO 1.2) must fail by an "
                "assertion in the test, but broke in its call",
                "your own edits of steps/ count",
            ],
            id="tests that end otherwise",
        ),
        pytest.param(
            [
                (UNIT, "def test_unit", "def not_a_test"),
                (SUITE_1, '@pytest.mark.todo("1.1")', ""),
                (SUITE_2, "import runpy, pytest", SETUP),
            ],
            "9 passed, 5 failed",
            [
                "unit test_it: pytest ended with status 5",
                "TODO 1.1 has no test",
                "test_answer: its TODO is None, which step 1 does not have",
                f"starter 02: {SUITE_2}::test_more (TODO 2.1) must fail by an "
                "assertion in the test, but broke in its setup",
                "after TODO 1.1: pytest ended with status 5",
            ],
            id="tests that prove nothing",
        ),
        pytest.param(
            [(SUITE_1, "== 42", '+ len(call(app, "app/answer.py", "question")) > 42')],
            "11 passed, 1 failed",
            [f"after TODO 1.1: {SUITE_1}::test_answer must pass, but:\nthe [answer]"],
            id="a todo that needs the next one",
        ),
        pytest.param(
            [(SUITE_2, SUITES["02_second"], "")],
            "10 passed, 3 failed",
            ["solution 02: not one test of tests/02_second", "TODO 2.1 has no test"],
            id="a suite without tests",
        ),
        pytest.param(
            [(SUITE_1, "import runpy", "import nothing_of_this_name")],
            "1 passed, ",
            [
                "solution 02: pytest ended with status 2; pytest said:\n",
                "No module named 'nothing_of_this_name'",
            ],
            id="a suite that breaks",
        ),
    ],
)
def test_verify_red(
    workshop: RunWorkshop,
    small: Repository,
    edits: list[tuple[str, str, str]],
    tally: str,
    words: list[str],
) -> None:
    """Each deviation is counted, told in words, and makes the status 1."""
    for file, old, new in edits:
        text = (small.root / file).read_text()
        assert old in text
        write(small.root / file, text.replace(old, new, 1))
    done = workshop("verify")
    assert done.returncode == 1
    assert [phrase for phrase in words if phrase not in done.stdout] == []
    assert last_line(done.stdout).startswith(tally), done.stdout


MISTAKE = """
title = "A wrong number"
todo = "1.1"
words = ["the [answer] is 42"]

[[edit]]
file = "app/answer.py"
old = "six * 7"
new = "six * 8"
"""


VERDICTS = {
    "right": (("", ""), "caught by 1.1", ""),
    "harmless": (("six * 8", "7 * six"), "not caught", "no test of TODO 1.1 fails."),
    "other_words": (
        ("is 42", "is 43"),
        "not named",
        "does not say 'the [answer] is 43'",
    ),
    "broken": (("six * 8", "("), "no assertion", "no assertion has caught it"),
}
"""What is changed in MISTAKE, what becomes of it, and what is said, by its name."""


def test_mistakes(workshop: RunWorkshop, small: Repository) -> None:
    """A mistake must be caught by the tests of its todo, in its words."""
    for name, (change, _, _) in VERDICTS.items():
        text = MISTAKE.replace(*change) if change[0] else MISTAKE
        write(small.root / f"tests/mistakes/01_first/{name}.toml", text)
    done = workshop("verify")
    for name, (_, verdict, words) in VERDICTS.items():
        assert re.search(rf"01 {name} +│ A wrong number +│ {verdict} ", done.stdout)
        assert words in done.stdout
    assert last_line(done.stdout) == "13 passed, 3 failed"
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('todo = "1.1"', 'todo = "2.1"', "the step has no todo 2.1"),
        ('["the [answer] is 42"]', "[]", "it needs either words or"),
        ('title = "A wrong number"', "", "title must be a str"),
        ("[[edit]]", "[[edits]]", "edit must be a list"),
        ('"six * 7"', '"eight"', "app/answer.py of the solution does not have"),
        ('"app/answer.py"', '"app/no.py"', "app/no.py of the solution does not have"),
        ("title = ", "title ", "wrong_number.toml: "),
    ],
)
def test_mistakes_are_checked(
    small: Repository, old: str, new: str, message: str
) -> None:
    """A mistake that is not as it must be is refused, and named."""
    assert old in MISTAKE
    text = MISTAKE.replace(old, new)
    write(small.root / "tests/mistakes/01_first/wrong_number.toml", text)

    def read_and_write() -> None:
        [mistake] = mistakes.read(small)
        mistake.write(small, small.root / "app")

    with pytest.raises(WorkshopError) as error:
        read_and_write()
    assert message in str(error.value)
    assert "wrong_number" in str(error.value)
