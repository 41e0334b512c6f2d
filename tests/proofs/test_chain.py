"""The proofs: steps, chain and evenness each find what they are there to find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proofs import chain, evenness
from tests.workshop.conftest import ANSWERED, MORE, RunWorkshop, write
from workshop.core import apps
from workshop.core.errors import WorkshopError
from workshop.core.steps import Repository

Edit = Callable[[Path], object]


def edit(name: str, old: str, new: str) -> Edit:
    """Return what replaces a text in a file, once."""

    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert text.count(old) >= 1
        (root / name).write_bytes(text.replace(old, new, 1).encode())

    return change


def add(name: str, text: str = "x = 1\n") -> Edit:
    """Return what writes a new file."""
    return lambda root: write(root / name, text)


def remove(name: str) -> Edit:
    """Return what removes a file."""
    return lambda root: (root / name).unlink()


TOML = "steps/01_first/step.toml"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove(TOML), f"{TOML} is missing"),
        (edit(TOML, 'title = "The first"', "title = "), TOML),
        (edit(TOML, "title", "titel"), "unknown key titel"),
        (edit(TOML, "minutes = 10", 'minutes = "10"'), "minutes must be a int"),
        (edit(TOML, 'objectives = ["answer"]', ""), "objectives must be a list"),
        (edit(TOML, 'id = "1.2"', 'id = "1.3"'), "its id is '1.3'"),
        (edit(TOML, 'id = "1.1"', 'id = "2.1"'), "its id is '2.1'"),
        (edit(TOML, '"Which number?", ', ""), "todo 1.1: it needs 3 hints"),
        (edit(TOML, '"Which number?"', '" "'), "todo 1.1: it needs 3 hints"),
        (
            lambda root: (root / "steps/00_start").rename(root / "steps/03_start"),
            "no step",
        ),
        (
            lambda root: (root / "steps/01_first").rename(root / "steps/01_First"),
            "name it",
        ),
    ],
)
def test_steps_are_checked(
    small: Repository, workshop: RunWorkshop, change: Edit, message: str
) -> None:
    """A step.toml that is not as it must be is refused, with its place."""
    small.steps()
    change(small.root)
    with pytest.raises(WorkshopError) as error:
        small.steps()
    assert message in str(error.value)


def test_a_bad_step_is_one_line(small: Repository, workshop: RunWorkshop) -> None:
    """The commands tell it in one line."""
    remove(TOML)(small.root)
    done = workshop()
    assert done.returncode == 2
    assert done.stderr == f"{TOML} is missing.\n"


def test_the_chain_holds(small: Repository) -> None:
    """The small workshop has every line accounted for."""
    assert chain.check(small) == []


START = "steps/01_first/"
DONE = "solutions/01_first/"
AFTER = "steps/02_second/"
LAST = "solutions/02_second/"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        # A starter that is not the solution before it.
        (
            edit(AFTER + "app/answer.py", "six * 7", "7 * six"),
            f"{AFTER}app/answer.py:7:",
        ),
        (edit(AFTER + "server.py", "import Request", "import  Request"), ":3:"),
        (edit(AFTER + "server.py", "return app\n", "return app"), f"{AFTER}server.py:"),
        (
            edit(AFTER + "server.py", "return app\n", "return app\r\n"),
            f"{AFTER}server.py",
        ),
        (edit(AFTER + "server.py", "    app =", "\n    app ="), f"{AFTER}server.py:9:"),
        (remove(AFTER + "server.py"), f"{AFTER}server.py is missing"),
        (
            add(AFTER + "app/new.py"),
            f"{AFTER}app/new.py: solutions/01_first has no such",
        ),
        # A solution that is not its starter.
        (
            edit(DONE + "server.py", "return app\n", "return app\n\n"),
            f"{DONE}server.py:",
        ),
        (
            edit(DONE + "app/answer.py", '"""What', '"""Now what'),
            f"{DONE}app/answer.py:1:",
        ),
        (edit(LAST + "app/answer.py", "six * 7", "7 * six"), f"{LAST}app/answer.py:7:"),
        (add(DONE + "app/new.py"), f"{DONE}app/new.py: steps/01_first has no such"),
        (remove(LAST + "app/answer.py"), f"{LAST}app/answer.py is missing"),
        # TODO marks.
        (
            edit(DONE + "app/answer.py", "six = 6", "six = 6  # TODO 1.1"),
            f"{DONE}app/answer.py:5: a TODO is left",
        ),
        (
            edit(START + "app/answer.py", "TODO 1.1", "TODO"),
            f"{START}app/answer.py:5: write it `TODO 1.k`",
        ),
        (
            edit(START + "app/answer.py", "    # TODO 1.2: ask the question\n", ""),
            f"{START}app/answer.py: it has no `# TODO 1.2`",
        ),
        (
            edit(START + "app/answer.py", "TODO 1.2", "TODO 1.3"),
            f"{START}app/answer.py:10: step.toml has no todo 1.3",
        ),
        (
            edit(START + "app/answer.py", "TODO 1.2", "TODO 2.1"),
            f"{START}app/answer.py:10: step.toml has no todo 2.1",
        ),
        (
            edit(AFTER + "server.py", "    return app\n", "    # TODO 2.1\n"),
            f"{AFTER}server.py:21: by step.toml TODO 2.1 is in app/more.py",
        ),
        # Provided files.
        (
            edit("steps/02_second/step.toml", '["app/more.py"]', '["server.py"]'),
            f"{AFTER}app/more.py: solutions/01_first has no such file; name it in",
        ),
        (
            edit(
                "steps/02_second/step.toml",
                '["app/more.py"]',
                '["app/more.py", "server.py"]',
            ),
            f"{AFTER}server.py: it is as in solutions/01_first",
        ),
        (
            edit("steps/02_second/step.toml", 'more.py"]', 'more.py", "no.py"]'),
            "step.toml: `provided` names no.py",
        ),
        # What belongs to steps only.
        (add(DONE + "README.md"), f"{DONE}README.md: remove it"),
        (
            lambda root: (root / "solutions/02_second").rename(root / "elsewhere"),
            "solutions/02_second is missing",
        ),
    ],
)
def test_the_chain_breaks(small: Repository, change: Edit, place: str) -> None:
    """Each kind of drift is found, at its place."""
    change(small.root)
    problems = chain.check(small)
    assert any(place in problem for problem in problems), problems


@pytest.mark.parametrize(
    "change",
    [
        add(AFTER + "app/__pycache__/answer.cpython-311.pyc"),
        add(DONE + "jobs.jsonl"),
        add(DONE + ".DS_Store"),
        add(AFTER + "README.md"),
        # A file may be changed, or go, when it is named.
        lambda root: [
            edit("steps/02_second/step.toml", 'more.py"]', 'more.py", "server.py"]')(
                root
            ),
            remove(AFTER + "server.py")(root),
            remove(LAST + "server.py")(root),
        ],
        lambda root: [
            edit("steps/02_second/step.toml", 'more.py"]', 'more.py", "server.py"]')(
                root
            ),
            edit(AFTER + "server.py", '"small"', '"large"')(root),
            edit(LAST + "server.py", '"small"', '"large"')(root),
        ],
    ],
)
def test_the_chain_allows(small: Repository, change: Edit) -> None:
    """What running makes, lessons, and files named as provided are no drift."""
    change(small.root)
    assert chain.check(small) == []


def test_hunks_with_only_blank_lines_between_are_one() -> None:
    """A blank line that both versions have does not split what was written."""
    old = ("a\n", "# TODO 1.1\n", "\n", "b\n")
    new = ("a\n", "one\n", "\n", "two\n", "b\n")
    assert [(h.line, h.old, h.new) for h in apps.hunks(old, new)] == [
        (2, ("# TODO 1.1\n", "\n"), ("one\n", "\n", "two\n"))
    ]


def test_partway(small: Repository, tmp_path: Path) -> None:
    """An app in which the first todo is done has that hunk, and no other."""
    first, second = small.step(1).todos
    todo = "    # TODO 1.1: give the answer\n    return 0\n"
    done = "    six = 6\n\n    return six * 7\n"
    starter = (small.starter(small.step(1)) / "app/answer.py").read_text()
    folder = tmp_path / "partway"
    write(folder / "old.py", "what was there before\n")
    apps.write_partway(small, small.step(1), first.id, folder)
    assert (folder / "app/answer.py").read_text() == starter.replace(todo, done)
    assert (folder / "server.py").exists()
    assert not (folder / "old.py").exists()
    apps.write_partway(small, small.step(1), second.id, folder)
    assert (folder / "app/answer.py").read_text() == ANSWERED


def test_lines_to_write(small: Repository) -> None:
    """Blank lines and comments do not count, docstrings do."""
    assert evenness.table(small) == {"01_first": 3, "02_second": 1}
    solution = small.root / "solutions/01_first/app/answer.py"
    write(
        solution,
        ANSWERED.replace("    six = 6", '    """Six."""\n    # six\n\n    six = 6'),
    )
    assert evenness.table(small)["01_first"] == 4


@pytest.mark.parametrize(
    ("lines", "problems"),
    [(5, 0), (61, 1)],
)
def test_uneven_steps(small: Repository, lines: int, problems: int) -> None:
    """A step over the limit is found."""
    written = "".join(f"    x{n} = {n}\n" for n in range(lines - 1))
    more = MORE.replace(
        "    # TODO 2.1: give more\n    return 0", f"{written}    return 1"
    )
    write(small.root / "solutions/02_second/app/more.py", more)
    assert evenness.table(small)["02_second"] == lines
    assert len(evenness.check(small)) == problems


def test_the_median_counts(small: Repository) -> None:
    """A step within the limit may still be out of proportion."""
    for folder in ("steps", "solutions"):
        source = small.root / folder / "01_first"
        for name in ("app/answer.py", "server.py"):
            text = (source / name).read_text().replace("TODO 1.", "TODO 3.")
            write(small.root / folder / "03_third" / name, text)
    toml = (small.root / TOML).read_text().replace('id = "1.', 'id = "3.')
    write(small.root / "steps/03_third/step.toml", toml)
    more = MORE.replace("    # TODO 2.1: give more\n", "    x = 0\n" * 6)
    write(small.root / "solutions/02_second/app/more.py", more)
    assert evenness.table(small) == {"01_first": 3, "02_second": 6, "03_third": 3}
    assert evenness.check(small) == []
    more = MORE.replace("    # TODO 2.1: give more\n", "    x = 0\n" * 7)
    write(small.root / "solutions/02_second/app/more.py", more)
    assert "more than 2 times the median of 3" in evenness.check(small)[0]
