"""``check N``: the suites of a step, with a line for each todo as it is decided."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from workshop.core import processes, results
from workshop.core.errors import WorkshopError
from workshop.core.output import say
from workshop.core.results import Result
from workshop.core.steps import Repository, Step
from workshop.core.suites import GRACE, Record, SuiteRun, stop_all, suite_of

POLL = 0.05
"""Seconds between two looks at the report."""


def check(
    repository: Repository,
    step: Step,
    console: Console,
    solution: bool = False,
    everything: bool = False,
) -> int:
    """Run a step's suite, then those of the steps before it, and tell how it went.

    Takes: ``solution``, to check the solution in place of the learner's app;
    ``everything``, to print what every failure says, and not only the first.
    Returns: the exit status: 0 when all is green.
    Raises: WorkshopError for a step that has no suite; KeyboardInterrupt at Ctrl+C,
    once every process is gone.
    """
    require_todos(repository, step)
    app = repository.solution(step) if solution else repository.starter(step)
    console.print(f"Checking {app.relative_to(repository.root).as_posix()}")
    with processes.interrupted_by_termination():
        checkup = Checkup(repository, step, app, f"check-{step.number:02}")
        verdicts = checkup.verdicts
        try:
            with console.status("starting the app"):
                while not checkup.ended:
                    for group in checkup.poll(POLL):
                        print_line(
                            console, verdicts.is_red(group), verdicts.line(group)
                        )
        finally:
            checkup.stop()
    for todo_id in verdicts.untested:
        print_line(console, True, f"{todo_id} not decided: its tests did not run")
    if not solution:
        results.save(repository, step, checkup.result())
    for failure in verdicts.failures if everything else verdicts.failures[:1]:
        say(console, "")
        say(console, failure.message)
    say(console, "")
    say(console, checkup.summary())
    others = len(verdicts.failures) - 1
    if not checkup.broken and others > 0 and not everything:
        say(console, f"{others} more failed; to read them too, add --all")
    if checkup.green and not solution:
        say(console, what_is_next(repository, step))
    return 0 if checkup.green else 1


def print_line(console: Console, red: bool, text: str) -> None:
    """Print a line of the report."""
    word, style = ("red", "red") if red else ("ok", "green")
    # In one call: a half line would be lost to the status line below.
    console.print(Text.assemble((f"{word:<4}", style), text), soft_wrap=True)


def require_todos(repository: Repository, step: Step) -> None:
    """Make sure that a step can be checked; raises WorkshopError, with what to do."""
    if not step.todos:
        raise WorkshopError(
            f"Step {step.number} has nothing to check: read "
            f"{repository.starter(step).relative_to(repository.root) / 'README.md'} "
            f"and type python3 -m workshop run {step.number}"
        )
    for todo in step.todos:
        if not (repository.starter(step) / todo.file).is_file():
            raise WorkshopError(
                f"steps/{step.name}/{todo.file} is missing. To have the step as it was "
                f"at the start: python3 -m workshop reset {step.number}\n"
                "(That keeps a copy of what is there.)"
            )


def what_is_next(repository: Repository, step: Step) -> str:
    """Return what to do once a step is green."""
    steps = repository.steps()
    if step.number + 1 == len(steps):
        return "That was the last step. Next: python3 -m workshop demo"
    after = steps[step.number + 1]
    return f"Next: read steps/{after.name}/README.md"


class Checkup:
    """A step's suite, and those before it, run against an app; ``stop`` ends it."""

    def __init__(
        self,
        repository: Repository,
        step: Step,
        app: Path,
        name: str,
        first: str | None = None,
    ) -> None:
        """Start the tests: all suites at the same time, as most of it is waiting.

        Takes: ``app``, the folder of the app; ``name``, which the logs get; ``first``,
        the id of the todo whose tests are to come first: the earlier suites then wait
        until it is decided.
        """
        earlier = [s for s in repository.steps() if 0 < s.number < step.number]
        half = len(earlier) // 2
        groups = [group for group in ([step], earlier[:half], earlier[half:]) if group]
        self.fingerprint = results.fingerprint(app)
        """Of the app's files as they were at the start."""
        self.verdicts = Verdicts(step, earlier)
        self._repository = repository
        self._step = step
        self._app = app
        self._name = name
        self._first = first
        self._began = time.monotonic()
        self._runs: list[SuiteRun] = []
        self._taken = 0
        """How many runs have ended and were taken in."""
        self._waiting = groups
        self._start(1 if first else len(groups))

    def _start(self, count: int) -> None:
        """Start a pytest for each of the next groups of suites."""
        try:
            for group in self._waiting[:count]:
                suites = [self._repository.suite(step) for step in group]
                name = f"{self._name}-{len(self._runs)}"
                first = None if self._runs else self._first
                self._runs.append(
                    SuiteRun(self._repository, suites, self._app, name, first=first)
                )
        except BaseException:
            self.stop()
            raise
        del self._waiting[:count]

    @property
    def ended(self) -> bool:
        """Whether all the tests have ended, and what they said was taken in."""
        return self._taken == len(self._runs) and not self._waiting

    def poll(self, seconds: float) -> list[str]:
        """Take in what was reported since the last call, one run after the other.

        Takes: ``seconds``, how long to wait when nothing ends.
        Returns: what was decided by it: ids of todos, and names of earlier suites.
        """
        run = self._runs[self._taken]
        ended = run.wait(seconds)
        records = run.poll()
        self.verdicts.expect(run.todos)
        decided = [self.verdicts.take(record) for record in records]
        if self._waiting and (ended or self._first in self.verdicts.decided):
            self._start(len(self._waiting))
        self._taken += ended
        return [group for group in decided if group]

    def stop(self, grace: float = GRACE) -> None:
        """End all that still runs, and wait until it is gone (``grace``: seconds)."""
        stop_all(self._runs, grace)

    @property
    def broken(self) -> SuiteRun | None:
        """The first run, after the end, whose results are not to be believed."""
        return next((run for run in self._runs if run.broken()), None)

    @property
    def green(self) -> bool:
        """Whether, after the end, all is as it must be."""
        verdicts = self.verdicts
        return not (self.broken or verdicts.failures or verdicts.untested)

    def result(self) -> Result:
        """Return what is to be remembered, after the end."""
        green = self.verdicts.green
        return Result(
            fingerprint=self.fingerprint,
            green=self.green,
            red_todos=tuple(t.id for t in self._step.todos if t.id not in green),
            red_suites=tuple(self.verdicts.red_suites),
        )

    def summary(self) -> str:
        """Return how it went, after the end, in one or two lines."""
        if broken := self.broken:
            return (
                f"The checks did not come to their end: {broken.broken()}.\n"
                f"What pytest printed is in {broken.log}"
            )
        seconds = f"{time.monotonic() - self._began:.1f} s"
        if self.green:
            total = sum(len(run.records) for run in self._runs)
            return f"Green: {total} tests passed ({seconds})."
        total = len(self._step.todos)
        before = ", but an earlier step is red" if self.verdicts.red_suites else ""
        green = f"{len(self.verdicts.green)} of {total} TODOs are green{before}"
        return f"Red: {green} ({seconds})."


