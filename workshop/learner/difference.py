"""``diff``: a learner's step compared with its solution, or two steps compared."""

from __future__ import annotations

import difflib
import os
from contextlib import nullcontext
from pathlib import Path, PurePath

from rich.text import Text

from workshop.core import apps, results
from workshop.core.errors import WorkshopError
from workshop.core.output import console, say
from workshop.core.steps import Repository, Step
from workshop.learner import saved

STYLES = {"-": "red", "+": "green", "@": "cyan"}


def mine(repository: Repository, step: Step, file: str | None, spoil: bool) -> None:
    """Show how a learner's step differs from its solution.

    If it doesn't, for example because of `solve`, the latest copy of the learner's own
    files is compared instead.

    Args:
        repository: The workshop.
        step: The step.
        file: The only file to compare. Its path may be shortened, or begin at the root.
        spoil: Whether to show the solution before the step is green.

    Raises:
        WorkshopError: The step isn't green, or there is no such file.
    """
    if not spoil:
        require_green(repository, [step], f"diff {step.number}")
    ours, theirs = repository.starter(step), repository.solution(step)
    same = results.fingerprint(ours) == results.fingerprint(theirs)
    if same and (copy := saved.latest(repository, step.name)):
        say(console(), f"steps/{step.name} is the same as its solution.")
        say(console(), f"This compares your latest copy of it, {copy.name}.")
        ours = copy.folder
    show(repository.root, ours, theirs, file)


def between(
    repository: Repository, before: Step, after: Step, file: str | None, spoil: bool
) -> None:
    """Show how the solution of one step differs from that of another. See `mine`."""
    first, last = sorted((before.number, after.number))
    if not spoil:
        command = f"diff {before.number} {after.number}"
        require_green(repository, repository.steps()[first + 1 : last + 1], command)
    one, other = repository.solution(before), repository.solution(after)
    show(repository.root, one, other, file)


def require_green(repository: Repository, steps: list[Step], command: str) -> None:
    """Make sure that the learner has finished some steps, or raise WorkshopError."""
    for step in steps:
        result = results.load(repository, step)
        if step.todos and not (result and result.green):
            raise WorkshopError(
                f"Step {step.number:02} isn't green yet, and this shows its solution. "
                f"First: python3 -m workshop check {step.number}\n"
                f"To see it anyway: python3 -m workshop {command} --spoil"
            )


def show(root: Path, old: Path, new: Path, file: str | None) -> None:
    """Print how two apps, or one file of them, differ; on a terminal page by page."""
    ours, theirs = apps.app_files(old), apps.app_files(new)
    names = sorted(ours.keys() | theirs.keys())
    if file is not None:
        wanted = f"/{PurePath(file).as_posix()}"
        found = [
            n for n in names if f"/{n}".endswith(wanted) or wanted.endswith(f"/{n}")
        ]
        if not found:
            raise WorkshopError(
                f"There is no file {file}. There are: {', '.join(names)}"
            )
        names = found
    lines: list[str] = []
    before, after = (folder.relative_to(root).as_posix() for folder in (old, new))
    for name in names:
        one, other = read(ours.get(name)), read(theirs.get(name))
        paths = f"{before}/{name}", f"{after}/{name}"
        lines += difflib.unified_diff(one, other, *paths, lineterm="")
    out = console()
    if not lines:
        say(out, f"{before} and {after} have the same {file or 'files'}.")
    # For less: show colours, and don't wait at the end of a text that fits the screen.
    os.environ.setdefault("LESS", "-FRX")
    with out.pager(styles=True) if lines and out.is_terminal else nullcontext():
        for line in lines:
            style = STYLES.get(line[:1], "") if out.is_terminal else ""
            out.print(Text(line, style), soft_wrap=True)


def read(path: Path | None) -> list[str]:
    """Return the lines of a text, or none if there is no file."""
    if path is None:
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
