"""The tests of the tests: wrong answers are caught in words, and right ones pass.

An answer is a small change of a step's solution: tests/NN_name/mistakes/<name>.toml.
If it is wrong, a test of its TODO must fail with a message that contains its words,
because a learner should read what is wrong and not only that something is. If it says
``right = true``, it is a right answer in another style, and all tests of its TODO must
pass.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.proofs.running import (
    FOLDER,
    REPOSITORY,
    STEPS,
    listed,
    not_green,
    run_suites,
)
from workshop.core.apps import MADE_BY_RUNNING
from workshop.core.steps import Step
from workshop.core.suites import Record


def answers(right: bool) -> list[Any]:
    """Return the step and the file of each right answer, or of each wrong one."""
    return [
        pytest.param(step, path, id=f"{step.number:02}/{path.stem}")
        for step in STEPS
        for path in sorted((REPOSITORY.suite(step) / "mistakes").glob("*.toml"))
        if path.stem.startswith("right_") == right
    ]


def read(path: Path, step: Step) -> dict[str, Any]:
    """Return what the file of an answer says, if it is as it must be."""
    answer = tomllib.loads(path.read_text(encoding="utf-8"))
    assert answer["title"], "It needs a title."
    assert answer["todo"] in {todo.id for todo in step.todos}, "No such TODO."
    assert answer["edit"], "It changes nothing."
    if path.stem.startswith("right_"):
        assert answer["right"] is True, "A right answer has `right = true`."
    else:
        assert answer["words"], "A wrong answer needs words."
        assert isinstance(answer["words"], list), "Its words are a list."
    return answer


def write(app: Path, edits: list[dict[str, str]], step: Step) -> None:
    """Write an app that is a step's solution, except for some edits."""
    shutil.rmtree(app, ignore_errors=True)
    made = shutil.ignore_patterns(*MADE_BY_RUNNING)
    shutil.copytree(REPOSITORY.solution(step), app, ignore=made)
    for edit in edits:
        file = app / edit["file"]
        text = file.read_text(encoding="utf-8")
        assert text.count(edit["old"]) == 1, (
            f"{edit['file']} of the solution has this text {text.count(edit['old'])} "
            f"times, and must have it once:\n{edit['old']}"
        )
        text = text.replace(edit["old"], edit.get("new", ""))
        file.write_text(text, encoding="utf-8")


def run(answer: dict[str, Any], step: Step, path: Path) -> list[Record]:
    """Run the tests of an answer's TODO until the first one fails."""
    name = f"{step.number:02}-{path.stem}"
    app = FOLDER / "answers" / name
    write(app, answer["edit"], step)
    todo = answer["todo"]
    return run_suites([step], app, name, todo=todo, first_failure=True).records


@pytest.mark.parametrize(("step", "path"), answers(right=False))
def test_caught(step: Step, path: Path) -> None:
    """A test of the TODO fails by an assertion, and its message has the words."""
    answer = read(path, step)
    for _ in range(2):  # On a busy machine, two signals may arrive as one, and hide it.
        if failed := [r for r in run(answer, step, path) if not r.passed]:
            break
    assert failed, f"{answer['title']}: no test of TODO {answer['todo']} fails."
    message = failed[0].message
    assert failed[0].assertion, (
        f"{answer['title']}: no assertion caught it, but:\n{message}"
    )
    missing = [words for words in answer["words"] if words not in message]
    assert not missing, f"The message doesn't say {missing[0]!r}:\n{message}"


@pytest.mark.parametrize(("step", "path"), answers(right=True))
def test_right(step: Step, path: Path) -> None:
    """Right code passes, however it is written."""
    problems = not_green(run(read(path, step), step, path))
    assert not problems, listed(problems)
