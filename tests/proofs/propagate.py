"""Carry a change of one step on to all later steps: `python -m tests.proofs.propagate`.

Starter N repeats solution N-1, and solution N repeats starter N, so a change has to be
made in many folders. You make it once, in the first step that has the lines, and this
merges it into the others. The common ancestor of each three-way merge is what the last
run of this program has left, or the last commit if there is a newer one. The chain's
test tells afterwards whether everything fits.
"""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proofs.partway import read_lines, todos_in
from workshop.core import starters
from workshop.core.apps import app_files, hunks
from workshop.core.environment import ROOT
from workshop.core.steps import Repository, Step

CONFLICTS = range(1, 128)
"""What `git merge-file` exits with when so many stretches have to be merged by hand."""


DONE = "refs/propagated"
"""The working tree after the last run, which git keeps beside its branches."""
BY_HAND = "propagated-by-hand"
"""A file of git's that lists what somebody was asked to merge since the last run."""
MARK = b"<<<<<<< "


def git(root: Path, *arguments: str) -> bytes | None:
    """Return what git prints, or None if it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True)
    return None if done.returncode else done.stdout


class Before:
    """The files as they were before the change that is carried on."""

    def __init__(self, root: Path) -> None:
        """Take the state after the last run, unless there is a newer commit."""
        head, above = git(root, "rev-parse", "HEAD"), git(root, "rev-parse", f"{DONE}^")
        self._root = root
        self._commit = DONE if head == above else "HEAD"
        place = git(root, "rev-parse", "--git-path", BY_HAND) or b""
        self.list = root / place.decode().strip()

    def file(self, path: Path) -> bytes | None:
        """Return a file as it was, or None if there was no such file."""
        name = path.relative_to(self._root).as_posix()
        return git(self._root, "show", f"{self._commit}:{name}")

    def by_hand(self, ours: Path, theirs: Path, add: bool = False) -> bool:
        """Return whether somebody was asked to merge `theirs` as it is into `ours`.

        Args:
            ours: The file to change.
            theirs: The file that has changed.
            add: Whether somebody is asked now.
        """
        digest = hashlib.sha256(theirs.read_bytes()).hexdigest()
        line = f"{digest} {ours.relative_to(self._root).as_posix()}\n"
        known = self.list.read_text() if self.list.exists() else ""
        if add:
            self.list.write_text(known + line)
        return line in known


def merged(
    ours: Path, base: bytes, theirs: Path, keep: bool = False
) -> tuple[bytes, int]:
    """Merge what has changed from `base` to `theirs` into `ours`.

    Args:
        ours: The file to change. It is only read.
        base: The text that both come from.
        theirs: The file that has changed.
        keep: Whether to keep our lines where both have changed.

    Returns:
        The new text, and the number of stretches to merge by hand.

    Raises:
        RuntimeError: git can't merge the files.
    """
    with TemporaryDirectory() as folder:
        ancestor = Path(folder, "base")
        ancestor.write_bytes(base)
        names = [str(path) for path in (ours, ancestor, theirs)]
        style = "--ours" if keep else "--diff3"
        command = ["git", "merge-file", style, "-p", *names]
        done = subprocess.run(command, capture_output=True)
    if done.returncode and done.returncode not in CONFLICTS:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    return done.stdout, done.returncode


def carry(earlier: Before, source: Path, target: Path, step: Step, side: str) -> int:
    """Carry the changes of one app on to the next.

    Args:
        earlier: The files before the change.
        source: The folder of the app that has changed.
        target: The folder of the app that repeats it.
        step: The step of the target.
        side: "old" or "new", where a hunk in which the two may differ has a TODO.

    Returns:
        The number of stretches to merge by hand.
    """
    conflicts = 0

    def say(what: str) -> None:
        print(f"{what:<9}{target.parent.name}/{target.name}/{name}")

    provided = step.provided if side == "new" else frozenset()
    old, new = app_files(target), app_files(source)
    for name in sorted(old.keys() | new.keys()):
        before, ours = earlier.file(source / name), target / name
        if name in provided and not (name in old and name in new):
            continue
        if name not in new:
            if before is not None:
                ours.unlink()
                say("removed")
        elif name not in old:
            if before is None:
                ours.parent.mkdir(parents=True, exist_ok=True)
                ours.write_bytes(new[name].read_bytes())
                say("added")
        elif before is None:  # a new file, which was carried on before
            if new[name].read_bytes() != ours.read_bytes():
                say("look at")
        elif MARK in ours.read_bytes():
            say("CONFLICT")
            conflicts += 1
        elif new[name].read_bytes() != before:
            if earlier.by_hand(ours, new[name]):
                continue
            if ours.read_bytes() != earlier.file(ours):
                if name in provided:
                    say("look at")
                    continue
                differing = hunks(read_lines(new[name]), read_lines(ours))
                if all(todos_in(getattr(hunk, side), step) for hunk in differing):
                    continue
            text, by_hand = merged(ours, before, new[name])
            if by_hand and side == "old":
                # A TODO was changed, and the solution has the code in its place.
                text, by_hand = merged(ours, before, new[name], keep=True)
                say("look at")
            if by_hand:
                earlier.by_hand(ours, new[name], add=True)
            if text != ours.read_bytes():
                ours.write_bytes(text)
                say("CONFLICT" if by_hand else "merged")
            conflicts += by_hand
    return conflicts


def main(repository: Repository) -> int:
    """Carry every change on; return 1 if something is left to be merged by hand.

    What was merged before, perhaps by hand, isn't merged again. Where it can't be told
    whether such a file has the whole change, it is listed as one to look at.
    """
    earlier = Before(repository.root)
    for before, step in itertools.pairwise(repository.steps()):
        starter, solution = repository.starter(step), repository.solution(step)
        if carry(earlier, repository.solution(before), starter, step, "new") or carry(
            earlier, starter, solution, step, "old"
        ):
            print("Merge the marked stretches by hand, and type the command again.")
            return 1
    starters.write(repository)
    earlier.list.unlink(missing_ok=True)
    if tree := git(repository.root, "stash", "create"):
        git(repository.root, "update-ref", DONE, tree.decode().strip())
    print("Every later step has the change, and solutions/starters.json fits.")
    return 0


if __name__ == "__main__":
    sys.exit(main(Repository(ROOT)))
