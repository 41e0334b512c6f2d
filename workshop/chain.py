"""The chain: every line of every app is accounted for.

Starter N is solution N-1, plus hunks that hold a ``# TODO N.k``, plus the files named
``provided``. Solution N is starter N, with only the hunks that hold a TODO changed.
This is how the copies of one file in fifteen folders never drift apart.
"""

from __future__ import annotations

import difflib
import itertools
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from workshop.steps import TODO, Repository, Step

NOT_THE_APP = frozenset({"README.md", "INSTRUCTOR.md", "step.toml"})
"""Beside a starter's app: the lesson, what the instructor reads, what describes it."""
MADE_BY_RUNNING = ("__pycache__", "*.pyc", "*.jsonl", "*.lock", "*.db", "*.db-*", ".*")
"""As .gitignore has them; a download without git must be checked all the same."""
ANY_TODO = re.compile(r"\bTODO\b")


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


def check(repository: Repository) -> list[str]:
    """Check the chain through all steps.

    Returns: what is wrong, each with its file, its line and what to do; empty when
    every line is accounted for.
    """
    return [
        problem
        for before, step in itertools.pairwise(repository.steps())
        for problem in check_step(repository, before, step)
    ]


def check_step(repository: Repository, before: Step, step: Step) -> Iterator[str]:
    """Yield what is wrong between solution N-1 (``before``), starter N, solution N."""
    previous = repository.solution(before)
    solution = repository.solution(step)
    for folder in (previous, solution):
        if not folder.is_dir():
            yield f"{folder.relative_to(repository.root).as_posix()} is missing."
            return
    for name in sorted(NOT_THE_APP):
        if (solution / name).exists():
            yield f"{shown(repository, solution, name)}: remove it; only steps have it."
    yield from check_marks(repository, step)
    yield from check_starter(repository, previous, step)
    yield from check_solution(repository, step)


def check_starter(repository: Repository, previous: Path, step: Step) -> Iterator[str]:
    """Yield where a starter differs from the solution before it, unmarked."""
    starter = repository.starter(step)
    source = shown(repository, previous)
    old, new = app_files(previous), app_files(starter)
    for name in sorted(old.keys() | new.keys()):
        where = shown(repository, starter, name)
        if name in step.provided:
            if same(old.get(name), new.get(name)):
                yield (
                    f"{where}: it is as in {source}; "
                    "take it out of `provided` in step.toml."
                )
        elif name not in new:
            yield f"{where} is missing: copy it from {source}, or put it in `provided`."
        elif name not in old:
            yield (
                f"{where}: {source} has no such file; name it in `provided`, or remove "
                "it."
            )
        else:
            for hunk in hunks(read_lines(old[name]), read_lines(new[name])):
                if not todos_in(hunk.new, step):
                    yield (
                        f"{where}:{hunk.line}: it differs from {source} (line "
                        f"{hunk.old_line} there) without a TODO in the hunk; mark it "
                        f"`# TODO {step.number}.k`, make both alike, or name the file "
                        "in `provided`."
                    )
    for name in sorted(step.provided - old.keys() - new.keys()):
        yield (
            f"steps/{step.name}/step.toml: `provided` names {name}, which neither the "
            f"starter nor {source} has."
        )


def check_solution(repository: Repository, step: Step) -> Iterator[str]:
    """Yield where a solution differs from its starter outside a TODO."""
    starter, solution = repository.starter(step), repository.solution(step)
    source = shown(repository, starter)
    old, new = app_files(starter), app_files(solution)
    for name in sorted(old.keys() | new.keys()):
        where = shown(repository, solution, name)
        if name not in new:
            yield f"{where} is missing: copy it from {source}."
        elif name not in old:
            yield f"{where}: {source} has no such file; add it there, or remove it."
        else:
            for hunk in hunks(read_lines(old[name]), read_lines(new[name])):
                if not todos_in(hunk.old, step):
                    yield (
                        f"{where}:{hunk.line}: it differs from {source} (line "
                        f"{hunk.old_line} there) outside every TODO; make both alike, "
                        f"or put a `# TODO {step.number}.k` there in the starter."
                    )


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


def check_marks(repository: Repository, step: Step) -> Iterator[str]:
    """Yield TODO marks that are missing, misplaced or left over."""
    starter, solution = repository.starter(step), repository.solution(step)
    home = {todo.id: todo.file for todo in step.todos}
    seen = set()
    for name, path in app_files(starter).items():
        for number, line in enumerate(read_lines(path), start=1):
            if not ANY_TODO.search(line):
                continue
            where = f"{shown(repository, starter, name)}:{number}"
            ids = TODO.findall(line)
            if not ids:
                yield f"{where}: write it `TODO {step.number}.k`, with a todo's id."
            for todo_id in ids:
                seen.add(todo_id)
                if todo_id not in home:
                    yield f"{where}: step.toml has no todo {todo_id}."
                elif home[todo_id] != name:
                    yield f"{where}: by step.toml TODO {todo_id} is in {home[todo_id]}."
    for todo in step.todos:
        if todo.id not in seen:
            yield (
                f"{shown(repository, starter, todo.file)}: it has no "
                f"`# TODO {todo.id}`, as step.toml says."
            )
    for name, path in app_files(solution).items():
        for number, line in enumerate(read_lines(path), start=1):
            if ANY_TODO.search(line):
                yield (
                    f"{shown(repository, solution, name)}:{number}: a TODO is left in "
                    "a solution; remove it."
                )


def same(one: Path | None, other: Path | None) -> bool:
    """Tell whether two files both exist and are alike to the byte."""
    return bool(one and other and one.read_bytes() == other.read_bytes())


def shown(repository: Repository, folder: Path, name: str = "") -> str:
    """Return a path as messages have it: from the repository's root."""
    path = PurePosixPath(folder.relative_to(repository.root).as_posix())
    return str(path / name)
