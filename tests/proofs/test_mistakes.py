"""Wrong answers are caught in words, and right answers in another style pass."""

from __future__ import annotations

import pytest

from tests.proofs import mistakes
from tests.proofs.mistakes import Mistake
from tests.proofs.running import FOLDER, REPOSITORY, listed, not_green, run_suites
from workshop.core.suites import SuiteRun

ANSWERS = mistakes.read(REPOSITORY)
WRONG = [answer for answer in ANSWERS if not answer.right]
RIGHT = [answer for answer in ANSWERS if answer.right]


def run(answer: Mistake) -> SuiteRun:
    """Run the tests of an answer's TODO until the first one fails."""
    name = f"{answer.step.number:02}-{answer.name}"
    app = FOLDER / "answers" / name
    answer.write(REPOSITORY, app)
    return run_suites([answer.step], app, name, todo=answer.todo, first_failure=True)


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: answer.id)
def test_caught(answer: Mistake) -> None:
    """A test of the TODO fails by an assertion, and its message has the words."""
    failed = [record for record in run(answer).records if not record.passed]
    assert failed, f"{answer.title}: no test of TODO {answer.todo} fails."
    message = failed[0].message
    assert failed[0].assertion, (
        f"{answer.title}: no assertion caught it, but:\n{message}"
    )
    missing = [words for words in answer.words if words not in message]
    assert not missing, f"The message doesn't say {missing[0]!r}:\n{message}"


@pytest.mark.parametrize("answer", RIGHT, ids=lambda answer: answer.id)
def test_right(answer: Mistake) -> None:
    """Right code passes, however it is written."""
    problems = not_green(run(answer).records)
    assert not problems, listed(problems)
