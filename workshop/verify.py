"""``verify``: every test there is, and the matrix of apps and suites.

Solution N must pass the suites 1 to N. Starter N must pass 1 to N-1, and fail every
test of suite N by an assertion in the test itself: a starter that does not boot, or a
test that cannot fail, is found here. In between, the tests of each todo must pass as
soon as it is done, after those before it: nobody has to write on while all is red. And
each of the mistakes in tests/mistakes must be caught, in words (see mistakes.py). Each
lesson is carried out, as its reader would (see tests/lessons): as the app is solution N
in the end, the lesson's ``check N`` makes that row of the matrix.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from workshop import chain, evenness, mistakes, processes
from workshop.mistakes import Mistake
from workshop.output import say
from workshop.steps import Repository, Step
from workshop.suites import Record, SuiteRun, read, suite_of

AT_ONCE = 4
"""Apps under test at the same time: more than two cores, as tests often wait."""
LOG_LINES = 15
REPORTS = "WORKSHOP_LESSON_REPORTS"
"""The variable that names the folder for the reports of a lesson's ``check``."""
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


@dataclass(frozen=True)
class Job:
    """A run of suites, and what is to be thought of it."""

    name: str
    start: Callable[[], SuiteRun]
    judge: Callable[[SuiteRun], None]


def verify(repository: Repository, console: Console) -> int:
    """Run everything, and end with a line ``N passed, N failed``.

    Returns: the exit status: 0 when everything is as it must be.
    Raises: KeyboardInterrupt at Ctrl+C, once every process is gone.
    """
    tally = Tally()
    rows = rows_of(repository.steps())
    wrong = mistakes.read(repository)
    cells: dict[tuple[str, str], str] = {}
    verdicts: dict[str, str] = {}
    jobs = all_jobs(repository, rows, wrong, tally, cells, verdicts)
    began = time.monotonic()
    with (
        processes.interrupted_by_termination(),
        closing(finished(jobs)) as runs,
    ):
        for job, run in runs:
            job.judge(run)
            say(console, f"{job.name}: {len(run.records)} tests, {since(run.began)}")
    say(console, f"All of it: {since(began)}\n")
    console.print(matrix_table(rows, cells))
    console.print(evenness_table(repository))
    if wrong:
        console.print(mistakes_table(wrong, verdicts))
    for deviation in tally.deviations:
        say(console, f"- {deviation}")
    if tally.deviations:
        say(
            console, "(verify is for an unedited copy: your own edits of steps/ count.)"
        )
    say(console, f"{tally.passed} passed, {len(tally.deviations)} failed")
    return 1 if tally.deviations or not tally.passed else 0


def all_jobs(
    repository: Repository,
    rows: list[Row],
    wrong: list[Mistake],
    tally: Tally,
    cells: dict[tuple[str, str], str],
    verdicts: dict[str, str],
) -> list[Job]:
    """Return every run there is, the longest first: so all of them are done soonest.

    Takes: ``cells`` and ``verdicts``, which get the texts of the two tables.
    """
    jobs = []
    # A later lesson takes longer.
    for step in reversed(repository.steps()):
        if lesson_of(repository, step).is_file():
            name = f"lesson {step.number:02}"
            start = partial(start_lesson, repository, step)
            row = next((r for r in rows if r.solution and r.step == step), None)
            judge = partial(judge_lesson, repository, step, row)
            judge = partial(judge, tally=tally, cells=cells)
            jobs.append(Job(name, start, judge))
    for path in sorted((repository.root / "tests" / "workshop").glob("test_*.py")):
        name = f"unit {path.stem}"
        start = partial(start_unit_tests, repository, path)
        jobs.append(Job(name, start, partial(judge_unit_tests, name, tally=tally)))
    for row in rows:
        if not (row.solution and lesson_of(repository, row.step).is_file()):
            judge = partial(judge_row, row, tally=tally, cells=cells)
            jobs.append(Job(row.name, partial(start_row, repository, row), judge))
    for step in repository.steps():
        # After the last todo, it is the solution.
        for todo in step.todos[:-1]:
            name = f"after TODO {todo.id}"
            start = partial(start_stage, repository, step, todo.id)
            jobs.append(Job(name, start, partial(judge_stage, name, tally=tally)))
    for mistake in wrong:
        name = f"mistake {mistake.full_name}"
        start = partial(start_mistake, repository, mistake)
        judge = partial(judge_mistake, mistake, tally=tally, verdicts=verdicts)
        jobs.append(Job(name, start, judge))
    return jobs


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


