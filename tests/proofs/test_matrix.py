"""The matrix of apps and suites: what passes must pass, and what fails must fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proofs.partway import write_partway
from tests.proofs.running import (
    FOLDER,
    REPOSITORY,
    STEPS,
    listed,
    not_green,
    not_red,
    of_suite,
    run_suites,
)
from workshop.core.steps import Step, Todo

# After its last TODO a step is its solution, which the lesson's own check tests.
STAGES = [(step, todo) for step in STEPS for todo in step.todos[:-1]]

Property = Callable[[str, object], None]


@pytest.mark.parametrize("step", STEPS[::-1], ids=lambda step: step.name)
def test_starter(
    step: Step, record_property: Property, request: pytest.FixtureRequest
) -> None:
    """A starter passes the earlier suites, and each test of its own suite fails.

    All earlier suites are run on the last starter, and on the starter of `verify N`. In
    a run of everything, the others get the suite of the step before, and then every
    third one: a change that breaks a suite is seen within three steps, in half the
    time.
    """
    suites = [s for s in STEPS if s.number <= step.number]
    if step != STEPS[-1] and not request.config.option.keyword:
        suites = [s for s in suites if s == step or (step.number - s.number) % 3 == 1]
    app = REPOSITORY.starter(step)
    records = run_suites(suites, app, f"starter-{step.number:02}").records
    problems = []
    for suite in suites:
        own = of_suite(records, suite)
        problems += not_red(own) if suite == step else not_green(own)
        text = "red" if suite == step else str(len(own))
        record_property("cell", (f"starter {step.number:02}", suite.number, text))
    assert not problems, listed(problems)


@pytest.mark.parametrize(
    ("step", "todo"), STAGES, ids=[f"{s.number:02}/{t.id}" for s, t in STAGES]
)
def test_after_todo(step: Step, todo: Todo) -> None:
    """The tests of a TODO pass as soon as it is done, after the ones before it."""
    app: Path = FOLDER / "partway" / todo.id
    write_partway(REPOSITORY, step, todo.id, app)
    problems = not_green(
        run_suites([step], app, f"after-{todo.id}", todo=todo.id).records
    )
    assert not problems, listed(problems)
