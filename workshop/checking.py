"""``check N``: the suites of a step, with a line for each todo as it is decided."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import ExitStack

from rich.console import Console
from rich.text import Text

from workshop import processes, results
from workshop.errors import WorkshopError
from workshop.output import say
from workshop.results import Result
from workshop.steps import Repository, Step
from workshop.suites import Record, SuiteRun, suite_of

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
    if not step.todos:
        raise WorkshopError(
            f"Step {step.number} has nothing to check: read "
            f"{repository.starter(step).relative_to(repository.root) / 'README.md'} "
            f"and type python3 -m workshop run {step.number}"
        )
    app = repository.solution(step) if solution else repository.starter(step)
    earlier = [s for s in repository.steps() if 0 < s.number < step.number]
    fingerprint = results.fingerprint(app)
    began = time.monotonic()
    console.print(f"Checking {app.relative_to(repository.root).as_posix()}")
    board = Board(step, earlier, console)
    name = f"check-{step.number:02}"
    half = len(earlier) // 2
    # All at the same time: most of what tests do is wait.
    groups = [group for group in ([step], earlier[:half], earlier[half:]) if group]
    runs: list[SuiteRun] = []
    with processes.interrupted_by_termination(), ExitStack() as stack:
        for number, group in enumerate(groups):
            suites = [repository.suite(s) for s in group]
            runs.append(SuiteRun(repository, suites, app, f"{name}-{number}"))
            stack.callback(runs[-1].stop)
        with console.status("starting the app"):
            for run in runs:
                follow(run, board)
    broken = next((run for run in runs if run.broken()), None)
    board.finish()
    records = [record for run in runs for record in run.records]
    failures = [record for record in records if not record.passed]
    if not solution:
        outcome = Result(
            fingerprint=fingerprint,
            green=not broken and not failures and not board.untested,
            red_todos=tuple(t.id for t in step.todos if t.id not in board.green),
            red_suites=tuple(board.red_suites()),
        )
        results.save(repository, step, outcome)
    for failure in failures if everything else failures[:1]:
        say(console, "")
        say(console, failure.message)
    say(console, "")
    if broken:
        say(console, f"The checks did not come to their end: {broken.broken()}.")
        say(console, f"What pytest printed is in {broken.log}")
        return 1
    seconds = f"{time.monotonic() - began:.1f} s"
    if failures or board.untested:
        total = len(step.todos)
        before = ", but an earlier step is red" if board.red_suites() else ""
        green = f"{len(board.green)} of {total} TODOs are green{before}"
        say(console, f"Red: {green} ({seconds}).")
        if len(failures) > 1 and not everything:
            others = len(failures) - 1
            say(console, f"{others} more failed; to read them too, add --all")
        return 1
    say(console, f"Green: {len(records)} tests passed ({seconds}).")
    if not solution:
        say(console, what_is_next(repository, step))
    return 0


def follow(run: SuiteRun, board: Board) -> None:
    """Show the records of a run on the board, as they come, until it has ended."""
    ended = False
    while not ended:
        ended = run.wait(POLL)
        records = run.poll()
        board.expect(run.todos)
        for record in records:
            board.show(record)


def what_is_next(repository: Repository, step: Step) -> str:
    """Return what to do once a step is green."""
    steps = repository.steps()
    if step.number + 1 == len(steps):
        return "That was the last step. Next: python3 -m workshop demo"
    after = steps[step.number + 1]
    return f"Next: read steps/{after.name}/README.md"


class Board:
    """The lines that ``check`` prints while the tests run."""

    def __init__(self, step: Step, earlier: list[Step], console: Console) -> None:
        """Takes: ``step``, the one checked, and those before it."""
        self._step = step
        self._earlier = earlier
        self._console = console
        self._waiting: dict[str, str] = {}
        """The group of each test that has not ended: a todo's id, or a suite."""
        self._red: dict[str, list[Record]] = defaultdict(list)
        self._titles = {todo.id: f"{todo.id} {todo.title}" for todo in step.todos}
        self._titles |= {s.name: f"{s.name}, as before" for s in earlier}
        self._expected: set[str] = set()
        self._decided: set[str] = set()

    @property
    def green(self) -> list[str]:
        """The ids of this step's todos of which every test ran and passed."""
        ids = [todo.id for todo in self._step.todos]
        return [i for i in ids if i in self._decided and not self._red[i]]

    @property
    def untested(self) -> list[str]:
        """The ids of this step's todos for which no test ran to its end."""
        return [t.id for t in self._step.todos if t.id not in self._decided]

    def red_suites(self) -> list[str]:
        """Return the names of the earlier suites that are red."""
        return [s.name for s in self._earlier if self._red[s.name]]

    def expect(self, todos: dict[str, str | None]) -> None:
        """Learn which tests will run, beside those that are known already."""
        for test in todos.keys() - self._expected:
            self._waiting[test] = self._group(suite_of(test), todos[test])
        self._expected |= todos.keys()

    def show(self, record: Record) -> None:
        """Take in a test's end; print its group's line if it was the last of it."""
        group = self._group(record.suite, record.todo)
        self._waiting.pop(record.nodeid, None)
        if not record.passed:
            self._red[group].append(record)
        if group not in self._waiting.values():
            self._decided.add(group)
            self._line(group)

    def finish(self) -> None:
        """Print a red line for each todo that no test decided."""
        for todo_id in self.untested:
            self._print("red", "red", f"{todo_id} not decided: its tests did not run")

    def _group(self, suite: str, todo: str | None) -> str:
        if suite != self._step.name:
            return suite
        return todo or suite

    def _line(self, group: str) -> None:
        red = self._red[group]
        title = self._titles.get(group, group)
        if red and group in {s.name for s in self._earlier}:
            todos = sorted({record.todo or record.title for record in red})
            title = f"{group}: {', '.join(todos)}"
        if red:
            self._print("red", "red", title)
        else:
            self._print("ok", "green", title)

    def _print(self, word: str, style: str, title: str) -> None:
        # In one call: a half line would be lost to the status line below.
        line = Text.assemble((f"{word:<4}", style), title)
        self._console.print(line, soft_wrap=True)
