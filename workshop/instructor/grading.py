"""``grade DIR...``: many submitted copies, each checked by our tests within limits.

For each copy a process of its own is started, ``python3 -m
workshop.instructor.grading``. It runs the suite of each step against a copy of the
submitted app, supervised, and writes a line for each step. Whatever becomes of it is
a cell of the table.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from rich.console import Console
from rich.text import Text

from workshop.core import apps, processes, starters
from workshop.core.environment import INTERRUPTED
from workshop.core.errors import WorkshopError
from workshop.core.files import flatten
from workshop.core.output import say
from workshop.core.steps import FOLDER_NAME, Repository, Step
from workshop.core.suites import BOTH_COME_UP, SuiteRun
from workshop.instructor.supervising import POLL, Family, Limits, supervise

OK, RED, NOT_STARTED, UNGRADED = "ok", "red", "not started", "not graded"
NO_START, MISSING, BROKEN = "does not start", "missing", "broken"
NO_FAULT = (OK, NOT_STARTED, UNGRADED)
"""The marks of a todo that nobody needs help with."""
MARGIN = 40.0
"""Seconds that a copy may take beyond its time for each step, and once more."""
LARGEST = 10 * 2**20
"""Bytes of a file of an app; a larger one is left out."""
MOST_FILES = 2000
"""Files and folders of an app; where there are more, it is not graded."""
BOMBS_LEFT = 10.0
"""Seconds to end what a supervisor that died has left."""


@dataclass(frozen=True)
class Mark:
    """What became of one todo."""

    mark: str
    """OK, RED, NOT_STARTED, ..., or the limit that was passed."""
    message: str = ""
    """What the attendee would have read; or why there is no such message."""


@dataclass(frozen=True)
class Grade:
    """What became of one step of a copy."""

    step: str
    """The name of the step."""
    seconds: float
    todos: Mapping[str, Mark]
    notes: Sequence[str] = ()
    """What else there is to know, such as files that were left out."""


@dataclass
class Copy:
    """A submitted copy of the workshop."""

    name: str
    """The attendee: the name of the folder, made printable and unique."""
    folder: Path
    grades: list[Grade] = field(default_factory=list)
    seconds: float = 0.0

    def marks(self) -> Iterator[tuple[str, Mark]]:
        """Yield each todo's id and mark, in order."""
        for grade in self.grades:
            yield from grade.todos.items()

    def stuck(self) -> tuple[str, Mark] | None:
        """Return the first todo that is neither green nor merely not started."""
        return next((m for m in self.marks() if m[1].mark not in NO_FAULT), None)


class Unreadable(Exception):
    """A submitted app that cannot be copied; the text says why."""


def grade(
    repository: Repository,
    copies: list[Copy],
    steps: list[Step],
    limits: Limits,
    jobs: int,
    console: Console,
) -> int:
    """Grade copies, some at once, and fill in their grades.

    Takes: ``limits``, for the run of one step's suite; ``jobs``, how many copies at
    once; ``console``, which gets a line for each copy that is done.
    Returns: the exit status: 0 when it came to its end, whatever the grades;
    INTERRUPTED at Ctrl+C, once every process is gone. What was not reached is
    UNGRADED. Raises: WorkshopError when the starters cannot be told.
    """
    for step in steps:
        starters.read(repository, step)  # Now, and not in the middle of it all.
    waiting = list(copies)
    running: list[Supervisor] = []
    done = 0
    # Not ours to end: our keeper, and what the shell may have started before it became
    # this process.
    processes.keep()
    spared = {child.pid for child in psutil.Process().children()}
    processes.adopt_orphans()
    with processes.interrupted_by_termination():
        try:
            with console.status("grading") as status:
                while waiting or running:
                    while waiting and len(running) < jobs:
                        copy = waiting.pop(0)
                        try:
                            one = Supervisor(repository, copy, steps, limits)
                        except OSError as error:  # The disk is full, for one.
                            fill(copy, steps, Mark(BROKEN, printable(str(error))))
                            done += 1
                            continue
                        running.append(one)
                        names = ", ".join(s.copy.name for s in running)
                        text = f"{done} of {len(copies)} done; now {names}"
                        status.update(Text(text))
                    time.sleep(POLL)
                    for one in [s for s in running if s.ended()]:
                        one.close(spared | {s.pid for s in running})
                        running.remove(one)
                        done += 1
                        say(console, f"{one.copy.name}: {one.copy.seconds:.0f} s")
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            for one in running:
                one.close(spared | {s.pid for s in running})
            for copy in copies:
                fill(copy, steps, Mark(UNGRADED, "The grading was stopped before it."))
    return 0


