"""``watch N``: the checks again at each save, until the learner quits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import watchfiles
from rich.console import Console
from rich.text import Text

from workshop.core import processes, results
from workshop.core.errors import WorkshopError
from workshop.core.results import Result
from workshop.core.steps import Repository, Step
from workshop.learner import difference, hints
from workshop.learner.checking import Checkup, require_todos, what_is_next
from workshop.learner.keys import ReadKey, pressed

TICK = 50
"""Milliseconds between two looks at the tests, and at the keys."""
BURST = 400
"""Milliseconds for which saves that follow each other closely count as one."""
GRACE = 1.0
"""Seconds that tests which were overtaken by a save may take to end their servers."""
RETRIES = 20
"""Looks at an app that cannot be read, until that is said."""
EARLIER = "earlier steps"
"""What stands in the list for all the steps before this one."""
QUIT = "q"
KEYS = "Keys: h hint, d diff, n next step, q quit"
STYLES = {"red": "red", "green": "green"}
HEAD = 2
"""Lines of a failure that are shown in any case: what was tried, and how."""
COMMAND = "did:"
"""What a line of a failure begins with that holds a command to copy."""
LEAST = 10
"""Lines that a failure gets on the smallest terminal."""
WIDTH = 16
"""Columns of the state, before the title."""


def watch(repository: Repository, step: Step, console: Console, poll: bool) -> int:
    """Check a step's app, and again at each save, until the learner quits.

    Takes: ``poll``, to look at the files again and again, where the system tells
    nobody that one was saved.
    Returns: the exit status, 0.
    Raises: WorkshopError for a step that has nothing to check, or when files cannot be
    watched; KeyboardInterrupt at Ctrl+C. No process is left then.
    """
    require_todos(repository, step)
    with (
        processes.interrupted_by_termination(),
        pressed(console.is_terminal) as key,
    ):
        watcher = Watcher(repository, step, console, key)
        try:
            for saved in saves(repository.root / "steps", poll):
                if not watcher.tick(saved):
                    break
        finally:
            watcher.stop()
    return 0


def saves(folder: Path, poll: bool) -> Iterator[bool]:
    """Yield at each tick whether a file in a folder, or below it, was changed.

    Takes: ``poll``, see watch. Raises: WorkshopError when it cannot be watched.
    """
    try:
        # No filter of watchfiles': with one, there is no tick when it leaves out all.
        for changes in watchfiles.watch(
            folder,
            watch_filter=None,
            debounce=BURST,
            step=TICK,
            rust_timeout=TICK,
            yield_on_timeout=True,
            force_polling=poll or None,
        ):
            yield bool(changes)
    except (OSError, RuntimeError) as error:
        raise WorkshopError(
            f"The files in {folder} cannot be watched: {error}.\n"
            "To look at them again and again: python3 -m workshop watch --poll"
        ) from None


class Watcher:
    """One learner, one step at a time, and the checks of it that run."""

    def __init__(
        self,
        repository: Repository,
        step: Step,
        console: Console,
        key: ReadKey | None,
    ) -> None:
        """Takes: ``key``, what reads the keys, if there are any."""
        self._repository = repository
        self._key = key
        self._checkup: Checkup | None = None
        self._fingerprint = ""
        """Of the app as it was when it was last looked at."""
        self._unread = 0
        """How often, at one stretch, the app could not be read."""
        self._page: Page = Screen(console) if console.is_terminal else Lines(console)
        self._console = console
        self._go_to(step)

    def tick(self, saved: bool) -> bool:
        """Do what there is to do now; return False once the learner has quit.

        Nothing that is wrong with the learner's files raises: it is shown.

        Takes: ``saved``, whether any file below steps/ has changed.
        """
        try:
            if saved or self._view.is_new or self._unread:
                self._look()
            self._take_in()
            keys = self._key() if self._key else ""
            return all(self._press(key) for key in keys)
        except (WorkshopError, OSError) as error:
            self.stop()
            self._trouble(str(error))
            return True

    def stop(self) -> None:
        """End the tests that run."""
        if self._checkup:
            self._checkup.stop(GRACE)
        self._checkup = None

    def _go_to(self, step: Step) -> None:
        self.stop()
        results.visit(self._repository, step)
        known = results.load(self._repository, step)
        self._view = View(step, known, keys=self._key is not None)

    def _look(self) -> None:
        """Begin anew, if the app is not as it was; go on when trouble is over."""
        view = self._view
        step = self._repository.step(view.step.number)
        try:
            fingerprint = results.fingerprint(self._repository.starter(step))
        except OSError:
            # An editor replaces files when it saves: we read again at the next tick.
            self._unread += 1
            if self._unread > RETRIES:
                raise
            return
        self._unread = 0
        if view.trouble or view.is_new or fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._begin(step)

    def _begin(self, step: Step) -> None:
        """Check the app, the first red todo before the others."""
        self.stop()
        require_todos(self._repository, step)
        self._view = view = self._view.renewed(step)
        first = view.red_todo or step.todos[0].id
        app = self._repository.starter(step)
        name = f"watch-{step.number:02}"
        self._checkup = Checkup(self._repository, step, app, name, first)
        self._page.begin(view)

    def _take_in(self) -> None:
        """Show what the tests have decided; at their end, how it went."""
        if (checkup := self._checkup) is None:
            return
        view = self._view
        decided = checkup.poll(0)
        view.learn(checkup)
        if not checkup.ended:
            if decided:
                self._page.decided(view, decided)
            return
        self.stop()
        result = checkup.result()
        results.save(self._repository, view.step, result)
        view.end(checkup, result)
        if result.green:
            view.outcome += learned(view.step)
            view.outcome += what_is_next(self._repository, view.step)
            if view.keys and view.step.number + 1 < len(self._repository.steps()):
                view.outcome += f"\nKey n: watch step {view.step.number + 1:02}"
        self._page.decided(view, decided)
        self._page.ended(view)

    def _trouble(self, message: str) -> None:
        """Show why there is nothing to check; once, however often it is so."""
        if self._view.trouble != message:
            self._view = self._view.renewed(self._view.step)
            self._view.running = False
            self._view.trouble = message
            self._page.ended(self._view)

    def _press(self, key: str) -> bool:
        """Do what a key stands for; return False if that is to quit."""
        if key == QUIT:
            return False
        does = {"h": self._hint, "d": self._diff, "n": self._next}.get(key)
        if does:
            with self._console.capture() as text:
                try:
                    does()
                except WorkshopError as error:
                    self._console.print(str(error), markup=False, soft_wrap=True)
            self._view.note = Text.from_ansi(text.get().strip())
            self._page.noted(self._view)
        return True

    def _hint(self) -> None:
        todo = self._view.red_todo
        if todo is None:
            raise WorkshopError("Every TODO of this step is green.")
        hints.show(self._repository, self._repository.todo(todo), self._console)

    def _diff(self) -> None:
        difference.mine(self._repository, self._view.step, False, self._console)

    def _next(self) -> None:
        step = self._view.step
        number = step.number + 1
        if number == len(self._repository.steps()):
            raise WorkshopError(
                "This is the last step. Quit, and type python3 -m workshop demo"
            )
        if not self._view.green:
            raise WorkshopError(
                f"Step {step.number:02} is not green yet. To leave it all the same, "
                f"quit, and type python3 -m workshop watch {number}"
            )
        self._go_to(self._repository.step(number))


class View:
    """What there is to be seen of a step."""

    def __init__(self, step: Step, known: Result | None, keys: bool) -> None:
        """Takes: ``known``, how the last check went; ``keys``, if there are any."""
        self.step = step
        self.keys = keys
        self.before: dict[str, str] = {}
        """The state, "red" or "green", of each todo before its last check."""
        self.now: dict[str, str] = {}
        """The same, as far as this check has come."""
        self.is_new = True
        """Whether this step was not checked yet."""
        self.running = False
        self.green = False
        self.failure = ""
        """What the first failure says."""
        self.outcome = ""
        """How the check went, once it has ended."""
        self.trouble = ""
        """Why there is nothing that could be checked."""
        self.note = Text()
        """What a key has asked for."""
        if known:
            self._remember(known, self.before)

    def renewed(self, step: Step) -> View:
        """Return the view at the start of the next check: what was now is before."""
        view = View(step, None, self.keys)
        view.before = {**self.before, **self.now}
        view.is_new = False
        view.running = True
        return view

    def learn(self, checkup: Checkup) -> None:
        """Take in what a check knows so far."""
        verdicts = checkup.verdicts
        for todo in self.step.todos:
            if verdicts.is_red(todo.id):
                self.now[todo.id] = "red"
            elif todo.id in verdicts.green:
                self.now[todo.id] = "green"
        if verdicts.red_suites:
            self.now[EARLIER] = "red"
        if failures := verdicts.failures:
            self.failure = failures[0].message

    def end(self, checkup: Checkup, result: Result) -> None:
        """Take in how a check has ended."""
        self.running = False
        self.green = result.green
        self.outcome = checkup.summary()
        self._remember(result, self.now)
        if checkup.broken and not result.red_suites:
            self.now.pop(EARLIER, None)  # It may not have come so far.

    def _remember(self, result: Result, states: dict[str, str]) -> None:
        for todo in self.step.todos:
            states[todo.id] = "red" if todo.id in result.red_todos else "green"
        if self.step.number > 1:
            states[EARLIER] = "red" if result.red_suites else "green"

    @property
    def red_todo(self) -> str | None:
        """The id of the first todo that is not known to be green."""
        states = {**self.before, **self.now}
        ids = [todo.id for todo in self.step.todos]
        return next((i for i in ids if states.get(i) != "green"), None)

    @property
    def groups(self) -> list[str]:
        """What has a line: the todos, and the earlier steps if there are any."""
        earlier = [EARLIER] if self.step.number > 1 else []
        return [todo.id for todo in self.step.todos] + earlier

    def line(self, group: str) -> Text:
        """Return the line of a group: its state before, its state now, its title."""
        before = self.before.get(group, "")
        now = self.now.get(group, "..." if self.running else "not decided")
        titles = {todo.id: f"{todo.id} {todo.title}" for todo in self.step.todos}
        parts: list[str | tuple[str, str]] = [(now, STYLES.get(now, "dim"))]
        if before not in ("", now):
            parts = [(before, STYLES[before]), " -> ", *parts]
        state = Text.assemble(*parts)
        state.pad_right(max(0, WIDTH - len(state)))
        return state + titles.get(group, group)


class Page(Protocol):
    """Where a view is shown."""

    def begin(self, view: View) -> None:
        """Show that a check has begun."""

    def decided(self, view: View, groups: Sequence[str]) -> None:
        """Show the groups that were decided just now."""

    def ended(self, view: View) -> None:
        """Show how a check has ended, or what the trouble is."""

    def noted(self, view: View) -> None:
        """Show what a key has asked for."""


class Screen:
    """A terminal: it is cleared, and shows everything anew."""

    def __init__(self, console: Console) -> None:
        """Takes: ``console``, the terminal's."""
        self._console = console

    def begin(self, view: View) -> None:
        """See Page."""
        self._draw(view)

    def decided(self, view: View, groups: Sequence[str]) -> None:
        """See Page."""
        self._draw(view)

    def ended(self, view: View) -> None:
        """See Page."""
        self._draw(view)

    def noted(self, view: View) -> None:
        """See Page."""
        self._draw(view)

    def _draw(self, view: View) -> None:
        step = view.step
        above = [Text(f"Step {step.number:02}: {step.title}", "bold"), Text()]
        if view.trouble:
            above.append(Text(f"{view.trouble}\nIt goes on when that is right."))
        else:
            above += map(view.line, view.groups)
        below: list[Text] = []
        if view.running:
            below += [Text(), Text("Checking ...", "dim")]
        if view.outcome:
            below += [Text(), Text(view.outcome)]
        if view.note:
            below += [Text(), view.note]
        below += [Text(), Text(KEYS if view.keys else "Ctrl+C: quit", "dim")]
        failure = []
        if view.failure:
            taken = sum(map(self._height, above + below))
            room = max(LEAST, self._console.height - taken - 2)
            failure = [Text(), Text(self._shortened(view.failure, room))]
        with self._console:  # All of it at once: else it would flicker.
            self._console.clear()
            for part in above + failure + below:
                for line in part.split("\n", allow_blank=True):
                    self._console.print(line, soft_wrap=self._is_command(line))

    def _is_command(self, line: Text) -> bool:
        """Tell whether a line is to be copied: then it must not be broken."""
        return line.plain.startswith(COMMAND)

    def _height(self, text: Text) -> int:
        """Return how many lines of the terminal a text takes."""
        height = 0
        for line in text.split("\n", allow_blank=True):
            if self._is_command(line):
                height += -(-line.cell_len // self._console.width)
            else:
                height += len(line.wrap(self._console, self._console.width))
        return height

    def _shortened(self, text: str, room: int) -> str:
        """Return a text without the middle of it, if it takes more lines than ``room``.

        It begins with what was tried, and ends with the cause, the file and the hint.
        """
        lines = text.splitlines()
        if self._height(Text(text)) <= room:
            return text
        end: list[str] = []
        room -= self._height(Text("\n".join(lines[:HEAD]))) + 1
        while lines[HEAD:] and room >= (height := self._height(Text(lines[-1]))):
            room -= height
            end.insert(0, lines.pop())
        return "\n".join([*lines[:HEAD], f"... ({len(lines) - HEAD} lines)", *end])


class Lines:
    """A file or a pipe: each thing is written once."""

    def __init__(self, console: Console) -> None:
        """Takes: ``console``, where to write."""
        self._console = console

    def begin(self, view: View) -> None:
        """See Page."""
        self._print(Text(f"\nChecking steps/{view.step.name}"))

    def decided(self, view: View, groups: Sequence[str]) -> None:
        """See Page."""
        for group in groups:
            if group in view.groups:
                self._print(view.line(group))

    def ended(self, view: View) -> None:
        """See Page."""
        if EARLIER in view.now:
            self._print(view.line(EARLIER))
        for text in (view.trouble, view.failure, view.outcome):
            if text:
                self._print(Text(text))

    def noted(self, view: View) -> None:
        """See Page."""
        self._print(view.note)

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def learned(step: Step) -> str:
    """Return what the learner can do after a step, as lines of a text."""
    goals = "".join(f"\n- {goal}" for goal in step.objectives)
    return f"\n\nYou can now:{goals}\n\n"