def start_unit_tests(repository: Repository, path: Path) -> SuiteRun:
    """Start the runner's own tests, which check the chain and the lessons too."""
    return SuiteRun(repository, [path], None, f"verify-unit-{path.stem}")


def lesson_of(repository: Repository, step: Step) -> Path:
    """Return the file of a step's lesson."""
    return repository.starter(step) / "README.md"


def reports_of(repository: Repository, step: Step) -> Path:
    """Return the folder for the reports of the ``check`` in a step's lesson."""
    return repository.state / f"verify-lesson-{step.number:02}"


def start_lesson(repository: Repository, step: Step) -> SuiteRun:
    """Start what carries out a lesson, as its reader would."""
    reports = reports_of(repository, step)
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    return SuiteRun(
        repository,
        [repository.root / "tests" / "lessons"],
        None,
        reports.name,
        keyword=step.name,
        env={REPORTS: str(reports)},
    )


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


def start_mistake(repository: Repository, mistake: Mistake) -> SuiteRun:
    """Start the tests that must catch a mistake."""
    name = mistake.full_name.replace(" ", "-")
    folder = repository.state / "mistakes" / name
    mistake.write(repository, folder)
    suite = repository.suite(mistake.step)
    return SuiteRun(
        repository,
        [suite],
        folder,
        f"verify-mistake-{name}",
        mistake.todo,
        first_failure=True,
    )


def finished(jobs: Sequence[Job]) -> Generator[tuple[Job, SuiteRun], None, None]:
    """Run jobs, some at once, and yield each that has ended with its run.

    When it is left early, by Ctrl+C for one, it ends those that are running.
    """
    waiting = list(jobs)
    running: list[tuple[Job, SuiteRun]] = []
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                job = waiting.pop(0)
                running.append((job, job.start()))
            time.sleep(POLL)
            for job, run in [pair for pair in running if pair[1].status is not None]:
                run.poll()
                run.stop()
                running.remove((job, run))
                yield job, run
    finally:
        for _, run in running:
            run.stop()


def judge_unit_tests(name: str, run: SuiteRun, tally: Tally) -> None:
    """Count some unit tests: all must have passed."""
    for record in run.records:
        tally.expect(None if record.passed else f"{record.nodeid}:\n{record.message}")
    if broken := run.broken():
        tally.expect(f"{name}: {broken}; pytest said:\n{end_of_log(run)}")


def judge_stage(name: str, run: SuiteRun, tally: Tally) -> None:
    """Count the tests of a todo that is done, or of a lesson: all must have passed."""
    for record in run.records:
        problem = f"{name}: {record.nodeid} must pass, but:\n{record.message}"
        tally.expect(None if record.passed else problem)
    if broken := run.broken():
        tally.expect(f"{name}: {broken}; pytest said:\n{end_of_log(run)}")


def judge_lesson(
    repository: Repository,
    step: Step,
    row: Row | None,
    run: SuiteRun,
    tally: Tally,
    cells: dict[tuple[str, str], str],
) -> None:
    """Count a lesson and, once it has come to its end, the row of its ``check``.

    Takes: ``row``, None for a lesson that has no check; ``cells``, which gets the row's
    texts, by row and suite.
    """
    judge_stage(f"lesson {step.number:02}", run, tally)
    if row is None:
        return
    if run.status:
        cells |= {(row.name, suite.name): "lesson failed" for suite in row.suites}
    else:
        reports = sorted(reports_of(repository, step).glob("*.jsonl"))
        records, todos = read(b"".join(path.read_bytes() for path in reports))
        count_row(row, records, todos, tally, cells)