class Supervisor:
    """The process that grades one copy, seen from the one that starts them all."""

    def __init__(
        self, repository: Repository, copy: Copy, steps: list[Step], limits: Limits
    ) -> None:
        """Start it."""
        self.copy = copy
        self._steps = steps
        self._began = time.monotonic()
        self._deadline = self._began + MARGIN
        self._deadline += len(steps) * (limits.seconds + MARGIN)
        self._scratch = TemporaryDirectory(
            prefix="saje-grade-", ignore_cleanup_errors=True
        )
        self._results = Path(self._scratch.name) / "results.jsonl"
        self._log = Path(self._scratch.name) / "grading.log"
        order = {
            "root": str(repository.root),
            "folder": str(copy.folder),
            "steps": [step.number for step in steps],
            "limits": asdict(limits),
            "scratch": self._scratch.name,
        }
        with self._log.open("wb") as log:
            self._process = processes.start(
                [
                    sys.executable,
                    "-m",
                    "workshop.instructor.grading",
                    json.dumps(order),
                ],
                cwd=repository.root,
                env={"PYTHONDONTWRITEBYTECODE": "1"},
                output=log,
            )

    def ended(self) -> bool:
        """Tell whether it has come to its end, or has to."""
        late = time.monotonic() > self._deadline
        return late or self._process.poll() is not None

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    def close(self, spared: set[int]) -> None:
        """Take what it found; nothing of it is left then.

        Takes: ``spared``, the pids of this process's other children.
        """
        interrupted = not self.ended()
        with suppress(KeyboardInterrupt):  # Pressed again: this does not take long.
            processes.stop(self._process, MARGIN if interrupted else 0)
        self._sweep(spared)
        self.copy.seconds = time.monotonic() - self._began
        found = [read_grade(line, self._steps) for line in lines_of(self._results)]
        self.copy.grades = [grade for grade in found if grade]
        if not interrupted:
            status = self._process.returncode
            fill(self.copy, self._steps, Mark(BROKEN, self._why(status)))
        with suppress(RecursionError):
            self._scratch.cleanup()
        if Path(self._scratch.name).exists():  # Folders in folders, a thousand deep.
            flatten(Path(self._scratch.name))
            self._scratch.cleanup()

    def _why(self, status: int) -> str:
        if time.monotonic() > self._deadline:
            return "The grading of this copy did not come to its end in time."
        said = [b"nothing", *lines_of(self._log)][-1].decode(errors="replace")
        return printable(f"The grading ended with status {status}; it said: {said}")

    def _sweep(self, spared: set[int]) -> None:
        """End what it would have ended, had it not been killed itself."""
        deadline = time.monotonic() + BOMBS_LEFT
        while time.monotonic() < deadline:
            left = processes.marked([self._process.mark])
            for child in psutil.Process().children():  # Orphans that we adopted.
                if child.pid not in spared:
                    if processes.is_alive(child):
                        left.add(child)
                    else:
                        with suppress(OSError):
                            os.waitpid(child.pid, 0)
            if not left:
                return
            for process in left:
                with suppress(psutil.Error):
                    process.suspend()
            processes.kill(left)


def lines_of(path: Path) -> list[bytes]:
    """Return the lines of a file; none when it cannot be read.

    It lies where the code that was graded could write, too.
    """
    with suppress(OSError):
        if path.is_file():  # A pipe would never end.
            return path.read_bytes().splitlines()
    return []


def read_grade(line: bytes, steps: list[Step]) -> Grade | None:
    """Return a grade from its line of JSON; None when it is not of these steps."""
    try:
        entry = json.loads(line)
        step = next(step for step in steps if step.name == entry["step"])
        todos = {
            todo.id: Mark(
                printable(str(entry["todos"][todo.id]["mark"])),
                printable(str(entry["todos"][todo.id]["message"])),
            )
            for todo in step.todos
        }
        notes = [printable(str(note)) for note in entry["notes"]]
        return Grade(step.name, float(entry["seconds"]), todos, notes)
    except (ValueError, KeyError, TypeError, StopIteration, RecursionError):
        return None


def fill(copy: Copy, steps: list[Step], mark: Mark) -> None:
    """Give every step of a copy that has no grade yet the same mark, and put them in
    their order.
    """
    found = {grade.step: grade for grade in copy.grades}
    copy.grades = [
        found.get(step.name) or Grade(step.name, 0, {t.id: mark for t in step.todos})
        for step in steps
    ]


