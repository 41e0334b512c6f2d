"""What the runner remembers: the results of checks, and the hints already shown."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workshop.core.apps import contents
from workshop.core.files import write_whole
from workshop.core.steps import Repository, Step, marks


@dataclass(frozen=True)
class Result:
    """The outcome of the last check of a step (for step 00: that it was run)."""

    fingerprint: str
    """Of the app's files at that time."""
    green: bool
    red_todos: tuple[str, ...] = ()
    """The ids of its TODOs that aren't green."""
    red_suites: tuple[str, ...] = ()
    """The earlier suites that failed."""


@dataclass(frozen=True)
class Standing:
    """How far the learner is with a step."""

    text: str
    done: bool


def fingerprint(folder: Path) -> str:
    """Return a digest of an app's files, which changes with any of them."""
    digest = hashlib.sha256()
    for name, content in contents(folder).items():
        digest.update(f"{name}\0".encode() + content + b"\0")
    return digest.hexdigest()


def save(repository: Repository, step: Step, result: Result) -> None:
    """Remember the result of a step."""
    write(result_file(repository, step), asdict(result))


def load(repository: Repository, step: Step) -> Result | None:
    """Return the remembered result of a step, or None if there is none."""
    content = read(result_file(repository, step))
    try:
        lists = {name: tuple(content[name]) for name in ("red_todos", "red_suites")}
        return Result(**{**content, **lists})
    except (KeyError, TypeError):
        return None


def forget(repository: Repository, step: Step) -> None:
    """Forget the result of a step, because its app was replaced."""
    result_file(repository, step).unlink(missing_ok=True)


def standing(repository: Repository, step: Step) -> Standing:
    """Return how far the learner is with a step."""
    folder = repository.starter(step)
    result = load(repository, step)
    if result is None:
        untouched = all(todo.id in marks(folder / todo.file) for todo in step.todos)
        return Standing("not started" if untouched else "not checked", done=False)
    if not step.todos:
        return Standing("read", done=True)
    text = "green"
    if not result.green:
        green = len(step.todos) - len(result.red_todos)
        text = f"red {green} of {len(step.todos)}"
        if result.red_suites:
            text += f" (and {', '.join(s[:2] for s in result.red_suites)})"
    if result.fingerprint != fingerprint(folder):
        text += ", edited since"
    return Standing(text, done=result.green)


def visit(repository: Repository, step: Step) -> None:
    """Remember that the learner is at a step."""
    write(repository.state / "here.json", {"step": step.number})


def here(repository: Repository) -> int:
    """Return the number of the step that the learner was at last, at first 0."""
    return int(read(repository.state / "here.json").get("step", 0))


def red_todo(repository: Repository, step: Step) -> str | None:
    """Return the id of a step's first TODO that isn't green; None if all are green."""
    result = load(repository, step)
    red = [todo.id for todo in step.todos] if result is None else result.red_todos
    return next(iter(red), None)


def next_hint_level(repository: Repository, todo_id: str, levels: int) -> int:
    """Return how many hints of a TODO to show, which is one more at each call.

    Args:
        repository: The workshop.
        todo_id: The TODO.
        levels: How many hints there are.
    """
    path = repository.state / "hints.json"
    level = min(levels, hint_level(repository, todo_id) + 1)
    write(path, {**read(path), todo_id: level})
    return level


def hint_level(repository: Repository, todo_id: str) -> int:
    """Return how many hints of a TODO were shown, as far as that is remembered."""
    return int(read(repository.state / "hints.json").get(todo_id, 0))


def result_file(repository: Repository, step: Step) -> Path:
    """Return the file that has the result of a step."""
    return repository.state / "results" / f"{step.number:02}.json"


def read(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or an empty one if the file can't be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object to a file, whole or not at all.

    If that is impossible, the runner remembers less, which is no reason for a command
    to stop. Those that need the disk for something else notice it anyway.
    """
    with suppress(OSError):
        write_whole(path, (json.dumps(content, indent=2) + "\n").encode())
