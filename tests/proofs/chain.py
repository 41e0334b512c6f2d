"""The chain: every line of every app is accounted for.

Starter N is solution N-1, plus hunks that hold a `# TODO N.k`, plus the files named
`provided`. Solution N is starter N, with only the hunks that hold a TODO changed.
That's why the copies of one file in eleven folders never drift apart.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from workshop.core.apps import NOT_THE_APP, app_files, hunks, read_lines, same, todos_in
from workshop.core.steps import TODO, Repository, Step

ANY_TODO = re.compile(r"\bTODO\b")


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
                todos = sorted(todos_in(hunk.old, step))
                if len(todos) > 1:
                    yield (
                        f"{shown(repository, starter, name)}:{hunk.old_line}: the code "
                        f"of the TODOs {' and '.join(todos)} is one stretch, so "
                        "neither can be done alone; keep a line of code between them."
                    )
                if not todos:
                    yield (
                        f"{where}:{hunk.line}: it differs from {source} (line "
                        f"{hunk.old_line} there) outside every TODO; make both alike, "
                        f"or put a `# TODO {step.number}.k` there in the starter."
                    )


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


def shown(repository: Repository, folder: Path, name: str = "") -> str:
    """Return a path as messages have it: from the repository's root."""
    path = PurePosixPath(folder.relative_to(repository.root).as_posix())
    return str(path / name)
