"""Apps as folders of files: reading them, comparing them, and making them up."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from workshop.core.steps import TODO, Repository, Step

NOT_THE_APP = frozenset({"README.md", "INSTRUCTOR.md", "step.toml"})
"""Beside a starter's app: the lesson, the instructor's notes and the description."""
MADE_BY_RUNNING = ("__pycache__", "*.pyc", "*.jsonl", "*.lock", "*.db", "*.db-*", ".*")
"""As in .gitignore, because a download without git has to be checked as well."""


@dataclass(frozen=True)
class Hunk:
    """A stretch in which two versions of a file differ."""

    line: int
    """Where it begins in the new version, counted from 1."""
    old_line: int
    """Where it begins in the old version, counted from 1."""
    old: tuple[str, ...]
    new: tuple[str, ...]


def app_files(folder: Path) -> dict[str, Path]:
    """Return an app's files by their path in it, "/" between the parts."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        made = any(
            fnmatch(p, pattern) for p in name.parts for pattern in MADE_BY_RUNNING
        )
        if path.is_file() and not made and str(name) not in NOT_THE_APP:
            files[name.as_posix()] = path
    return files


def read_lines(path: Path) -> tuple[str, ...]:
    """Return a file's lines with their ends; any bytes will do."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return tuple(file.read().splitlines(keepends=True))


def hunks(old: tuple[str, ...], new: tuple[str, ...]) -> list[Hunk]:
    """Return where two versions differ.

    Two hunks with nothing but blank lines between them are one: a blank line is no
    sign that the text around it was kept.
    """
    spans: list[tuple[int, int, int, int]] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            continue
        if spans and not "".join(old[spans[-1][1] : i1]).strip():
            i1, j1 = spans[-1][0], spans[-1][2]
            spans.pop()
        spans.append((i1, i2, j1, j2))
    return [
        Hunk(line=j1 + 1, old_line=i1 + 1, old=old[i1:i2], new=new[j1:j2])
        for i1, i2, j1, j2 in spans
    ]


def patched(lines: Sequence[str], changes: Iterable[Hunk]) -> list[str]:
    """Return the old version of a file with some of its hunks changed to the new.

    Takes: ``changes``, in the order of their lines.
    """
    result: list[str] = []
    at = 0
    for hunk in changes:
        begin = hunk.old_line - 1
        result += [*lines[at:begin], *hunk.new]
        at = begin + len(hunk.old)
    return [*result, *lines[at:]]


def todos_in(lines: tuple[str, ...], step: Step) -> set[str]:
    """Return the ids of this step's todos that are marked in some lines."""
    return set(TODO.findall("".join(lines))) & {todo.id for todo in step.todos}


def write_partway(repository: Repository, step: Step, last: str, folder: Path) -> None:
    """Write an app in which a learner has done the first of a step's todos.

    Takes: ``last``, the id of the last todo that is done; ``folder``, where the app
    goes; what is there is removed.
    """
    ids = [todo.id for todo in step.todos]
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in partway(repository, step, ids[: ids.index(last) + 1]).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open(
            "w", encoding="utf-8", errors="surrogateescape", newline=""
        ) as file:
            file.write(text)


def partway(repository: Repository, step: Step, done: Iterable[str]) -> dict[str, str]:
    """Return the files of an app in which some of a step's todos are done.

    Takes: ``done``, their ids.
    Returns: the texts, by the files' paths in the app.
    """
    ids = set(done)
    solution = app_files(repository.solution(step))
    texts = {}
    for name, path in app_files(repository.starter(step)).items():
        old, new = read_lines(path), read_lines(solution[name])
        chosen = [h for h in hunks(old, new) if todos_in(h.old, step) <= ids]
        texts[name] = "".join(patched(old, chosen))
    return texts


def same(one: Path | None, other: Path | None) -> bool:
    """Tell whether two files both exist and are alike to the byte."""
    return bool(one and other and one.read_bytes() == other.read_bytes())
