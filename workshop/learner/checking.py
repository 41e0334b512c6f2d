"""``check N``: the suites of a step, with a line for each TODO when it is decided."""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from workshop.core import apps, processes, results
from workshop.core.errors import WorkshopError
from workshop.core.output import console, say
from workshop.core.results import Result
from workshop.core.steps import Repository, Step
from workshop.core.suites import Record, SuiteRun, suite_of

POLL = 0.05
"""Seconds between two looks at the reports of the tests."""
GRACE = 1.0
"""Seconds that interrupted tests may take to end their servers."""
FILE = re.compile(r"check-\d\d-(\d+)-.*")
"""The name of a file that a check writes; group 1 is the pid of the check."""


def check(repository: Repository, step: Step, todo: str | None = None) -> int:
    """Test the learner's app of a step, and print the outcome.

    Args:
        repository: The workshop.
        step: The step.
        todo: The id of the only TODO to test, or None for the whole step.

    Returns:
        The exit status, which is 0 if everything is green.

    Raises:
        WorkshopError: A file of the app is missing, or there is no such TODO.
        KeyboardInterrupt: The user pressed Ctrl+C. No process is left then.
    """
    apps.require_files(repository, step)
    if todo is not None and todo not in (ids := [t.id for t in step.todos]):
        raise WorkshopError(
            f"{todo} isn't a TODO of step {step.number:02}. It has: {', '.join(ids)}."
        )
    with processes.interrupted_by_termination():
        checkup = Checkup(repository, step, todo)
        checkup.run()
    if not checkup.result.green:
        return 1
    if todo:
        say(console(), f"The whole step: python3 -m workshop check {step.number}")
    else:
        say(console(), what_is_next(repository, step))
    return 0


def what_is_next(repository: Repository, step: Step) -> str:
    """Return what to do once a step is green."""
    steps = repository.steps()
    if step.number + 1 == len(steps):
        return "That was the last step. Next: python3 -m workshop demo"
    return f"Next: read steps/{steps[step.number + 1].name}/README.md"