def copies_of(folders: Sequence[Path]) -> list[Copy]:
    """Return the copies in some folders, with names of their own.

    Raises: WorkshopError, naming it, when one is no folder.
    """
    copies: list[Copy] = []
    for folder in folders:
        if not folder.is_dir():
            name = printable(str(folder))
            raise WorkshopError(f"{name} is no folder. Unpack zip files first.")
        path = folder.resolve()
        own = path.parent if path.name == "steps" else path
        first = name = printable(own.name).replace("\n", "\\n") or "copy"
        number = 1
        while name in {copy.name for copy in copies}:
            number += 1
            name = f"{first} ({number})"
        copies.append(Copy(name, path))
    return copies


def printable(text: str) -> str:
    """Return a text that is safe to print and to write into any file.

    What is no character to be seen, such as an escape sequence's first, is shown by
    its number: other people chose it. Ends of lines are kept.
    """
    return "".join(
        c if c.isprintable() or c == "\n" else ascii(c)[1:-1]
        for c in text.replace("\t", "    ").replace("\r\n", "\n")
    )


def apps_in(folder: Path) -> Path:
    """Return the folder that holds the apps of a copy.

    That is the copy's ``steps``, perhaps a folder deeper, or the copy itself.

    Raises: Unreadable when there is none.
    """

    def has_steps(path: Path) -> bool:
        return any(FOLDER_NAME.fullmatch(p.name) and p.is_dir() for p in path.iterdir())

    deeper = [
        p for p in sorted(folder.iterdir()) if p.is_dir() and p.name[0] not in "._"
    ]
    places = [folder / "steps", folder]
    places += [place for p in deeper for place in (p / "steps", p)]
    for place in places:
        with suppress(PermissionError):
            if place.is_dir() and has_steps(place):
                return place
    raise Unreadable("It has no folder steps with the steps in it.")


def copy_app(app: Path, within: Path, target: Path) -> list[str]:
    """Copy a submitted app, so that its run changes nothing of what was submitted.

    A link is copied as the file that it leads to, when that lies in the submitted
    folder. What else is no file (a pipe, a device), or too large, is left out, as is
    what running makes.

    Takes: ``within``, the submitted folder; ``target``, where the app goes.
    Returns: what was left out, and why.
    Raises: Unreadable when a file cannot be read, or there are too many.
    """
    notes = []
    count = 0
    folders = [app]
    while folders:
        folder = folders.pop()
        try:
            (target / folder.relative_to(app)).mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.iterdir()):
                count += 1
                if count > MOST_FILES:
                    raise Unreadable(f"It has more than {MOST_FILES} files.")
                name = path.relative_to(app)
                if any(map(path.match, apps.MADE_BY_RUNNING)):
                    continue
                if path.is_dir() and not path.is_symlink():
                    folders.append(path)
                elif problem := why_left_out(path, within):
                    notes.append(printable(f"{name} was left out: {problem}"))
                else:
                    shutil.copyfile(path, target / name)
        except (OSError, ValueError) as error:
            raise Unreadable(printable(f"It cannot be read: {error}")) from None
    return notes


def why_left_out(path: Path, within: Path) -> str | None:
    """Tell why a file is not to be copied; None when it is."""
    try:
        about = path.stat()
        inside = path.resolve().is_relative_to(within.resolve())
    except (OSError, RuntimeError):
        return "a link that leads nowhere"
    if not inside:
        return "a link that leads out of the copy"
    if not stat.S_ISREG(about.st_mode):
        return "it is no file"
    if about.st_size > LARGEST:
        return f"it has {about.st_size / 2**20:.0f} MB"
    return None


def is_untouched(app: Path, starter: Mapping[str, bytes]) -> bool:
    """Tell whether an app is the starter still, whatever ends its lines have."""
    found = {name: path.read_bytes() for name, path in apps.app_files(app).items()}
    return {n: c.replace(b"\r\n", b"\n") for n, c in found.items()} == dict(starter)


