"""Apps as folders of files: reads and compares them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from workshop.core.errors import WorkshopError
from workshop.core.steps import Repository, Step

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
