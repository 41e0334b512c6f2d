"""`grade DIR...`: runs our tests against copies that people hand in.

The code of a copy runs in processes of its own, below a pytest for each step. So a
copy that crashes, hangs or can't be read costs its own cells, and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from rich.console import Console

from workshop.core import apps, processes, starters
from workshop.core.environment import INTERRUPTED
from workshop.core.errors import WorkshopError
from workshop.core.files import write_all
from workshop.core.output import say
from workshop.core.pace import Watch
from workshop.core.steps import Repository, Step, marks
from workshop.core.suites import BOTH_COME_UP, SuiteRun
from workshop.instructor.handing_in import copies_in, steps_of

POLL = 0.1
"""Seconds between two looks at the copies."""


class Mark(Enum):
    """What the grading found out about a TODO."""

    GREEN = "+", "green", "green"
    RED = "x", "red", "red"
    OPEN = "o", "red, and its TODO comment is still there", "yellow"
    NO_START = "S", "the app doesn't start", "red"
    LATE = "T", "out of time", "magenta"
    NOT_STARTED = ".", "step not started", "dim"
    MISSING = "?", "missing, or can't be read", "yellow"
    BROKEN = "B", "the grading failed", "magenta"
    UNGRADED = "-", "not graded", "dim"

    def __init__(self, sign: str, meaning: str, style: str) -> None:
        """Name the parts. The style is one of rich, and a class on the page."""
        self.sign = sign
        self.meaning = meaning
        self.style = style


UNTROUBLED = (Mark.GREEN, Mark.NOT_STARTED, Mark.UNGRADED)
"""With these marks, nobody is stuck."""
UNREADABLE = (Mark.MISSING, Mark.BROKEN)
"""With these marks, there was nothing to grade, or no way to."""
UNDECIDED = (*UNREADABLE, Mark.LATE, Mark.UNGRADED)
"""With these marks, nobody knows whether the TODO is done, so no total counts it."""


@dataclass(frozen=True)
class Cell:
    """A TODO of a copy, as the table shows it."""

    mark: Mark
    message: str = ""
    """What the failed test explained to the attendee, or why no test did."""


@dataclass
class Copy:
    """A copy of the workshop that somebody has handed in."""

    name: str
    """The attendee: the name of the folder or the zip file."""
    path: Path
    cells: dict[str, Cell]
    """A cell for each TODO, by its id and in order. The grading fills them in."""

    @property
    def green(self) -> int:
        """How many TODOs are green."""
        return sum(cell.mark is Mark.GREEN for cell in self.cells.values())

    @property
    def score(self) -> str:
        """The number of green TODOs, and that of all."""
        return f"{self.green} of {len(self.cells)}"

    @property
    def stuck(self) -> tuple[str, Cell] | None:
        """The first TODO that the attendee needs help with, by its id."""
        cells = self.cells.items()
        return next((c for c in cells if c[1].mark not in UNTROUBLED), None)

    @property
    def standing(self) -> str:
        """How far the attendee is, in a few words that fit after a name or a number."""
        cells = list(self.cells.items())
        todo, cell = self.stuck or next(
            ((t, c) for t, c in cells if c.mark is not Mark.GREEN), cells[-1]
        )
        whole = all(c == cell for _, c in cells)
        if cell.mark is Mark.GREEN:
            return "finished"
        if cell.mark in (Mark.NOT_STARTED, Mark.UNGRADED):
            words = "not graded" if cell.mark is Mark.UNGRADED else "not started"
            return words if whole else f"{todo} {words}"
        if cell.mark in UNREADABLE:
            return "can't be graded" if whole else f"can't be graded at {todo}"
        verb = "isn't decided" if cell.mark is Mark.LATE else "is stuck"
        return f"{verb} at {todo} ({cell.mark.meaning})"


def copies_of(paths: Sequence[Path], steps: Sequence[Step]) -> list[Copy]:
    """Return the copies to grade by name, each with a name that no other has.

    Args:
        paths: Folders and zip files, and folders of those.
        steps: The steps to grade.

    Raises:
        WorkshopError: There is nothing at a path.
    """
    copies: dict[str, Copy] = {}
    found: list[Path] = []
    for path in map(Path.resolve, paths):
        if not path.exists():
            raise WorkshopError(
                f"There is no {path}.\n"
                "Name each copy, or all copies in a folder, for example ../copies/*"
            )
        found += copies_in(path)
    for path in dict.fromkeys(found):
        own = path.parent if path.name == "steps" else path
        short = own.name if path.is_dir() else own.stem
        # If two have the same name, their files, or else the folders, tell them apart.
        for name in (short, own.name, f"{own.parent.name}/{own.name}", str(path)):
            if (name := printable(name) or "copy") not in copies:
                break
        cells = {todo.id: Cell(Mark.UNGRADED) for step in steps for todo in step.todos}
        copies[name] = Copy(name, path, cells)
    return sorted(copies.values(), key=lambda copy: copy.name.casefold())


class Grader:
    """Grades copies with our tests, each copy in a thread."""

    def __init__(
        self, repository: Repository, steps: Sequence[Step], seconds: float
    ) -> None:
        """Read the starters, to recognize steps that nobody has begun.

        Args:
            repository: Our workshop.
            steps: The steps to grade.
            seconds: The time limit for each step of a copy, on a quiet machine.

        Raises:
            WorkshopError: Our solutions were changed, so nobody knows the starters.
        """
        self._repository = repository
        self._starters = {step: starters.read(repository, step) for step in steps}
        self._seconds = seconds
        self._stopping = Event()

    def grade(
        self,
        copies: Sequence[Copy],
        jobs: int,
        console: Console,
        after_each: Callable[[], None],
    ) -> int:
        """Fill in the cells of copies, and change nothing in their folders.

        Args:
            copies: The copies.
            jobs: How many copies are graded at a time.
            console: Gets a line for each copy that is done.
            after_each: Called whenever a copy is done.

        Returns:
            The exit status: 0 whatever the marks are, or INTERRUPTED after Ctrl+C.
            Then the cells hold the results so far, and no process is left.
        """
        status = 0
        with (
            processes.interrupted_by_termination(),
            ThreadPoolExecutor(jobs) as pool,
            console.status("") as line,
        ):
            waiting = {pool.submit(self._grade, copy): copy for copy in copies}
            while waiting:
                try:
                    line.update(f"{len(copies) - len(waiting)} of {len(copies)} copies")
                    # The timeout is for Windows, where Ctrl+C doesn't end a wait.
                    done, _ = wait(waiting, POLL, FIRST_COMPLETED)
                    for copy in map(waiting.pop, done):
                        if not self._stopping.is_set():
                            say(console, f"{copy.name}: {copy.score} green")
                            after_each()
                except KeyboardInterrupt:
                    if not self._stopping.is_set():
                        say(console, "Stopping ...")
                    self._stopping.set()
                    status = INTERRUPTED
        return status

    def _grade(self, copy: Copy) -> None:
        """Grade every step of a copy, whatever is wrong with it."""
        # If this process is killed, the keeper removes the folder.
        temporary = TemporaryDirectory(
            prefix="grade-", dir=processes.keep(), ignore_cleanup_errors=True
        )
        with temporary as folder:
            scratch = Path(folder)
            try:
                submitted = steps_of(copy.path, scratch / "unpacked")
            except Exception as error:  # A damaged zip file raises seven kinds of them.
                cell = Cell(Mark.MISSING, printable(str(error)))
                copy.cells = dict.fromkeys(copy.cells, cell)
                return
            for step in self._starters:
                if not self._stopping.is_set():
                    try:
                        cells = self._grade_step(submitted / step.name, step, scratch)
                    except Exception as error:  # The other copies still get graded.
                        cells = alike(step, Mark.BROKEN, f"{error!r}")
                    copy.cells |= cells

    def _grade_step(
        self, submitted: Path, step: Step, scratch: Path
    ) -> dict[str, Cell]:
        """Return the cells of one step of a copy."""
        if not submitted.is_dir():
            return alike(step, Mark.MISSING, f"The folder {step.name} is missing.")
        app = scratch / "apps" / step.name
        try:
            files = apps.contents(submitted)
        except OSError as error:
            text = f"{error.filename} can't be read: {error.strerror}"
            return alike(step, Mark.MISSING, text)
        write_all(app, files)
        unix = {name: text.replace(b"\r\n", b"\n") for name, text in files.items()}
        if unix == self._starters[step]:
            return alike(step, Mark.NOT_STARTED)
        suites = [self._repository.suite(step)]
        run = SuiteRun(self._repository, suites, app, step.name, folder=scratch)
        try:
            otherwise = self._follow(run)
        finally:
            run.stop()  # This also ends what the app has left behind.
        return {
            todo.id: judge(run, todo.id, app / todo.file, otherwise)
            for todo in step.todos
        }

    def _follow(self, run: SuiteRun) -> Cell:
        """Wait for a run, and return the cell of the TODOs that it didn't decide."""
        watch = Watch()  # The limits in the tests grow in the same way.
        while not run.wait(0):
            if self._stopping.is_set():
                return Cell(Mark.UNGRADED)
            if watch.seconds > self._seconds:
                text = f"The tests of this step did not end within {self._seconds:g} s"
                advice = "so try a longer --time if you expect more of this copy."
                return Cell(Mark.LATE, f"{text} of a quiet machine, {advice}")
            watch.pause()
        return Cell(Mark.BROKEN, f"The tests did not come to their end: {run.broken()}")


