"""Apps in which only some of a step's TODOs are done, as a learner leaves them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from workshop.core.apps import app_files, hunks, patched
from workshop.core.files import write_all
from workshop.core.steps import TODO, Repository, Step


def read_lines(path: Path) -> tuple[str, ...]:
    """Return a file's lines with their line breaks, even if it isn't UTF-8."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return tuple(text.splitlines(keepends=True))


def todos_in(lines: tuple[str, ...], step: Step) -> set[str]:
    """Return the ids of this step's TODOs that some lines name."""
    return set(TODO.findall("".join(lines))) & {todo.id for todo in step.todos}


def write_partway(repository: Repository, step: Step, last: str, folder: Path) -> None:
    """Write an app in which a learner has done the first few of a step's TODOs.

    Args:
        repository: The workshop.
        step: The step.
        last: The id of the last TODO that is done.
        folder: Where the app goes, in place of what is there.
    """
    ids = [todo.id for todo in step.todos]
    shutil.rmtree(folder, ignore_errors=True)
    texts = partway(repository, step, ids[: ids.index(last) + 1]).items()
    write_all(folder, {n: text.encode("utf-8", "surrogateescape") for n, text in texts})


def partway(repository: Repository, step: Step, done: Iterable[str]) -> dict[str, str]:
    """Return the texts of an app in which some of a step's TODOs are done.

    Args:
        repository: The workshop.
        step: The step.
        done: The ids of those TODOs.

    Returns:
        The texts by the files' paths in the app.
    """
    ids = set(done)
    solution = app_files(repository.solution(step))
    texts = {}
    for name, path in app_files(repository.starter(step)).items():
        old, new = read_lines(path), read_lines(solution[name])
        chosen = [h for h in hunks(old, new) if todos_in(h.old, step) <= ids]
        texts[name] = "".join(patched(old, chosen))
    return texts
