"""Apps as folders of files: reads, compares and composes them."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from workshop.core.errors import WorkshopError
from workshop.core.steps import TODO, Repository, Step

NOT_THE_APP = frozenset({"README.md", "INSTRUCTOR.md", "step.toml"})
"""Files that lie beside a starter's app and don't belong to it."""
MADE_BY_RUNNING = ("__pycache__", "*.pyc", "*.jsonl", "*.lock", "*.db", "*.db-*", ".*")
"""The same as in .gitignore, because a download without git is checked as well."""


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
    """Return an app's files by their paths in its folder, with "/" on every system."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        made = any(fnmatch(p, made) for p in name.parts for made in MADE_BY_RUNNING)
        if path.is_file() and not made and str(name) not in NOT_THE_APP:
            files[name.as_posix()] = path
    return files


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of an app's files by their paths in it."""
    return {name: path.read_bytes() for name, path in app_files(folder).items()}


def require_files(repository: Repository, step: Step) -> None:
    """Make sure that a learner's app has all the files that it began with.

    Raises:
        WorkshopError: Some are missing. The message says how to get them back.
    """
    app = repository.starter(step)
    names = sorted({"server.py", *app_files(repository.solution(step))})
    lost = [f"steps/{step.name}/{name}" for name in names if not (app / name).is_file()]
    if not lost:
        return
    message = f"{', '.join(lost)} {'is' if len(lost) == 1 else 'are'} missing."
    message += f"\nTo get only that back: git checkout HEAD -- {' '.join(lost)}"
    if step.todos:
        message += (
            f"\nTo start the step over: python3 -m workshop reset {step.number}\n"
            "(That keeps a copy of the files that are there.)"
        )
    raise WorkshopError(message)


def read_lines(path: Path) -> tuple[str, ...]:
    """Return a file's lines with their line breaks, even if it isn't UTF-8."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return tuple(text.splitlines(keepends=True))


def hunks(old: tuple[str, ...], new: tuple[str, ...]) -> list[Hunk]:
    """Return where two versions differ.

    Hunks with only blank lines between them count as one, because a blank line doesn't
    show that the text around it was kept.
    """
    spans: list[tuple[int, int, int, int]] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            continue
        if spans and not "".join(old[spans[-1][1] : i1]).strip():
            i1, _, j1, _ = spans.pop()
        spans.append((i1, i2, j1, j2))
    return [
        Hunk(line=j1 + 1, old_line=i1 + 1, old=old[i1:i2], new=new[j1:j2])
        for i1, i2, j1, j2 in spans
    ]


def patched(lines: Sequence[str], changes: Iterable[Hunk]) -> list[str]:
    """Return the old version of a file with some hunks, in order, made new."""
    result: list[str] = []
    at = 0
    for hunk in changes:
        begin = hunk.old_line - 1
        result += [*lines[at:begin], *hunk.new]
        at = begin + len(hunk.old)
    return [*result, *lines[at:]]


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
    for name, text in partway(repository, step, ids[: ids.index(last) + 1]).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode("utf-8", "surrogateescape"))


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


def same(one: Path | None, other: Path | None) -> bool:
    """Return whether two files exist and have the same bytes."""
    return bool(one and other and one.read_bytes() == other.read_bytes())
