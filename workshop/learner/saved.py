"""``reset``, ``solve`` and ``restore``, which replace the app of a step.

All its files are kept first, in a folder of their own with the date:
``.workshop/saved/<date>_<command>/<step>/``. Only then are they changed, each in one
go, so a kill at any moment loses nothing and leaves no half-written file.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from workshop.core import apps, results, starters
from workshop.core.errors import WorkshopError
from workshop.core.files import write_all, write_whole
from workshop.core.steps import Repository, Step

STAMP = "%Y-%m-%d_%H.%M.%S.%f"
"""Local time. The names sort by it, and Windows allows no colon in a name."""


@dataclass(frozen=True)
class Copy:
    """The files that a command has replaced."""

    folder: Path

    @property
    def name(self) -> str:
        """The name for `restore`: the date and the command."""
        return self.folder.parent.name

    @property
    def step(self) -> str:
        """The name of the step."""
        return self.folder.name


def reset(repository: Repository, step: Step) -> Copy | None:
    """Make a step what it is at its start.

    Returns:
        The copy of its files, or None if they were the same.

    Raises:
        WorkshopError: The solution was changed, from which the starter is made.
    """
    copy = replace(repository, step.name, starters.read(repository, step), "reset")
    results.forget(repository, step)
    return copy


def solve(repository: Repository, step: Step) -> Copy | None:
    """Make a step's app the same as its solution, and return the copy, as `reset`."""
    solution = apps.contents(repository.solution(step))
    return replace(repository, step.name, solution, "solve")


def restore(
    repository: Repository, name: str | None = None
) -> tuple[Copy, Copy | None]:
    """Bring back the copy of a name, or the latest one that has the learner's own code.

    Without a name, it stays in the step that was replaced last.

    Returns:
        The copy, and another one of the replaced files, or None if they were the same.

    Raises:
        WorkshopError: There is no such copy.
    """
    found = copies(repository)
    if not found:
        raise WorkshopError("There is no copy yet. reset and solve make copies.")
    if name is None:
        copy = latest(repository, found[-1].step) or found[-1]
    elif named := [copy for copy in found if copy.name == name]:
        copy = named[-1]
    else:
        raise WorkshopError(
            f"There is no copy {name}. All copies are in {repository.state / 'saved'}"
        )
    return copy, replace(repository, copy.step, apps.contents(copy.folder), "restore")


def latest(repository: Repository, name: str) -> Copy | None:
    """Return the latest copy of a step that has the learner's own code.

    That is neither the starter nor the solution, which anybody can have again. If no
    copy has such code, the latest counts. What is in the step now doesn't count at all.

    Args:
        repository: The workshop.
        name: The name of the step.
    """
    step = repository.step(int(name[:2]))
    now = apps.contents(repository.starter(step))
    shipped = [apps.contents(repository.solution(step))]
    with suppress(WorkshopError):  # without an intact solution there is no starter
        shipped.append(starters.read(repository, step))
    other = None
    for copy in reversed(copies(repository)):
        if copy.step != name or (files := apps.contents(copy.folder)) == now:
            continue
        if files not in shipped:
            return copy
        other = other or copy
    return other


def copies(repository: Repository) -> list[Copy]:
    """Return all copies, the oldest first."""
    folders = sorted((repository.state / "saved").glob("[0-9]*/*"))
    return [Copy(folder) for folder in folders if folder.is_dir()]


def replace(
    repository: Repository, name: str, files: Mapping[str, bytes], command: str
) -> Copy | None:
    """Replace all files of a step's app, after making a copy of them.

    A file that isn't among the new ones is removed, because the app could import it.

    Returns:
        The copy, or None if the files were the same, or there were none.

    Raises:
        OSError: The copy couldn't be made. Nothing was replaced.
        WorkshopError: A file couldn't be written, so only some were replaced.
    """
    folder = repository.root / "steps" / name
    before = apps.contents(folder)
    if before == files:
        return None
    repository.state.mkdir(exist_ok=True)
    copy = keep(repository, name, before, command) if before else None
    try:
        for path, content in files.items():
            if before.get(path) != content:
                write_whole(folder / path, content, scratch=repository.state)
        for path in before.keys() - files.keys():
            (folder / path).unlink()
    except OSError as error:
        if copy is None:
            raise
        raise WorkshopError(
            f"Only a part of steps/{name} was replaced, because {folder / path} can't "
            f"be written: {error.strerror}.\nPut that right, and bring your own files "
            f"back with: python3 -m workshop restore {copy.name}"
        ) from None
    return copy


def keep(
    repository: Repository, name: str, files: Mapping[str, bytes], command: str
) -> Copy:
    """Make a copy of a step's files, which counts only when it is complete."""
    saved = repository.state / "saved"
    part = saved / f"part-{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    try:
        write_all(part / name, files)
        while (whole := saved / f"{datetime.now():{STAMP}}_{command}").exists():
            time.sleep(0.001)
        part.rename(whole)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return Copy(whole / name)