def grade_step(
    repository: Repository,
    step: Step,
    folder: Path,
    family: Family,
    limits: Limits,
    scratch: Path,
) -> Grade:
    """Grade one step of a copy.

    Takes: ``folder``, the copy; ``scratch``, an empty folder for the run.
    """
    began = time.monotonic()
    notes: list[str] = []

    def all_alike(mark: str, message: str) -> Grade:
        todos = {todo.id: Mark(mark, message) for todo in step.todos}
        return Grade(step.name, time.monotonic() - began, todos, notes)

    app = scratch / "app" / step.name
    try:
        submitted = apps_in(folder) / step.name
        if not submitted.resolve().is_relative_to(folder.resolve()):
            return all_alike(MISSING, f"{step.name} is a link out of the copy.")
        if not submitted.is_dir():
            return all_alike(MISSING, f"It has no folder {step.name}.")
        notes += copy_app(submitted, folder, app)
        if is_untouched(app, starters.read(repository, step)):
            return all_alike(NOT_STARTED, "It is as it was at the start.")
    except (Unreadable, OSError) as error:
        return all_alike(MISSING, printable(str(error)))
    for name in ("tmp", "logs"):
        (scratch / name).mkdir()
    run = SuiteRun(
        repository,
        [repository.suite(step)],
        app,
        step.name,
        folder=scratch / "logs",
        env={
            **{name: str(scratch / "tmp") for name in ("TMPDIR", "TEMP", "TMP")},
            # Else it keeps what is printed in a file that has no name to be seen by.
            "PYTEST_ADDOPTS": "--capture=no",
        },
    )
    try:
        passed = supervise(run, family, scratch, limits)
    except RuntimeError as error:
        return all_alike(BROKEN, f"After the run {error}.")
    todos = judge(step, run, passed, limits)
    return Grade(step.name, time.monotonic() - began, todos, notes)


def judge(
    step: Step, run: SuiteRun, passed: str | None, limits: Limits
) -> dict[str, Mark]:
    """Return the mark of each todo after a run.

    Takes: ``passed``, the limit that ended it, or None.
    """
    ended = {record.nodeid: record for record in run.records}
    failed = [record for record in run.records if not record.passed]
    dead = next((r for r in failed if f"expected: {BOTH_COME_UP}" in r.message), None)
    otherwise = Mark(BROKEN, f"The tests did not end well: {run.broken()}.")
    if passed is not None:
        otherwise = Mark(passed, LIMIT_TEXTS[passed].format(**asdict(limits)))
    elif dead:
        otherwise = Mark(NO_START, printable(dead.message))
    marks = {}
    for todo in step.todos:
        tests = [test for test, todo_id in run.todos.items() if todo_id == todo.id]
        red = [r for r in failed if r.todo == todo.id]
        if tests and all(test in ended for test in tests) and not red:
            marks[todo.id] = Mark(OK)
        elif red and not passed and not dead:
            marks[todo.id] = Mark(RED, printable(red[0].message))
        else:
            marks[todo.id] = otherwise
    return marks


LIMIT_TEXTS = {
    "time": "It was ended after {seconds:g} s.",
    "memory": "Its processes took more than {memory} MB of memory.",
    "processes": "It had more than {processes} processes.",
    "output": "It wrote more than {output} MB.",
}
"""What is said of a limit that was passed."""


def summary(mark: Mark) -> str:
    """Return one line for a mark: the best cause in a message, or else what came."""
    lines = mark.message.splitlines() or [mark.mark]
    for label in ("likely:", "perhaps:", "log:"):
        for line in lines:
            if line.startswith(label):
                return line.removeprefix(label).strip()
    text = lines[0]
    for number, line in enumerate(lines):
        if line.startswith("got:"):
            got = line.removeprefix("got:").strip()
            if line.endswith(":"):  # What was printed follows, or a traceback.
                after = lines[number + 1 :]
                errors = [one[1:] for one in after if one.startswith("E  ")]
                got += f" {' '.join([*errors, *after, ''][0].split())}"
            if mark.mark == NO_START:  # Then it matters little what was to be tested.
                return got
            text += f" But: {got}"
    if "whose comment is still there" in mark.message:
        text = f"the TODO comment is still there. {text}"
    return text


def main(order: dict[str, Any]) -> int:
    """Grade one copy: what the process of its own does.

    Takes: ``order``, as Supervisor writes it.
    """
    repository = Repository(Path(order["root"]))
    scratch = Path(order["scratch"])
    limits = Limits(**order["limits"])
    family = Family(os.environ[processes.MARKS])
    with processes.interrupted_by_termination():
        for number in order["steps"]:
            step = repository.step(number)
            run = scratch / "run"
            run.mkdir()
            result = grade_step(
                repository, step, Path(order["folder"]), family, limits, run
            )
            with (scratch / "results.jsonl").open("ab") as file:
                file.write(json.dumps(asdict(result)).encode() + b"\n")
            # Renamed first: what cannot be removed must not be in the way.
            old = run.rename(scratch / f"old-{number:02}")
            with suppress(RecursionError):  # It goes with the rest.
                shutil.rmtree(old, ignore_errors=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(json.loads(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
