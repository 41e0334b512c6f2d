"""The chain: every line of every app is accounted for.

Starter N is solution N-1, plus hunks that hold a `# TODO N.k`, plus the files named
`provided`. Solution N is starter N, with only the hunks that hold a TODO changed.
That's why the copies of one file in eleven folders never drift apart.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from tests.proofs.partway import read_lines, todos_in
from workshop.core.apps import app_files, contents, hunks
from workshop.core.steps import TODO, Repository, Step

ANY_TODO = re.compile(r"\bTODO\b")


def check(repository: Repository) -> list[str]:
    """Check the chain through all steps.

    Returns:
        What is wrong, each with its file, its line and what to do. It is empty if
        every line is accounted for.
    """
    problems: list[str] = []
    for before, step in itertools.pairwise(repository.steps()):
        starter, solution = repository.starter(step), repository.solution(step)
        problems += check_marks(step, starter, solution)
        problems += check_starter(step, repository.solution(before), starter)
        problems += check_solution(step, starter, solution)
    return problems


def check_starter(step: Step, previous: Path, starter: Path) -> Iterator[str]:
    """Yield where a starter differs from the solution before it, unmarked."""
    old, new = app_files(previous), app_files(starter)
    before, after = contents(previous), contents(starter)
    for name in sorted(old.keys() | new.keys() | step.provided):
        where, source = shown(starter / name), shown(previous)
        if name in step.provided:
            if before.get(name) == after.get(name):
                yield (
                    f"{where} is as in {source}, or in neither; take it out of "
                    "`provided`."
                )
        elif name not in new:
            yield f"{where} is missing; copy it from {source}, or put it in `provided`."
        elif name not in old:
            yield f"{where} isn't in {source}; put it in `provided`, or remove it."
        else:
            for hunk in hunks(read_lines(old[name]), read_lines(new[name])):
                if not todos_in(hunk.new, step):
                    yield (
                        f"{where}:{hunk.line}: it differs from {source} (line "
                        f"{hunk.old_line} there) without a TODO; make both alike, mark "
                        f"it `# TODO {step.number}.k`, or put the file in `provided`."
                    )


def check_solution(step: Step, starter: Path, solution: Path) -> Iterator[str]:
    """Yield where a solution differs from its starter outside a TODO."""
    old, new = app_files(starter), app_files(solution)
    for name in sorted(old.keys() | new.keys()):
        where, source = shown(solution / name), shown(starter / name)
        if name not in new:
            yield f"{where} is missing; copy it from {source}."
        elif name not in old:
            yield f"{where} isn't in the starter; add it there, or remove it."
        else:
            for hunk in hunks(read_lines(old[name]), read_lines(new[name])):
                todos = sorted(todos_in(hunk.old, step))
                if len(todos) > 1:
                    yield (
                        f"{source}:{hunk.old_line}: the code of the TODOs "
                        f"{' and '.join(todos)} is one stretch, so neither can be done "
                        "alone; keep a line of code between them."
                    )
                if not todos:
                    yield (
                        f"{where}:{hunk.line}: it differs from the starter (line "
                        f"{hunk.old_line} there) outside every TODO; make both alike, "
                        f"or put a `# TODO {step.number}.k` there in the starter."
                    )


def check_marks(step: Step, starter: Path, solution: Path) -> Iterator[str]:
    """Yield TODO marks that are missing, misplaced or left over."""
    wanted = {(todo.id, todo.file) for todo in step.todos}
    found = set()
    for name, number, line in marked(starter):
        where = f"{shown(starter / name)}:{number}"
        ids = TODO.findall(line)
        found |= {(todo_id, name) for todo_id in ids}
        if not ids:
            yield f"{where}: write it `TODO {step.number}.k`, with a TODO's id."
    for todo_id, name in sorted(found - wanted):
        yield f"{shown(starter / name)}: step.toml has no TODO {todo_id} in this file."
    for todo_id, name in sorted(wanted - found):
        yield f"{shown(starter / name)} has no `# TODO {todo_id}`, as step.toml says."
    for name, number, _ in marked(solution):
        yield f"{shown(solution / name)}:{number}: a TODO is left; remove it."


def marked(app: Path) -> Iterator[tuple[str, int, str]]:
    """Yield the file, the number and the text of each line of an app with a TODO."""
    for name, path in app_files(app).items():
        for number, line in enumerate(read_lines(path), start=1):
            if ANY_TODO.search(line):
                yield name, number, line


def shown(path: Path) -> str:
    """Return a path in `steps/` or `solutions/` as messages have it: without the root.

    It is that of an app, or of a file in one.
    """
    app = next(p for p in path.parents if p.name in ("steps", "solutions"))
    return path.relative_to(app.parent).as_posix()