def judge_mistake(
    mistake: Mistake, run: SuiteRun, tally: Tally, verdicts: dict[str, str]
) -> None:
    """Count a mistake: a test must have failed with a message that has its words.

    Takes: ``verdicts``, which gets what became of it, by its name.
    """
    name = f"mistake {mistake.full_name} ({mistake.title})"
    failed = [record for record in run.records if not record.passed]
    message = failed[0].message if failed else ""
    missing = [words for words in mistake.words if words not in message]
    problem, verdict = None, f"caught by {mistake.todo}"
    if broken := run.broken():
        problem = f"{name}: {broken}; pytest said:\n{end_of_log(run)}"
        verdict = "the run broke"
    elif mistake.right:
        if failed:
            problem = f"{name} is a right answer, but:\n{message}"
        verdict = "red, but right" if failed else "right, and green"
    elif not failed:
        problem = f"{name}: no test of TODO {mistake.todo} fails."
        verdict = "not caught"
    elif not failed[0].assertion:  # In the setup, too: an app may not come up.
        problem = f"{name}: no assertion has caught it, but this:\n{message}"
        verdict = "no assertion"
    elif missing:
        problem = f"{name}: the message does not say {missing[0]!r}:\n{message}"
        verdict = "not named"
    tally.expect(problem)
    verdicts[mistake.full_name] = verdict


def judge_row(
    row: Row, run: SuiteRun, tally: Tally, cells: dict[tuple[str, str], str]
) -> None:
    """Count one row that had a run of its own.

    Takes: ``cells``, which gets the row's texts, by row and suite.
    """
    if broken := run.broken():
        tally.expect(f"{row.name}: {broken}; pytest said:\n{end_of_log(run)}")
    count_row(row, run.records, run.todos, tally, cells)


def count_row(
    row: Row,
    records: list[Record],
    todos: dict[str, str | None],
    tally: Tally,
    cells: dict[tuple[str, str], str],
) -> None:
    """Count one row: for each of its tests, whether it ended as it must.

    Takes: ``todos``, the todo of each test; ``cells``, which gets the row's texts, by
    row and suite.
    """
    for step in row.suites:
        suite = step.name
        own = [record for record in records if record.suite == suite]
        must_fail = row.must_fail(suite)
        right = [tally.expect(deviation(row, r, must_fail)) for r in own].count(True)
        wrong = len(own) - right
        text = f"{right} red as meant" if must_fail else f"{right} ok"
        if not own:
            tally.expect(f"{row.name}: not one test of tests/{suite} ran")
            text = "no test ran"
        elif wrong:
            text = f"{wrong} of {len(own)} wrong"
        cells[row.name, suite] = text
        if suite == row.step.name and row.solution:
            for problem in untied(step, todos):
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


def mistakes_table(wrong: list[Mistake], verdicts: dict[str, str]) -> Table:
    """Return what became of each mistake."""
    table = Table("mistake", "what is wrong", "")
    for mistake in wrong:
        name = mistake.full_name
        table.add_row(name, mistake.title, verdicts.get(name, ""))
    return table


def evenness_table(repository: Repository) -> Table:
    """Return how many lines a learner writes, and reads, in each step."""
    table = Table("step", "lines to write", "lines to read")
    to_read = evenness.reading(repository)
    for name, count in evenness.table(repository).items():
        table.add_row(name, str(count), str(to_read[name]))
    return table


def since(began: float) -> str:
    """Return how long ago a moment of ``time.monotonic`` was."""
    return f"{time.monotonic() - began:.1f} s"
