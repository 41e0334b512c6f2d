"""Carry a change of one step on to all later steps: `python -m tests.proofs.propagate`.

Starter N repeats solution N-1, and solution N repeats starter N, so a change has to be
made in many folders. You make it once, in the first step that has the lines, and this
merges it into the others. The common ancestor of each three-way merge is what git has
as the last commit. The chain's test tells afterwards whether everything fits.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from workshop.core import starters
from workshop.core.apps import app_files, hunks, read_lines, todos_in
from workshop.core.environment import ROOT
from workshop.core.steps import Repository, Step

CONFLICTS = range(1, 128)
"""What `git merge-file` exits with when so many stretches have to be merged by hand."""


def committed(path: Path) -> bytes | None:
    """Return a file as the last commit has it, or None if it has no such file."""
    shown = subprocess.run(
        ["git", "show", f"HEAD:./{path.name}"],
        cwd=next(folder for folder in path.parents if folder.is_dir()),
        capture_output=True,
    )
    return None if shown.returncode else shown.stdout


def merged(ours: Path, base: bytes, theirs: Path) -> tuple[bytes, int]:
    """Merge what has changed from `base` to `theirs` into `ours`.

    Returns:
        The new text, and the number of stretches to merge by hand.

    Raises:
        RuntimeError: git can't merge the files.
    """
    with TemporaryDirectory() as folder:
        ancestor = Path(folder, "base")
        ancestor.write_bytes(base)
        command = ["git", "merge-file", "-p", str(ours), str(ancestor), str(theirs)]
        done = subprocess.run(command, capture_output=True)
    if done.returncode and done.returncode not in CONFLICTS:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    return done.stdout, done.returncode


def carry(source: Path, target: Path, step: Step, side: str) -> int:
    """Carry the changes of one app on to the next.

    Args:
        source: The folder of the app that has changed.
        target: The folder of the app that repeats it.
        step: The step of the target.
        side: "old" or "new", where a hunk in which the two may differ has a TODO.

    Returns:
        The number of stretches to merge by hand.
    """
    conflicts = 0
    provided = step.provided if side == "new" else frozenset()
    old, new = app_files(target), app_files(source)
    for name in sorted(old.keys() | new.keys()):
        before, ours = committed(source / name), target / name
        if name in provided and not (name in old and name in new):
            continue
        if name not in new:
            if before is not None:
                ours.unlink()
                print(f"removed  {ours}")
        elif name not in old:
            if before is None:
                ours.parent.mkdir(parents=True, exist_ok=True)
                ours.write_bytes(new[name].read_bytes())
                print(f"added    {ours}")
        elif before is not None and new[name].read_bytes() != before:
            if ours.read_bytes() != committed(ours):  # merged before, perhaps by hand
                if name in provided:
                    print(f"left     {ours}, which you have changed already")
                    continue
                differing = hunks(read_lines(new[name]), read_lines(ours))
                if all(todos_in(getattr(hunk, side), step) for hunk in differing):
                    continue
            text, by_hand = merged(ours, before, new[name])
            if text != ours.read_bytes():
                ours.write_bytes(text)
                print(f"{'CONFLICT' if by_hand else 'merged  '} {ours}")
            conflicts += by_hand
    return conflicts


def main(repository: Repository) -> int:
    """Carry every change on; return 1 if something is left to be merged by hand."""
    for before, step in itertools.pairwise(repository.steps()):
        starter, solution = repository.starter(step), repository.solution(step)
        if carry(repository.solution(before), starter, step, "new") or carry(
            starter, solution, step, "old"
        ):
            print("Merge the marked stretches by hand, and type the command again.")
            return 1
    starters.write(repository)
    return 0


if __name__ == "__main__":
    sys.exit(main(Repository(ROOT)))
