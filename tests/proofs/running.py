"""Runs suites against an app, and says what is wrong with the results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.proofs.scene import PRELOAD, compile_all
from workshop.core.environment import ROOT
from workshop.core.steps import Repository, Step
from workshop.core.suites import Record, SuiteRun, suite_of

REPOSITORY = Repository(ROOT)
STEPS = [step for step in REPOSITORY.steps() if step.todos]
FOLDER = REPOSITORY.state / "proofs"
"""Where the apps, the logs and the reports go."""
LOG_LINES = 15


def run_suites(
    suites: Sequence[Step], app: Path, name: str, **options: Any
) -> SuiteRun:
    """Run suites to the end.

    Args:
        suites: The steps whose suites are run, in this order.
        app: The folder of the app.
        name: What the log and the report are called.
        options: More of `SuiteRun`.

    Returns:
        The run, with all of its records.

    Raises:
        AssertionError: pytest itself failed, so its results mean nothing.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    compile_all(app)
    folders = [REPOSITORY.suite(step) for step in suites]
    run = SuiteRun(
        REPOSITORY, folders, app, name, folder=FOLDER, env=PRELOAD, **options
    )
    try:
        run.process.wait()
    finally:
        run.stop()
    run.poll()
    assert run.broken() is None, f"{run.broken()}; pytest said:\n{end_of_log(run)}"
    return run


def end_of_log(run: SuiteRun) -> str:
    """Return the last lines that pytest printed, and the file that has the rest."""
    text = run.log.read_text(encoding="utf-8", errors="replace")
    return "\n".join([*text.splitlines()[-LOG_LINES:], f"(the rest is in {run.log})"])


def not_green(records: Iterable[Record]) -> list[str]:
    """Return each test that didn't pass, with its message."""
    return [f"{r.nodeid} must pass:\n{r.message}" for r in records if not r.passed]


def not_red(records: Iterable[Record]) -> list[str]:
    """Return each test that didn't fail by an assertion of its own.

    A test that passes before its TODO is done can't fail, and an error around the test
    says nothing about the TODO.
    """
    problems = []
    for r in records:
        if r.passed:
            problems.append(f"{r.nodeid} passes before TODO {r.todo} is done.")
        elif (r.outcome, r.assertion) != ("failed", True):
            problems.append(
                f"{r.nodeid} must fail by an assertion in the test, but it broke:\n"
                f"{r.message}"
            )
    return problems


def untied(step: Step, todos: dict[str, str | None]) -> list[str]:
    """Return the TODOs of a step that have no test, and tests without a TODO of it.

    Args:
        step: The step.
        todos: The TODO of each test that ran, by the test's id.
    """
    own = {test: todo for test, todo in todos.items() if suite_of(test) == step.name}
    ids = [todo.id for todo in step.todos]
    return [f"TODO {i} has no test." for i in ids if i not in own.values()] + [
        f"{test}: step {step.number} doesn't have its TODO, {todo}."
        for test, todo in own.items()
        if todo not in ids
    ]


def of_suite(records: Iterable[Record], step: Step) -> list[Record]:
    """Return the records of one suite, of which at least one test must have run."""
    found = [record for record in records if suite_of(record.nodeid) == step.name]
    assert found, f"Not one test of tests/{step.name} ran."
    return found


def listed(problems: Sequence[str]) -> str:
    """Return problems as a failed assert shows them."""
    return "\n" + "\n".join(problems)
