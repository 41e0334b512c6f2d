"""``diff``: a learner's step compared with its solution, or two steps compared."""

from __future__ import annotations

import difflib
from pathlib import Path

from rich.text import Text

from workshop.core import apps, results
from workshop.core.errors import WorkshopError
from workshop.core.output import console, say
from workshop.core.steps import Repository, Step

STYLES = {"-": "red", "+": "green", "@": "cyan"}


def mine(repository: Repository, step: Step, spoil: bool) -> None:
    """Show how a learner's step differs from its solution.

    Args:
        repository: The workshop.
        step: The step.
        spoil: Whether to show the solution before the step is green.

    Raises:
        WorkshopError: The step isn't green.
    """
    if not spoil:
        require_green(repository, [step], f"diff {step.number}")
    show(repository.root, repository.starter(step), repository.solution(step))


def between(repository: Repository, before: Step, after: Step, spoil: bool) -> None:
    """Show how the solution of one step differs from that of another. See `mine`."""
    first, last = sorted((before.number, after.number))
    if not spoil:
        command = f"diff {before.number} {after.number}"
        require_green(repository, repository.steps()[first + 1 : last + 1], command)
    show(repository.root, repository.solution(before), repository.solution(after))


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


def show(root: Path, old: Path, new: Path) -> None:
    """Print how two apps differ, or that they don't."""
    out = console()
    ours, theirs = apps.app_files(old), apps.app_files(new)
    before, after = (folder.relative_to(root).as_posix() for folder in (old, new))
    same = True
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = read(ours.get(name)), read(theirs.get(name))
        paths = f"{before}/{name}", f"{after}/{name}"
        for line in difflib.unified_diff(one, other, *paths, lineterm=""):
            same = False
            out.print(Text(line, STYLES.get(line[:1], "")), soft_wrap=True)
    if same:
        say(out, f"{before} and {after} have the same files.")


def read(path: Path | None) -> list[str]:
    """Return the lines of a text, or none if there is no file."""
    if path is None:
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
