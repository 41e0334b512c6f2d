"""The chain, the stages between its apps, and evenness: each finds what it is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proofs import chain, evenness
from tests.proofs.partway import write_partway
from tests.workshop.conftest import ANSWERED, write
from workshop.core import apps
from workshop.core.steps import Repository

Edit = Callable[[Path], object]
TOML = "steps/02_second/step.toml"
START, DONE = "steps/01_first/", "solutions/01_first/"
AFTER, LAST = "steps/02_second/", "solutions/02_second/"


def edit(name: str, old: str, new: str) -> Edit:
    """Return what replaces a text in a file, once."""

    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_bytes(text.replace(old, new, 1).encode())

    return change


def add(name: str) -> Edit:
    """Return what writes a new file."""
    return lambda root: write(root / name, "x = 1\n")


def remove(name: str) -> Edit:
    """Return what removes a file."""
    return lambda root: (root / name).unlink()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        # A starter that isn't the solution before it.
        (edit(AFTER + "app/answer.py", "six * 7", "7 * six"), "app/answer.py:7: it"),
        (edit(AFTER + "server.py", "app\n", "app\r\n"), f"{AFTER}server.py:"),
        (remove(AFTER + "server.py"), f"{AFTER}server.py is missing"),
        (add(AFTER + "app/new.py"), "app/new.py isn't in solutions/01_first;"),
        # A solution that isn't its starter.
        (edit(DONE + "app/answer.py", '"""What', '"""Now'), f"{DONE}app/answer.py:1:"),
        (add(DONE + "app/new.py"), f"{DONE}app/new.py isn't in the starter"),
        (remove(LAST + "app/answer.py"), f"{LAST}app/answer.py is missing"),
        # The marks.
        (edit(DONE + "app/answer.py", "6", "6  # TODO 1.1"), ":5: a TODO is left"),
        (edit(START + "app/answer.py", "TODO 1.1", "TODO"), ":5: write it `TODO 1.k`"),
        (edit(START + "app/answer.py", "# TODO 1.2", "#"), "has no `# TODO 1.2`"),
        (edit(AFTER + "server.py", "return", "# TODO 2.1"), "no TODO 2.1 in this file"),
        (
            edit(START + "app/answer.py", "\n\n\ndef question() -> str:", ""),
            "app/answer.py:5: the code of the TODOs 1.1 and 1.2 is one stretch",
        ),
        # The files that come with a step.
        (edit(TOML, '"app/more.py"]', "]"), "app/more.py isn't in solutions/01_first"),
        (edit(TOML, 'more.py"]', 'more.py", "server.py"]'), "server.py is as in"),
        (edit(TOML, 'more.py"]', 'more.py", "no.py"]'), "no.py is as in"),
    ],
)
def test_the_chain_breaks(small: Repository, change: Edit, place: str) -> None:
    """Each kind of drift is found, at its place."""
    assert chain.check(small) == []
    change(small.root)
    problems = chain.check(small)
    assert any(place in problem for problem in problems), problems


def test_the_chain_allows(small: Repository) -> None:
    """Whatever running makes isn't drift, and neither is a file that is named."""
    for name in ("app/__pycache__/x.pyc", "jobs.jsonl", ".DS_Store"):
        add(DONE + name)(small.root)
    edit(TOML, 'more.py"]', 'more.py", "server.py"]')(small.root)
    for folder in (AFTER, LAST):
        edit(folder + "server.py", '"small"', '"large"')(small.root)
    assert chain.check(small) == []


def test_hunks_with_only_blank_lines_between_are_one() -> None:
    """A blank line that both versions have doesn't split what was written."""
    old = ("a\n", "# TODO 1.1\n", "\n", "b\n")
    new = ("a\n", "one\n", "\n", "two\n", "b\n")
    assert [(h.line, h.old, h.new) for h in apps.hunks(old, new)] == [
        (2, ("# TODO 1.1\n", "\n"), ("one\n", "\n", "two\n"))
    ]


def test_partway(small: Repository, tmp_path: Path) -> None:
    """An app in which the first TODO is done has that hunk, and no other."""
    step = small.step(1)
    first, second = step.todos
    starter = (small.starter(step) / "app/answer.py").read_text()
    todo = "    # TODO 1.1: give the answer\n    return 0\n"
    folder = tmp_path / "partway"
    write(folder / "old.py", "a file of an earlier app\n")
    write_partway(small, step, first.id, folder)
    done = "    six = 6\n\n    return six * 7\n"
    assert (folder / "app/answer.py").read_text() == starter.replace(todo, done)
    assert not (folder / "old.py").exists()
    write_partway(small, step, second.id, folder)
    assert (folder / "app/answer.py").read_text() == ANSWERED


def test_lines(small: Repository) -> None:
    """Blank lines, comments and docstrings don't count."""
    # All of answer.py is new in step 01, and all of more.py in step 02.
    counts = {"01_first": (3, 4), "02_second": (1, 2)}
    assert evenness.table(small) == counts
    more = '    """Six."""\n    # six\n\n    six = 6'
    edit(DONE + "app/answer.py", "    six = 6", more)(small.root)
    assert evenness.table(small) == counts


@pytest.mark.parametrize(
    ("to_write", "to_read", "problem"),
    [
        (60, 400, None),
        (61, 400, "61 lines to write, but 60"),
        (60, 401, "401 new lines to read"),
        (5, 400, "30 lines to write, but 10"),
    ],
)
def test_uneven_steps(to_write: int, to_read: int, problem: str | None) -> None:
    """A step over a limit, or over twice the median, is found."""
    lines = evenness.Lines(to_write, to_read)
    found = evenness.check({"a": evenness.Lines(30, 1), "b": lines, "c": lines})
    assert bool(found) == bool(problem)
    assert not problem or problem in found[0]
