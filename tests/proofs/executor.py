"""Executes a lesson: its shell lines, listings and edits, and what it says of them.

The blocks of a lesson are executed in their order, in a copy of the workshop (see
scene.py) whose app is the step's starter at first. Under a heading `TODO N.k`, that
TODO is done, as in the solution. Whenever the lesson checks the app, and at its end,
the app has to be the solution, so every other edit has to be taken back before.

=============  =====================================================================
```sh          Each line is run. A line that serves an app does so until a Ctrl+C. A
               line that fails must be followed by its output. In a line, UID stands
               for the latest uid, PID for the first number in brackets that lines have
               printed since the app's start, and PID_OF_WORKER and PID_OF_MAIN for what
               /v1/info says.
```text        All of the output of the lines before, or else lines that the app logs
               from then on, in this order, with others between them. See comparing.py
               for `…` and for what may differ. A GET is sent again, as a reader would
               do, until its answer (it begins with {, HTTP or …) is the one shown.
```diff        An edit of the step's app. Each stretch that is shown must occur once
               in the file that is named above it.
```python      Lines of the solution, which must have them, or else calls, which are
               run in the app as it is by then, with the names of given/NN_name.py.
```mermaid     The diagram.
=============  =====================================================================

Any other block or comment is an error. Where the prose says what to do, a comment does
it:

<!-- do: press Ctrl+C -->            The app must end, and leave no process.
<!-- do: press Ctrl+C without effect -->
                                     The app must still be there at the next Ctrl+C.
<!-- do: start the app -->           Again, after it has ended.
<!-- do: save app/info.py -->        As it is, which makes the app reload.
<!-- do: wait a second -->           As a reader's next line does, where nothing that
                                     can be seen says that it is time.
<!-- do: take it back -->            The latest edit by a diff that is still there.
<!-- so: ms[0] < ms[1] -->           True sooner or later: Python with the names output
                                     (of the latest lines), ms (the numbers before "ms"
                                     in it), log (since the latest action), slow (how
                                     slow the machine is, 1 if it is quiet), re.

At its end the app is stopped by Ctrl+C, and no process may be left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

from tests.proofs import texts
from tests.proofs.comparing import is_all, is_in
from tests.proofs.scene import RUN, Done, Parted, SanicTripped, Scene
from workshop.core.pace import Watch, slowness
from workshop.core.steps import TODO, Repository, Step

ATTEMPTS = 3
"""How often a lesson is tried in which Sanic trips, or on a slow machine."""
PATIENCE = 120.0
"""Seconds until the output that is shown must be there."""
GET = re.compile(r"curl (?!.*(?:-d|-X|--data|--request)\b)")
"""A command that changes nothing."""
CHECK = re.compile(r"python3? -m workshop check\b")
COMMENT = re.compile(r"<!-- (do|so): (.+?) -->", re.DOTALL)
PROCESSES = {"PID_OF_WORKER": "SajeWorker", "PID_OF_MAIN": "Sanic-Main"}


def execute(
    repository: Repository, step: Step, folder: Path, patience: float = PATIENCE
) -> bytes:
    """Execute the lesson of a step.

    Args:
        repository: The workshop.
        step: The step.
        folder: Where the copy of the workshop and the logs go.
        patience: Seconds until the output that is shown must be there.

    Returns:
        The report of the lesson's `check`.

    Raises:
        Parted: Something in the lesson isn't so. It names the line.
    """
    for attempt in range(ATTEMPTS):
        scene = Scene(repository, step, folder / str(attempt))
        try:
            Lesson(scene, patience).execute()
            return scene.report()
        except Parted as problem:
            # On a slow machine, a job may end before the lesson's Ctrl+C.
            may_be_late = isinstance(problem, SanicTripped) or slowness() > 1
            if attempt == ATTEMPTS - 1 or not may_be_late:
                raise
        finally:
            scene.close()
    raise AssertionError("The last attempt returns or raises.")


class Lesson:
    """The blocks of one lesson, and how far they have been executed."""

    def __init__(self, scene: Scene, patience: float) -> None:
        """Begin with the starter, and nothing typed yet."""
        self._scene = scene
        self._patience = patience
        self._lines: list[str] = []
        """The latest shell lines."""
        self._done: Done | None = None
        """Their status and output, until these are compared."""
        self._output = ""
        """Their output, until the next lines."""
        self._uid = ""
        self._pid = ""
        self._mark = 0
        """How long the log was at the latest action."""
        self._edits: list[list[tuple[str, str, str]]] = []
        """File, old and new lines of each stretch of the diffs not taken back."""
        self._kinds: dict[str, Callable[[str], None]] = {
            "```sh": self._shell,
            "```text": self._text,
            "```diff": self._diff,
            "```python": self._python,
            "```mermaid": lambda content: None,
            "<!--": self._comment,
            "#": self._heading,
        }

    def execute(self) -> None:
        """Execute the lesson, or raise Parted."""
        step, line = self._scene.step, 1
        try:
            for block in texts.parse(self._scene.read("README.md")):
                if block.kind == "`":
                    continue
                line = block.line
                if block.kind != "```text":
                    self._must_have_worked()
                kind = "#" if block.kind.startswith("#") else block.kind
                if kind not in self._kinds:
                    raise Parted(f"Nobody knows how to execute a block of {kind}")
                self._kinds[kind](block.content)
            self._must_have_worked()
            self._scene.end()
        except SanicTripped:
            raise
        except Parted as problem:
            did = "\n".join(self._lines)
            where = f"steps/{step.name}/README.md:{line}"
            raise Parted(f"{where}\ndid:      {did}\n{problem}") from None

    def _heading(self, title: str) -> None:
        self._begin([title])
        if todo := TODO.match(title):
            self._scene.do_todo(todo[1])

    # -- doing

    def _begin(self, lines: list[str]) -> None:
        """Begin an action: all output from now on belongs to it."""
        self._lines = lines
        self._done = None
        self._mark = len(self._scene.logged())

    def _shell(self, text: str) -> None:
        self._scene.settle()
        lines = text.replace("\\\n", " ").splitlines()
        self._begin([line.strip() for line in lines if line.strip()])
        self._do_lines()

    def _do_lines(self) -> None:
        output, status = "", 0
        for line in self._lines:
            if status:
                raise Parted(f"status {status}\n{output}")
            if CHECK.match(line):
                self._scene.must_be_solution()
            done = self._scene.command(self._filled_in(line))
            if done is None or RUN.match(line):
                self._mark, self._pid = 0, ""  # It has a new log.
            if done:
                output, status = output + done.output, done.status
        self._done, self._output = Done(status, output), output
        if uids := re.findall(r'"uid":"([0-9a-f-]{36})"', output):
            self._uid = uids[-1]
        if pids := re.findall(r"\[(\d+)\]", output):
            self._pid = self._pid or pids[0]

    def _filled_in(self, line: str) -> str:
        """Return a shell line with what its capital letters stand for."""

        def value(match: re.Match[str]) -> str:
            known = {"UID": self._uid, "PID": self._pid}
            if match[0] in known:
                return known[match[0]]
            return str(self._scene.pid_of(PROCESSES[match[0]]))

        return re.sub(r"\b(UID|PID|PID_OF_WORKER|PID_OF_MAIN)\b", value, line)

    def _must_have_worked(self) -> None:
        """Raise Parted if the latest lines failed and their output isn't shown."""
        if self._done and self._done.status:
            raise Parted(f"status {self._done.status}\n{self._done.output}")

    def _python(self, source: str) -> None:
        if stands_in(source, self._scene.repository.solution(self._scene.step)):
            return
        self._begin(source.splitlines())
        self._done = self._scene.calls(source)
        self._output = self._done.output
        if self._done.status:
            raise Parted(
                "These lines are not in the solution, and as calls they fail:\n"
                + self._output
            )

    def _comment(self, text: str) -> None:
        comment = COMMENT.fullmatch(text)
        if comment is None:
            raise Parted(f"Nobody knows how to do this: {text}")
        (self._do if comment[1] == "do" else self._so)(comment[2])

    def _do(self, what: str) -> None:
        self._scene.settle()
        self._begin([what])
        if what in ("press Ctrl+C", "press Ctrl+C without effect"):
            self._scene.press_ctrl_c()
            if what == "press Ctrl+C":
                self._scene.must_end()
        elif what == "start the app":
            self._lines = [f"python3 -m workshop run {self._scene.step.number}"]
            self._do_lines()
        elif what == "wait a second":
            watch = Watch()
            while watch.seconds < 1:
                watch.pause()
        elif what == "take it back":
            edit = reversed(self._edits.pop())
            self._replace([(name, new, old) for name, old, new in edit])
        elif match := re.fullmatch(r"save (\S+)", what):
            self._scene.save(match[1], self._scene.read(match[1]))
        else:
            raise Parted("Nobody knows how to do this.")

    def _diff(self, source: str) -> None:
        self._begin(source.splitlines())
        self._edits.append(list(stretches(source)))
        self._replace(self._edits[-1])

    def _replace(self, edit: list[tuple[str, str, str]]) -> None:
        """Edit files.

        Args:
            edit: A file, its old lines and its new lines, for each stretch.

        Raises:
            Parted: The old lines aren't there, or more than once.
        """
        texts: dict[str, str] = {}
        for name, old, new in edit:
            text = "\n" + texts.get(name, self._scene.read(name))
            if (count := text.count("\n" + old)) != 1:
                raise Parted(f"{name} has these lines {count} times, not once:\n{old}")
            texts[name] = text.replace("\n" + old, "\n" + new)[1:]
        for name, text in texts.items():
            self._scene.save(name, text)

    # -- comparing

    def _text(self, shown: str) -> None:
        if not shown.strip("…\n "):
            raise Parted("This block shows nothing.")

        def came() -> bool:
            output = self._done and is_all(shown, self._done.output)
            return output or is_in(shown, self._log())

        asks = self._done and shown.startswith(("{", "HTTP/", "…"))
        if not self._becomes(came, again=bool(asks)):
            output = self._done.output if self._done else ""
            log = "\n".join(self._log().splitlines()[-25:])
            raise Parted(f"shown:\n{shown}\ncame:\n{output}\nthe log:\n{log}")
        self._done = None

    def _so(self, claim: str) -> None:
        def holds() -> bool:
            ms = [float(n) for n in re.findall(r"([\d.]+) ms\b", self._output)]
            names = {"output": self._output, "ms": ms, "log": self._log(), "re": re}
            names["slow"] = slowness()
            try:
                return bool(eval(claim, names))
            except Exception as error:
                raise Parted(f"{claim}: {error!r}") from error

        if not self._becomes(holds, again="output" in claim):
            raise Parted(f"It is not so: {claim}\n{self._output}")

    def _log(self) -> str:
        """Return what the app has logged since the latest action."""
        return self._scene.logged()[self._mark :]

    def _becomes(self, holds: Callable[[], bool], again: bool) -> bool:
        """Return whether something becomes true while the app may still do something.

        Args:
            holds: What has to become true.
            again: Whether to send the latest lines again, if they only ask.
        """
        again = again and bool(self._lines) and all(map(GET.match, self._lines))
        watch = Watch()
        while True:
            # Looked at before the log: what has ended then has printed all of it.
            may_come = self._scene.may_print and watch.seconds < self._patience
            if holds():
                return True
            if not may_come:
                return False
            watch.pause()
            if again:
                self._do_lines()


def stretches(diff: str) -> Iterator[tuple[str, str, str]]:
    """Yield the file, the old lines and the new lines of each stretch of a diff.

    Raises:
        Parted: A line doesn't belong to a file, or isn't one of a diff.
    """
    name, old, new = "", "", ""
    for line in [*diff.splitlines(), "@@"]:
        kind, rest = line[:1] or " ", line[1:] + "\n"
        if line.startswith(("---", "+++", "@@")):
            if old or new:
                yield name, old, new
            old = new = ""
            name = line[3:].strip() if line.startswith("+++") else name
        elif not name or kind not in " +-":
            raise Parted(f"This line of a diff belongs to no file: {line}")
        else:
            old += rest if kind in " -" else ""
            new += rest if kind in " +" else ""


def stands_in(source: str, app: Path) -> bool:
    """Return whether a file of an app has some lines, however far indented."""
    wanted = dedent(source).strip("\n").splitlines()
    for path in app.rglob("*.py"):
        lines = path.read_text("utf-8").splitlines()
        for at in range(len(lines) - len(wanted) + 1):
            window = "\n".join(lines[at : at + len(wanted)])
            if dedent(window).splitlines() == wanted:
                return True
    return False