def judge(run: SuiteRun, todo: str, file: Path, otherwise: Cell) -> Cell:
    """Return the cell of a TODO after a run.

    Args:
        run: The run, which has ended or was stopped.
        todo: The TODO's id.
        file: The file that the TODO is in.
        otherwise: The cell for a TODO whose tests did not all end.
    """
    ours = [record for record in run.records if record.todo == todo]
    red = next((record for record in ours if not record.passed), None)
    if red is None:
        ended = {record.nodeid for record in ours}
        tests = {test for test, its_todo in run.todos.items() if its_todo == todo}
        return Cell(Mark.GREEN) if tests and tests <= ended else otherwise
    mark = Mark.OPEN if todo in marks(file) else Mark.RED
    lines = [line for line in red.message.splitlines() if line[:5] != "hint:"]
    if BOTH_COME_UP in red.message:
        mark = Mark.NO_START
        # The rest is the same for each TODO of the step.
        lines = [line for line in lines[1:] if line[:5] != "file:"]
    return Cell(mark, printable("\n".join(lines)))


def alike(step: Step, mark: Mark, message: str = "") -> dict[str, Cell]:
    """Return the same cell for each TODO of a step."""
    return {todo.id: Cell(mark, printable(message)) for todo in step.todos}


def printable(text: str) -> str:
    """Return a text with its control characters written out, such as \\x1b.

    The text is a name or an output of somebody else. A terminal would obey it, and a
    character that can't be encoded would end the grading.
    """
    return "".join(
        c if c.isprintable() or c == "\n" else ascii(c)[1:-1]
        for c in text.replace("\t", "    ").replace("\r\n", "\n")
    )
