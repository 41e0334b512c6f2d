"""Every lesson, executed as its reader would do it, with the check that it asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proofs.executor import execute
from tests.proofs.running import (
    REPOSITORY,
    STEPS,
    listed,
    not_green,
    of_suite,
    untied,
)
from workshop.core.steps import Step
from workshop.core.suites import read


@pytest.mark.parametrize("step", REPOSITORY.steps()[::-1], ids=lambda step: step.name)
def test_lesson(
    step: Step, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Everything that a lesson tells you to do works, and its output is real.

    At its end the app is the solution, so its own check is a row of the matrix. That of
    the last step runs all suites. The others leave out the earlier ones, which are run
    on the next starter: it is the same app but for what that step provides.
    """
    records, todos = read(execute(REPOSITORY, step, tmp_path))
    if not step.todos:
        return
    problems = untied(step, todos)
    for suite in STEPS if step == STEPS[-1] else [step]:
        own = of_suite(records, suite)
        problems += not_green(own)
        cell = (f"solution {step.number:02}", suite.number, str(len(own)))
        record_property("cell", cell)
    assert not problems, listed(problems)
