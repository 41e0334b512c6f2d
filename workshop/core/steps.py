"""The steps of the workshop, read from their folders and `step.toml` files."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from workshop.core.errors import WorkshopError

FOLDER_NAME = re.compile(r"(\d\d)_[a-z0-9_]+")
TODO = re.compile(r"\bTODO (\d+\.\d+)\b")
"""A comment in a starter. Group 1 is the TODO's id."""


@dataclass(frozen=True)
class Todo:
    """One edit that the learner makes."""

    id: str
    """The step's number and its own, such as "2.1"."""
    file: str
    """The file to edit, relative to the step's folder."""
    title: str
    hints: tuple[str, ...]
    """A question, the API to use, and a sketch."""


@dataclass(frozen=True)
class Retired:
    """Tests of earlier steps that a step's app can't pass any more, on purpose."""

    tests: frozenset[str]
    """Names of tests, or ids of TODOs for all of their tests."""
    reason: str


@dataclass(frozen=True)
class Step:
    """One step: what the learner reads and edits."""

    number: int
    name: str
    """The name of its folder, the same in steps/, solutions/ and tests/."""
    title: str
    minutes: int
    objectives: tuple[str, ...]
    provided: frozenset[str]
    """The files that appear or disappear with the step, without the learner's help."""
    todos: tuple[Todo, ...]
    retires: tuple[Retired, ...]


@dataclass(frozen=True)
class Repository:
    """The folders of a workshop."""

    root: Path

    @property
    def state(self) -> Path:
        """The folder for everything that the runner writes."""
        return self.root / ".workshop"

    def starter(self, step: Step) -> Path:
        """Return the folder of the app that the learner edits."""
        return self.root / "steps" / step.name

    def solution(self, step: Step) -> Path:
        """Return the folder of the finished app. Step 00 is its own solution."""
        return self.root / ("solutions" if step.number else "steps") / step.name

    def suite(self, step: Step) -> Path:
        """Return the folder of the step's tests."""
        return self.root / "tests" / step.name

    def steps(self) -> list[Step]:
        """Read every step, in order.

        Raises:
            WorkshopError: A file isn't as it must be. The message names it.
        """
        names = {
            path.name
            for place in ("steps", "solutions")
            for path in (self.root / place).glob("[0-9][0-9]_*")
            if path.is_dir()
        }
        found = [read_step(self.root / "steps" / name) for name in sorted(names)]
        for number, step in enumerate(found):
            if step.number != number:
                raise missing(f"steps/{number:02}_*")
        return found

    def step(self, number: int) -> Step:
        """Return a step; raise WorkshopError with a list if there is no such step."""
        steps = self.steps()
        if 0 <= number < len(steps):
            return steps[number]
        names = ", ".join(step.name for step in steps)
        raise WorkshopError(f"There is no step {number}. The steps are: {names}.")

    def edited(self, number: int) -> Step:
        """Return a step that the learner edits; raise WorkshopError if it isn't one."""
        step = self.step(number)
        if not step.todos:
            raise WorkshopError(
                f"Step {number:02} has nothing to edit. Read steps/{step.name}/"
                f"README.md, and type: python3 -m workshop run {number}"
            )
        return step

    def todo(self, todo_id: str) -> Todo:
        """Return a TODO; raise WorkshopError with a list if there is no such TODO."""
        todos = {todo.id: todo for step in self.steps() for todo in step.todos}
        if todo_id in todos:
            return todos[todo_id]
        step = todo_id.partition(".")[0]
        near = [known for known in todos if known.partition(".")[0] == step]
        ids = ", ".join(near or todos)
        raise WorkshopError(f"There is no TODO {todo_id}. There are: {ids}.")


def read_step(folder: Path) -> Step:
    """Read a step's `step.toml`.

    Raises:
        WorkshopError: It is missing, or isn't as it must be. The message names it.
    """
    where = f"steps/{folder.name}/step.toml"
    try:
        table = tomllib.loads((folder / "step.toml").read_text(encoding="utf-8"))
        return Step(
            number=int(folder.name[:2]),
            name=folder.name,
            title=table["title"],
            minutes=table["minutes"],
            objectives=tuple(table["objectives"]),
            provided=frozenset(table["provided"]),
            todos=tuple(
                Todo(**{**todo, "hints": tuple(todo["hints"])})
                for todo in table.get("todo", [])
            ),
            retires=tuple(
                Retired(frozenset(entry["tests"]), entry["reason"])
                for entry in table.get("retires", [])
            ),
        )
    except FileNotFoundError:
        lost = f"steps/{folder.name}" if not folder.is_dir() else where
        raise missing(lost) from None
    except (ValueError, KeyError, TypeError) as error:
        raise WorkshopError(f"{where} isn't as it must be: {error!r}") from None


def missing(path: str) -> WorkshopError:
    """Return what to say if something is missing that only git can bring back."""
    # A shell would look for files that match a pattern. cmd.exe knows no other quotes.
    quoted = f'"{path}"' if "*" in path else path
    return WorkshopError(
        f"{path} is missing. To bring it back: git checkout HEAD -- {quoted}\n"
        "If you don't use git, copy it from a fresh download of the workshop."
    )


def marks(file: Path) -> set[str]:
    """Return the ids of the TODO comments that a file still has."""
    if not file.is_file():
        return set()
    return set(TODO.findall(file.read_text(encoding="utf-8", errors="replace")))
