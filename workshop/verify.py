"""``verify``: every test there is, and the matrix of apps and suites.

Solution N must pass the suites 1 to N. Starter N must pass 1 to N-1, and fail every
test of suite N by an assertion in the test itself: a starter that does not boot, or a
test that cannot fail, is found here. In between, the tests of each todo must pass as
soon as it is done, after those before it: nobody has to write on while all is red.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.table import Table

from workshop import chain, evenness, processes
from workshop.output import say
from workshop.steps import Repository, Step
from workshop.suites import Record, SuiteRun, suite_of

AT_ONCE = 2
"""Apps under test at the same time."""
LOG_LINES = 15
POLL = 0.1
"""Seconds between two looks at the runs."""


@dataclass
class Tally:
    """What was expected, and how much of it came true."""

    passed: int = 0
    deviations: list[str] = field(default_factory=list)

    def expect(self, deviation: str | None) -> bool:
        """Count one expectation; return whether it came true.

        Takes: ``deviation``, what was otherwise, or None.
        """
        if deviation is None:
            self.passed += 1
        else:
            self.deviations.append(deviation)
        return deviation is None


@dataclass(frozen=True)
class Row:
    """One app of the matrix, which is run against the suites 1 to its own."""

    step: Step
    solution: bool
    suites: tuple[Step, ...]

    @property
    def name(self) -> str:
        """What the table calls it, such as "starter 02"."""
        return f"{'solution' if self.solution else 'starter'} {self.step.number:02}"

    def must_fail(self, suite: str) -> bool:
        """Tell whether every test of a suite has to fail with this app."""
        return not self.solution and suite == self.step.name


def verify(repository: Repository, console: Console) -> int:
    """Run everything, and end with a line ``N passed, N failed``.

    Returns: the exit status: 0 when everything is as it must be.
    Raises: KeyboardInterrupt at Ctrl+C, once every process is gone.
    """
    tally = Tally()
    rows = rows_of(repository.steps())
    stages = [(s, todo.id) for s in repository.steps() for todo in s.todos[:-1]]
    cells: dict[tuple[str, str], str] = {}
    jobs = [partial(start_unit_tests, repository)]
    jobs += [partial(start_row, repository, row) for row in rows]
    jobs += [partial(start_stage, repository, *stage) for stage in stages]
    began = time.monotonic()
    with (
        processes.interrupted_by_termination(),
        closing(finished(jobs)) as runs,
    ):
        for index, run in runs:
            if index == 0:
                name = "unit tests"
                judge_unit_tests(run, tally)
            elif index > len(rows):
                name = f"after TODO {stages[index - len(rows) - 1][1]}"
                judge_stage(name, run, tally)
            else:
                name = rows[index - 1].name
                judge_row(rows[index - 1], run, tally, cells)
            say(console, f"{name}: {len(run.records)} tests, {since(run.began)}")
    say(console, f"All of it: {since(began)}\n")
    console.print(matrix_table(rows, cells))
    console.print(evenness_table(repository))
    for deviation in tally.deviations:
        say(console, f"- {deviation}")
    if tally.deviations:
        say(
            console, "(verify is for an unedited copy: your own edits of steps/ count.)"
        )
    say(console, f"{tally.passed} passed, {len(tally.deviations)} failed")
    return 1 if tally.deviations or not tally.passed else 0


def rows_of(steps: list[Step]) -> list[Row]:
    """Return the matrix's rows: the solution and the starter of each step with todos.

    The longest come first: so two at a time are done soonest.
    """
    suites = [step for step in steps if step.todos]
    return [
        Row(step, solution, tuple(s for s in suites if s.number <= step.number))
        for step in reversed(suites)
        for solution in (True, False)
    ]


def start_unit_tests(repository: Repository) -> SuiteRun:
    """Start the runner's own tests, which check the chain and the lessons too."""
    folder = repository.root / "tests" / "workshop"
    return SuiteRun(repository, [folder], None, "verify-unit")


def start_row(repository: Repository, row: Row) -> SuiteRun:
    """Start the suites of one row."""
    app = repository.starter(row.step)
    if row.solution:
        app = repository.solution(row.step)
    suites = [repository.suite(step) for step in row.suites]
    return SuiteRun(repository, suites, app, f"verify-{row.name.replace(' ', '-')}")


def start_stage(repository: Repository, step: Step, todo_id: str) -> SuiteRun:
    """Start the tests of a todo, on an app in which it and those before it are done."""
    folder = repository.state / "partway" / todo_id
    chain.write_partway(repository, step, todo_id, folder)
    name = f"verify-after-{todo_id}"
    return SuiteRun(repository, [repository.suite(step)], folder, name, todo_id)


