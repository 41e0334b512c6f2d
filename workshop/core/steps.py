"""The steps of the workshop, as their folders and ``step.toml`` files describe them."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from workshop.core.errors import WorkshopError

FOLDER_NAME = re.compile(r"(\d\d)_[a-z0-9_]+")
TODO = re.compile(r"\bTODO (\d+\.\d+)\b")
"""A mark in a starter; group 1 is the todo's id."""
HINTS = 3

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Todo:
    """One edit that the learner makes."""

    id: str
    """The step's number and the todo's own, such as "2.1"."""
    file: str
    """The file to edit, relative to the step's folder."""
    title: str
    hints: tuple[str, ...]
    """A question, the API to use, a sketch."""


@dataclass(frozen=True)
class Step:
    """One step: what the learner reads and edits."""

    number: int
    name: str
    """The name of its folder, the same in steps/, solutions/ and tests/."""
    title: str
    minutes: int
    objectives: tuple[str, ...]
    article: str
    """The section of the article that it covers."""
    provided: frozenset[str]
    """Files that come with the step, or go with it, without the learner's doing."""
    todos: tuple[Todo, ...]


@dataclass(frozen=True)
class Repository:
    """The folders of a workshop."""

    root: Path

    @property
    def state(self) -> Path:
        """Where the runner keeps what it writes."""
        return self.root / ".workshop"

    def starter(self, step: Step) -> Path:
        """Return the folder of the app that the learner edits."""
        return self.root / "steps" / step.name

    def solution(self, step: Step) -> Path:
        """Return the folder of the app with the step done.

        Step 00 has nothing to edit: it is its own solution.
        """
        folder = "solutions" if step.number else "steps"
        return self.root / folder / step.name

    def suite(self, step: Step) -> Path:
        """Return the folder of the step's tests."""
        return self.root / "tests" / step.name

    def steps(self) -> list[Step]:
        """Read every step, in order.

        Raises: WorkshopError, naming the file, when one is not as it must be.
        """
        folders = [
            *(self.root / "steps").glob("[0-9][0-9]_*"),
            *(self.root / "solutions").glob("[0-9][0-9]_*"),
        ]
        names = sorted({folder.name for folder in folders if folder.is_dir()})
        found = []
        for name in names:
            folder = self.root / "steps" / name
            if not folder.is_dir():
                raise WorkshopError(
                    f"The folder steps/{name} is missing. To bring it back: "
                    f"python3 -m workshop reset {int(name[:2])}"
                )
            found.append(read_step(folder))
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
        """Return step ``number``; raises WorkshopError, with a list, if it is none."""
        steps = self.steps()
        if 0 <= number < len(steps):
            return steps[number]
        names = ", ".join(step.name for step in steps)
        raise WorkshopError(f"There is no step {number}. The steps are: {names}.")

    def todo(self, todo_id: str) -> Todo:
        """Return a todo by its id; raises WorkshopError, with a list, if it is none."""
        todos = [todo for step in self.steps() for todo in step.todos]
        for todo in todos:
            if todo.id == todo_id:
                return todo
        step = todo_id.partition(".")[0]
        near = [todo for todo in todos if todo.id.partition(".")[0] == step]
        ids = ", ".join(todo.id for todo in near or todos)
        raise WorkshopError(f"There is no TODO {todo_id}. There are: {ids}.")


def read_step(folder: Path) -> Step:
    """Read and check a step's ``step.toml``.

    Raises: WorkshopError, naming the file and the key, when it is not as it must be.
    """
    path = folder / "step.toml"
    where = f"steps/{folder.name}/step.toml"
    if not FOLDER_NAME.fullmatch(folder.name):
        raise WorkshopError(f"steps/{folder.name}: name it like 03_some_words.")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WorkshopError(
            f"{where} is missing. To bring it back: "
            f"python3 -m workshop reset {int(folder.name[:2])}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WorkshopError(f"{where}: {error}.") from None
    known = {"title", "minutes", "objectives", "article", "provided", "todo"}
    if unknown := sorted(table.keys() - known):
        raise WorkshopError(f"{where}: unknown key {unknown[0]}.")
    number = int(folder.name[:2])
    return Step(
        number=number,
        name=folder.name,
        title=value(table, "title", str, where),
        minutes=value(table, "minutes", int, where),
        objectives=texts(table, "objectives", where),
        article=value(table, "article", str, where),
        provided=frozenset(texts(table, "provided", where)),
        todos=tuple(
            read_todo(entry, f"{number}.{index}", folder, where)
            for index, entry in enumerate(table.get("todo", []), start=1)
        ),
    )


def read_todo(entry: dict[str, Any], todo_id: str, folder: Path, where: str) -> Todo:
    """Read and check one ``[[todo]]``, of which ``todo_id`` must be the id."""
    where = f"{where}, todo {todo_id}"
    if entry.get("id") != todo_id:
        raise WorkshopError(
            f"{where}: its id is {entry.get('id')!r}; they are numbered in order."
        )
    if unknown := sorted(entry.keys() - {"id", "file", "title", "hints"}):
        raise WorkshopError(f"{where}: unknown key {unknown[0]}.")
    todo = Todo(
        id=todo_id,
        file=value(entry, "file", str, where),
        title=value(entry, "title", str, where),
        hints=texts(entry, "hints", where),
    )
    if len(todo.hints) != HINTS or not all(hint.strip() for hint in todo.hints):
        raise WorkshopError(f"{where}: it needs {HINTS} hints, none of them empty.")
    return todo


def value(table: dict[str, Any], key: str, kind: type[Kind], where: str) -> Kind:
    """Return ``table[key]``; raises WorkshopError when it is missing or no ``kind``."""
    found = table.get(key)
    if not isinstance(found, kind) or not found:
        raise WorkshopError(f"{where}: {key} must be a {kind.__name__}, not empty.")
    return found


def texts(table: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Return ``table[key]``, a list of texts that may be empty but not missing."""
    found = table.get(key)
    if not isinstance(found, list) or not all(isinstance(t, str) for t in found):
        raise WorkshopError(f"{where}: {key} must be a list of texts.")
    return tuple(found)


def marks(file: Path) -> set[str]:
    """Return the ids of the TODO marks that a file still has."""
    try:
        return set(TODO.findall(file.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return set()