class Verdicts:
    """What is known of each todo of a step, and of each suite before it.

    A group is either of them: the id of a todo, or the name of an earlier suite.
    """

    def __init__(self, step: Step, earlier: list[Step]) -> None:
        """Takes: ``step``, the one checked, and those before it."""
        self._step = step
        self._earlier = earlier
        self._waiting: dict[str, str] = {}
        """The group of each test that has not ended."""
        self._red: dict[str, list[Record]] = defaultdict(list)
        self._titles = {todo.id: f"{todo.id} {todo.title}" for todo in step.todos}
        self._titles |= {s.name: f"{s.name}, as before" for s in earlier}
        self._expected: set[str] = set()
        self.decided: set[str] = set()
        """The groups of which every test has ended."""

    @property
    def green(self) -> list[str]:
        """The ids of this step's todos of which every test ran and passed."""
        ids = [todo.id for todo in self._step.todos]
        return [i for i in ids if i in self.decided and not self._red[i]]

    @property
    def untested(self) -> list[str]:
        """The ids of this step's todos for which no test ran to its end."""
        return [t.id for t in self._step.todos if t.id not in self.decided]

    @property
    def red_suites(self) -> list[str]:
        """The names of the earlier suites that are red."""
        return [s.name for s in self._earlier if self._red[s.name]]

    @property
    def failures(self) -> list[Record]:
        """The tests that failed, in the order of the todos; the earlier suites last."""
        groups = [todo.id for todo in self._step.todos]
        groups += [name for name in self._red if name not in groups]
        return [record for group in groups for record in self._red[group]]

    def is_red(self, group: str) -> bool:
        """Tell whether a test of a group has failed."""
        return bool(self._red[group])

    def expect(self, todos: dict[str, str | None]) -> None:
        """Learn which tests will run, beside those that are known already."""
        for test in todos.keys() - self._expected:
            self._waiting[test] = self._group(suite_of(test), todos[test])
        self._expected |= todos.keys()

    def take(self, record: Record) -> str | None:
        """Take in a test's end; return its group if it was the last of it."""
        group = self._group(record.suite, record.todo)
        self._waiting.pop(record.nodeid, None)
        if not record.passed:
            self._red[group].append(record)
        if group in self._waiting.values():
            return None
        self.decided.add(group)
        return group

    def line(self, group: str) -> str:
        """Return what a group is called; with its red todos, if it is a suite."""
        red = self._red[group]
        if red and group in {s.name for s in self._earlier}:
            todos = sorted({record.todo or record.title for record in red})
            return f"{group}: {', '.join(todos)}"
        return self._titles.get(group, group)

    def _group(self, suite: str, todo: str | None) -> str:
        if suite != self._step.name:
            return suite
        return todo or suite