def finished(
    jobs: Sequence[Callable[[], SuiteRun]],
) -> Generator[tuple[int, SuiteRun], None, None]:
    """Run jobs, some at once, and yield each that has ended with its place in the list.

    When it is left early, by Ctrl+C for one, it ends those that are running.
    """
    waiting = list(enumerate(jobs))
    running: dict[int, SuiteRun] = {}
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                index, job = waiting.pop(0)
                running[index] = job()
            time.sleep(POLL)
            for index in [i for i, run in running.items() if run.status is not None]:
                run = running[index]
                run.poll()
                run.stop()
                del running[index]
                yield index, run
    finally:
        for run in running.values():
            run.stop()


def judge_unit_tests(run: SuiteRun, tally: Tally) -> None:
    """Count the unit tests: all must have passed."""
    for record in run.records:
        tally.expect(None if record.passed else f"{record.nodeid}:\n{record.message}")
    if broken := run.broken():
        tally.expect(f"unit tests: {broken}; pytest said:\n{end_of_log(run)}")


def judge_stage(name: str, run: SuiteRun, tally: Tally) -> None:
    """Count the tests of a todo that is done: all must have passed."""
    for record in run.records:
        problem = f"{name}: {record.nodeid} must pass, but:\n{record.message}"
        tally.expect(None if record.passed else problem)
    if broken := run.broken():
        tally.expect(f"{name}: {broken}; pytest said:\n{end_of_log(run)}")


def judge_row(
    row: Row, run: SuiteRun, tally: Tally, cells: dict[tuple[str, str], str]
) -> None:
    """Count one row: for each of its tests, whether it ended as it must.

    Takes: ``cells``, which gets the row's texts, by row and suite.
    """
    if broken := run.broken():
        tally.expect(f"{row.name}: {broken}; pytest said:\n{end_of_log(run)}")
    for step in row.suites:
        suite = step.name
        records = [record for record in run.records if record.suite == suite]
        must_fail = row.must_fail(suite)
        right = [tally.expect(deviation(row, r, must_fail)) for r in records].count(
            True
        )
        wrong = len(records) - right
        text = f"{right} red as meant" if must_fail else f"{right} ok"
        if not records:
            tally.expect(f"{row.name}: not one test of tests/{suite} ran")
            text = "no test ran"
        elif wrong:
            text = f"{wrong} of {len(records)} wrong"
        cells[row.name, suite] = text
        if suite == row.step.name and row.solution:
            for problem in untied(step, run.todos):
                tally.expect(problem)


def end_of_log(run: SuiteRun) -> str:
    """Return the last of what pytest printed, and where the rest is."""
    text = run.log.read_text(encoding="utf-8", errors="replace")
    return "\n".join([*text.splitlines()[-LOG_LINES:], f"(all of it is in {run.log})"])


def deviation(row: Row, record: Record, must_fail: bool) -> str | None:
    """Tell how a test did not end as it must; None when it did."""
    test = f"{row.name}: {record.nodeid} (TODO {record.todo})"
    if not must_fail:
        return None if record.passed else f"{test} must pass, but:\n{record.message}"
    if record.passed:
        return f"{test} passed; it must fail until the TODO is done."
    if record.outcome == "failed" and record.phase == "call" and record.assertion:
        return None
    return (
        f"{test} must fail by an assertion in the test, but broke in its "
        f"{record.phase}:\n{record.message}"
    )


def untied(step: Step, todos: dict[str, str | None]) -> list[str]:
    """Tell which todos have no test, and which tests no todo of their step."""
    own = {test: todo for test, todo in todos.items() if suite_of(test) == step.name}
    ids = [todo.id for todo in step.todos]
    return [f"TODO {i} has no test" for i in ids if i not in own.values()] + [
        f"{test}: its TODO is {todo}, which step {step.number} does not have"
        for test, todo in own.items()
        if todo not in ids
    ]


def matrix_table(rows: list[Row], cells: dict[tuple[str, str], str]) -> Table:
    """Return the matrix: a row for each app, a column for each suite."""
    ordered = sorted(rows, key=lambda row: (not row.solution, row.step.number))
    suites = [row.step for row in ordered if row.solution]
    table = Table("app", *(f"suite {step.number:02}" for step in suites))
    for row in ordered:
        table.add_row(row.name, *(cells.get((row.name, s.name), "") for s in suites))
    return table


def evenness_table(repository: Repository) -> Table:
    """Return how many lines a learner writes in each step."""
    table = Table("step", "lines to write")
    for name, count in evenness.table(repository).items():
        table.add_row(name, str(count))
    return table


def since(began: float) -> str:
    """Return how long ago a moment of ``time.monotonic`` was."""
    return f"{time.monotonic() - began:.1f} s"
