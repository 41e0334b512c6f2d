"""The steps of the workshop, read from their folders and `step.toml` files."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from workshop.core.errors import WorkshopError

FOLDER_NAME = re.compile(r"(\d\d)_[a-z0-9_]+")
TODO = re.compile(r"\bTODO (\d+\.\d+)\b")
"""A comment in a starter. Group 1 is the TODO's id."""
HINTS = 3

Kind = TypeVar("Kind")


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
                raise WorkshopError(
                    f"There is no step {number:02} in steps/. Copy its folder from a "
                    "fresh download of the workshop, or bring it back with git:\n"
                    f'git checkout HEAD -- "steps/{number:02}_*"'
                )
        if not found:
            raise WorkshopError(f"{self.root / 'steps'} has no steps.")
        return found

    def step(self, number: int) -> Step:
        """Return a step; raise WorkshopError with a list if there is no such step."""
        steps = self.steps()
        if 0 <= number < len(steps):
            return steps[number]
        names = ", ".join(step.name for step in steps)
        raise WorkshopError(f"There is no step {number}. The steps are: {names}.")

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
        WorkshopError: It isn't as it must be. The message names the file and the key.
    """
    where = f"steps/{folder.name}/step.toml"
    if not FOLDER_NAME.fullmatch(folder.name):
        raise WorkshopError(f"steps/{folder.name}: name it like 03_some_words.")
    try:
        table = tomllib.loads((folder / "step.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        lost = where if folder.is_dir() else f"The folder steps/{folder.name}"
        raise WorkshopError(
            f"{lost} is missing. To bring it back: "
            f"python3 -m workshop reset {int(folder.name[:2])}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WorkshopError(f"{where}: {error}.") from None
    known = {"title", "minutes", "objectives", "article", "provided", "retires", "todo"}
    forbid_others(table, known, where)
    number = int(folder.name[:2])
    return Step(
        number=number,
        name=folder.name,
        title=value(table, "title", str, where),
        minutes=value(table, "minutes", int, where),
        objectives=texts(table, "objectives", where),
        provided=frozenset(texts(table, "provided", where)),
        todos=tuple(
            read_todo(entry, f"{number}.{index}", where)
            for index, entry in enumerate(table.get("todo", []), start=1)
        ),
        retires=tuple(
            read_retired(entry, f"{where}, retires")
            for entry in table.get("retires", [])
        ),
    )


def read_retired(entry: dict[str, Any], where: str) -> Retired:
    """Read one of the `[[retires]]`, and raise as `read_step` does."""
    forbid_others(entry, {"tests", "reason"}, where)
    tests = frozenset(texts(entry, "tests", where))
    return Retired(tests, value(entry, "reason", str, where))


def read_todo(entry: dict[str, Any], todo_id: str, where: str) -> Todo:
    """Read a `[[todo]]`, which must have a given id, and raise as `read_step` does."""
    where = f"{where}, todo {todo_id}"
    forbid_others(entry, {"id", "file", "title", "hints"}, where)
    if entry.get("id") != todo_id:
        raise WorkshopError(
            f"{where}: its id is {entry.get('id')!r}, but they are numbered in order."
        )
    hints = texts(entry, "hints", where)
    if len(hints) != HINTS or not all(hint.strip() for hint in hints):
        raise WorkshopError(f"{where}: it needs {HINTS} hints, and no empty ones.")
    file, title = (value(entry, key, str, where) for key in ("file", "title"))
    return Todo(todo_id, file, title, hints)


def forbid_others(table: dict[str, Any], known: set[str], where: str) -> None:
    """Raise WorkshopError if a table has a key that isn't known."""
    if unknown := sorted(table.keys() - known):
        raise WorkshopError(f"{where}: unknown key {unknown[0]}.")


def value(table: dict[str, Any], key: str, kind: type[Kind], where: str) -> Kind:
    """Return `table[key]`; raise WorkshopError if it is empty or of another kind."""
    found = table.get(key)
    if not isinstance(found, kind) or not found:
        raise WorkshopError(f"{where}: {key} must be a {kind.__name__}, not empty.")
    return found


def texts(table: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Return `table[key]`, a list of texts, which may be empty but not missing."""
    found = table.get(key)
    if not isinstance(found, list) or not all(isinstance(t, str) for t in found):
        raise WorkshopError(f"{where}: {key} must be a list of texts.")
    return tuple(found)


def marks(file: Path) -> set[str]:
    """Return the ids of the TODO comments that a file still has."""
    if not file.is_file():
        return set()
    return set(TODO.findall(file.read_text(encoding="utf-8", errors="replace")))