class Checkup:
    """The tests of a step, and of all steps before it, on one app.

    What gets a line of its own is called a group here: a TODO of the step, known by its
    id, or an earlier suite, known by its name.
    """

    def __init__(
        self, repository: Repository, step: Step, todo: str | None = None
    ) -> None:
        """Take what `check` takes."""
        self._repository = repository
        self._step = step
        self._app = repository.starter(step)
        self._todo = todo
        self.fingerprint = results.fingerprint(self._app)
        self._titles = {t.id: t.title for t in step.todos if todo in (None, t.id)}
        self._earlier = [] if todo else repository.steps()[1 : step.number]
        self._before = None if todo else results.load(repository, step)
        self._began = time.monotonic()
        self._runs: list[SuiteRun] = []
        self._ended: set[str] = set()
        """The tests that have ended."""
        self._red: dict[str, list[Record]] = defaultdict(list)
        """The failures of each group."""
        self._decided: set[str] = set()
        """The groups of which every test has ended."""

    def run(self, overtaken: Callable[[], bool] = lambda: False) -> bool:
        """Run the tests, print what they find, and remember the result.

        On a terminal, the last line shows which test is running and how many are left.

        Args:
            overtaken: Called again and again. If it returns True, the tests end.

        Returns:
            Whether the tests have run to the end.
        """
        out = console()
        say(out, f"Checking {self._app.relative_to(self._repository.root).as_posix()}")
        try:
            self._start()
            with out.status("Waiting for the tests") as status:
                # The lines come one run after the other, the step's own first.
                for run in self._runs:
                    ended = False
                    taken = 0
                    while not ended:
                        ended = run.wait(POLL)
                        for each in self._runs:
                            each.poll()
                        for record in run.records[taken:]:
                            self._take(record, run, out)
                        taken = len(run.records)
                        status.update(escape(self._at_work()))
                        if overtaken():
                            return False
        finally:
            processes.stop_all([run.process for run in self._runs], GRACE)
        for todo in self._titles:
            if todo not in self._decided:
                say_line(out, True, f"{todo} not decided, because its tests didn't run")
        if not self._todo:
            results.save(self._repository, self._step, self.result)
        for failure in self._failures[:1]:
            say(out, f"\n{failure.message}")
        say(out, f"\n{self._summary(self.result)}")
        return True

    def _start(self) -> None:
        """Start up to three processes, because tests mostly wait."""
        remove_old_files(self._repository)
        half = len(self._earlier) // 2
        parts = [[self._step], self._earlier[:half], self._earlier[half:]]
        for number, part in enumerate(part for part in parts if part):
            run = SuiteRun(
                self._repository,
                [self._repository.suite(step) for step in part],
                self._app,
                f"check-{self._step.number:02}-{os.getpid()}-{number}",
                todo=self._todo,
                first=results.red_todo(self._repository, self._step),
            )
            self._runs.append(run)

    def _at_work(self) -> str:
        """Return which test is running, and how many are left."""
        ended = {record.nodeid for run in self._runs for record in run.records}
        left = [test for run in self._runs for test in run.todos if test not in ended]
        if not left:
            return "Waiting for the tests"
        return f"{left[0].rpartition('::')[2]} ({len(left)} left)"

    def _take(self, record: Record, run: SuiteRun, out: Console) -> None:
        """Take in the record of a test; print its group if that is decided now."""

        def group_of(test: str, todo: str | None) -> str:
            suite = suite_of(test)
            return todo or suite if suite == self._step.name else suite

        group = group_of(record.nodeid, record.todo)
        self._ended.add(record.nodeid)
        if not record.passed:
            self._red[group].append(record)
        left = [pair for pair in run.todos.items() if pair[0] not in self._ended]
        open_groups = {group_of(*pair) for pair in left}
        if group not in open_groups | self._decided:
            self._decided.add(group)
            say_line(out, bool(self._red[group]), self._line(group))

    def _line(self, group: str) -> str:
        """Return the line of a group, with its former state if that was another."""
        red = self._red[group]
        line = f"{group} {self._titles.get(group, '')}".rstrip()
        if group in {step.name for step in self._earlier}:
            todos = sorted({record.todo or record.nodeid for record in red})
            line += f": {', '.join(todos)}" if red else ", as before"
        if before := self._before:
            was_red = group in (*before.red_todos, *before.red_suites)
            if was_red != bool(red):
                line += f" (it was {'red' if was_red else 'green'})"
        return line

    @property
    def _failures(self) -> list[Record]:
        """All failures, those of the step first, in the order of its TODOs."""
        names = [name for name in self._red if name not in self._titles]
        return [
            record for name in (*self._titles, *names) for record in self._red[name]
        ]

    @property
    def _broken(self) -> SuiteRun | None:
        """The first run whose results can't be trusted, if there is one."""
        return next((run for run in self._runs if run.broken()), None)

    @property
    def result(self) -> Result:
        """What the tests have found, after their end."""
        red = [t for t in self._titles if self._red[t] or t not in self._decided]
        suites = [step.name for step in self._earlier if self._red[step.name]]
        green = not (self._broken or self._failures or red)
        return Result(self.fingerprint, green, tuple(red), tuple(suites))

    def _summary(self, result: Result) -> str:
        """Return one or two lines that sum up the tests."""
        seconds = f"{time.monotonic() - self._began:.1f} s"
        if broken := self._broken:
            return (
                f"The tests did not run to the end: {broken.broken()}.\n"
                f"What pytest printed is in {broken.log}"
            )
        if result.green:
            total = sum(len(run.records) for run in self._runs)
            tests = "test" if total == 1 else "tests"
            return f"Green: {total} {tests} passed ({seconds})."
        total = len(self._titles)
        before = ", but an earlier step is red" if result.red_suites else ""
        green = f"{total - len(result.red_todos)} of {total} TODOs are green{before}"
        return f"Red: {green} ({seconds})."


def say_line(out: Console, red: bool, text: str) -> None:
    """Print the line of a group."""
    word, style = ("red", "red") if red else ("ok", "green")
    # In one call, because the status line would swallow half a line.
    out.print(Text.assemble((f"{word:<4}", style), text), soft_wrap=True)


def remove_old_files(repository: Repository) -> None:
    """Remove the files of earlier checks, but not those of checks that still run."""
    import psutil

    for path in repository.state.glob("check-*"):
        name = FILE.fullmatch(path.name)
        if name is None or not psutil.pid_exists(int(name[1])):
            with suppress(OSError):  # another check may just have removed it
                path.unlink()
