"""``reset``, ``catchup``, ``solve`` and ``restore``: a step's app, replaced.

Whatever is replaced is kept first, whole, in a folder of its own with the date:
``.workshop/saved/<date>_<command>/<step>/``. Only then is the first file changed, each
in one go. So a kill at any moment loses nothing and leaves no half of a file.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from workshop.core import apps, results, starters
from workshop.core.errors import WorkshopError
from workshop.core.files import write_whole
from workshop.core.steps import Repository, Step

STAMP = "%Y-%m-%d_%H.%M.%S.%f"
"""Local time; the names sort by it. Windows allows no colon in a name."""


@dataclass(frozen=True)
class Copy:
    """What a command has replaced."""

    folder: Path
    """Of the step's files, as they were."""

    @property
    def name(self) -> str:
        """What ``restore`` knows it by: its date and the command."""
        return self.folder.parent.name

    @property
    def step(self) -> str:
        """The name of the step."""
        return self.folder.name


def reset(repository: Repository, step: Step, command: str = "reset") -> Copy | None:
    """Make a step's app what it was at the start.

    Takes: ``command``, which the copy is named after.
    Returns: the copy of what was there, or None when it was so already.
    Raises: WorkshopError, before anything is changed, when that cannot be done.
    """
    copy = replace(repository, step, starters.read(repository, step), command)
    results.forget(repository, step)
    return copy


def solve(repository: Repository, step: Step) -> Copy | None:
    """Make a step's app its solution. See reset."""
    if not step.todos:
        raise WorkshopError(f"Step {step.number:02} has nothing to solve.")
    return replace(repository, step, contents(repository.solution(step)), "solve")


def restore(
    repository: Repository, name: str | None = None
) -> tuple[Copy, Copy | None]:
    """Bring a copy back, and keep what it replaces.

    Takes: ``name``, of the copy; the latest by default.
    Returns: the copy, and that of what was there (None when they were alike).
    Raises: WorkshopError, with where to look, when there is no such copy.
    """
    found = copies(repository)
    chosen = [copy for copy in found if name in (None, copy.name)]
    if not found:
        raise WorkshopError("There is no copy yet: reset, catchup and solve make them.")
    if not chosen:
        raise WorkshopError(
            f"There is no copy {name}. To see them: python3 -m workshop restore --list"
        )
    copy = chosen[-1]
    step = next((s for s in repository.steps() if s.name == copy.step), None)
    if step is None:
        raise WorkshopError(f"{copy.folder} is of no step of this workshop.")
    return copy, replace(repository, step, contents(copy.folder), "restore")


def copies(repository: Repository) -> list[Copy]:
    """Return every copy there is, the oldest first."""
    folders = sorted((repository.state / "saved").glob("[0-9]*/*"))
    return [Copy(folder) for folder in folders if folder.is_dir()]


def replace(
    repository: Repository, step: Step, files: Mapping[str, bytes], command: str
) -> Copy | None:
    """Give a step's app other files, and keep those that it has.

    A file of the app that is not among the new ones is removed: left where it is, it
    could be imported.

    Takes: ``files``, by their paths in the app.
    Returns: the copy of what was there, or None when it was the same.
    """
    folder = repository.starter(step)
    before = contents(folder)
    if before == files:
        return None
    copy = keep(repository, step, before, command)
    for name, content in files.items():
        if before.get(name) != content:
            write_whole(folder / name, content, scratch=repository.state)
    for name in before.keys() - files.keys():
        (folder / name).unlink()
    return copy


def keep(
    repository: Repository, step: Step, files: Mapping[str, bytes], command: str
) -> Copy:
    """Copy a step's files to where they are kept; all of them, or it is no copy yet."""
    saved = repository.state / "saved"
    part = saved / f"part-{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    (part / step.name).mkdir(parents=True)
    for name, content in files.items():
        target = part / step.name / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    while (whole := saved / f"{datetime.now():{STAMP}}_{command}").exists():
        time.sleep(0.001)
    part.rename(whole)
    return Copy(whole / step.name)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of an app's files, by their paths in it."""
    files = apps.app_files(folder)
    return {name: path.read_bytes() for name, path in files.items()}
