"""A change of one step is carried on to the others."""

from __future__ import annotations

import subprocess

import pytest

from tests.proofs import chain, propagate
from workshop.core.steps import Repository


@pytest.fixture
def committed(small: Repository) -> Repository:
    """The small workshop, under git."""
    subprocess.run(["git", "init", "-q"], cwd=small.root, check=True)
    config = small.root / ".git/config"
    config.write_text(config.read_text() + "[user]\nname = x\nemail = x@example.org\n")
    commit(small)
    return small


def commit(repository: Repository) -> None:
    """Commit all changes."""
    for command in (["add", "."], ["commit", "-qm", "All of it"]):
        subprocess.run(["git", *command], cwd=repository.root, check=True)


def change(repository: Repository, name: str, old: str, new: str) -> None:
    """Replace a text in a file."""
    path = repository.root / name
    path.write_text(path.read_text().replace(old, new))


def test_a_change_is_carried_on(committed: Repository) -> None:
    """A changed line and a new file arrive in every later app."""
    change(committed, "steps/00_start/server.py", "The application", "An application")
    (committed.root / "steps/00_start/new.py").write_text("x = 1\n")
    assert propagate.main(committed) == 0
    assert chain.check(committed) == []
    for folder in ("steps/01_first", "solutions/02_second"):
        assert "An application" in (committed.root / folder / "server.py").read_text()
        assert (committed.root / folder / "new.py").exists()
    assert propagate.main(committed) == 0
    assert chain.check(committed) == []


def test_a_second_change_before_a_commit(committed: Repository) -> None:
    """What the last run has left is what the next one compares with."""
    change(committed, "steps/00_start/server.py", "The application", "An application")
    assert propagate.main(committed) == 0
    change(committed, "steps/00_start/server.py", "An application", "One application")
    assert propagate.main(committed) == 0
    assert chain.check(committed) == []
    last = committed.root / "solutions/02_second/server.py"
    assert "One application" in last.read_text()


def test_files_that_a_step_replaces_get_it_too(committed: Repository) -> None:
    """What `provided` names differs on purpose, but the rest of it is the same."""
    change(committed, "steps/02_second/app/answer.py", '"""What', '"""More of what')
    named = '["app/answer.py", "app/m'
    change(committed, "steps/02_second/step.toml", '["app/m', named)
    assert propagate.main(committed) == 0
    commit(committed)
    change(committed, "solutions/01_first/app/answer.py", "seven", "eight")
    assert propagate.main(committed) == 0
    assert chain.check(committed) == []
    last = (committed.root / "solutions/02_second/app/answer.py").read_text()
    assert "More of what" in last
    assert "eight" in last


def test_a_conflict_is_left_to_you(committed: Repository) -> None:
    """What two steps have changed is marked, and taken as it is once it fits."""
    change(committed, "solutions/01_first/app/answer.py", "six * 7", "7 * six")
    change(committed, "steps/02_second/app/answer.py", "six * 7", "six + 36")
    assert propagate.main(committed) == 1
    starter = committed.root / "steps/02_second/app/answer.py"
    assert "<<<<<<<" in starter.read_text()
    starter.write_bytes(
        (committed.root / "solutions/01_first/app/answer.py").read_bytes()
    )
    assert propagate.main(committed) == 0
    assert chain.check(committed) == []


def test_a_conflict_may_change_nothing(committed: Repository) -> None:
    """It is marked until you have decided, and you may leave the file as it was."""
    change(committed, "steps/02_second/app/answer.py", "six * 7", "six + 36")
    change(committed, "solutions/02_second/app/answer.py", "six * 7", "six + 36")
    named = '["app/answer.py", "app/m'
    change(committed, "steps/02_second/step.toml", '["app/m', named)
    assert propagate.main(committed) == 0
    commit(committed)
    starter = committed.root / "steps/02_second/app/answer.py"
    mine = starter.read_text()
    change(committed, "solutions/01_first/app/answer.py", "six * 7", "7 * six")
    for _ in range(2):
        assert propagate.main(committed) == 1
        assert "<<<<<<<" in starter.read_text()
    starter.write_text(mine)
    assert propagate.main(committed) == 0
    assert starter.read_text() == mine


def test_a_todo_that_says_more(committed: Repository) -> None:
    """The solution keeps its code where the starter has another comment."""
    change(
        committed, "steps/01_first/app/answer.py", "TODO 1.1: ", "TODO 1.1: please, "
    )
    solution = committed.root / "solutions/01_first/app/answer.py"
    code = solution.read_text()
    assert propagate.main(committed) == 0
    assert solution.read_text() == code
    assert chain.check(committed) == []
