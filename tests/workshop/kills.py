"""kill -9 at random moments: what becomes of the learner's files, and of processes.

For maintainers: ``.venv/bin/python -m tests.workshop.kills 50`` kills each of the
commands 50 times in a copy of the workshop, and prints what it found (10 minutes).
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from workshop.core import processes, starters
from workshop.core.steps import Repository, Step
from workshop.learner import saved

ROOT = Path(__file__).resolve().parents[2]
GONE = 15.0
"""Seconds after which a process that is still there counts as left."""
STEP = 2
"""The step that the commands get: the first whose app has all kinds of processes."""
MANY = 400
"""Files that a learner's app gets, so that it takes a while to replace them all."""


@dataclass
class Figures:
    """What was found in all rounds of a command."""

    rounds: int = 0
    midway: int = 0
    """Rounds in which the kill came in the middle of something."""
    damaged: int = 0
    """Files of the learner's that were lost or half-written."""
    left: int = 0
    """Processes that were left."""
    longest: float = 0.0
    """Seconds from a kill until the last process was gone, at most."""

    def count(self, midway: bool, damaged: int, left: int, seconds: float) -> None:
        """Take in a round."""
        self.rounds += 1
        self.midway += midway
        self.damaged += damaged
        self.left += left
        self.longest = max(self.longest, seconds)


def family(root: Path) -> set[psutil.Process]:
    """Return what runs in a folder, found without the marks that the runner uses."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            inside = Path(process.cwd()).is_relative_to(root)
            if inside and processes.is_alive(process):
                found.add(process)
    return found


def kill(process: subprocess.Popen[bytes], root: Path) -> tuple[int, float]:
    """Kill a command; wait until all that it had started is gone.

    Takes: ``root``, the folder in which all of that runs.
    Returns: how many are left, and the seconds until the last was gone.
    """
    process.kill()
    began = time.monotonic()
    process.wait()
    while (left := family(root)) and time.monotonic() - began < GONE:
        time.sleep(0.02)
    seconds = time.monotonic() - began
    processes.kill(left)
    return len(left), seconds


def start(repository: Repository, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command of a workshop."""
    return subprocess.Popen(
        [sys.executable, str(repository.root / "workshop"), *arguments],
        cwd=repository.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def torn(folder: Path) -> int:
    """Return how many JSON files in a folder, or below it, are not whole."""
    count = 0
    for path in folder.rglob("*.json"):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            count += 1
    return count


def tests_killed(
    repository: Repository, command: str, step: Step, after: float, save: bool
) -> tuple[bool, int, int, float]:
    """Kill ``check`` or ``watch`` some seconds after its start.

    Takes: ``save``, to save a file of the app halfway. Returns: see Figures.count.
    """
    app = repository.starter(step)
    process = start(repository, command, str(step.number))
    time.sleep(after / 2)
    if save:
        saved_file = app / step.todos[0].file
        text = saved_file.read_text(encoding="utf-8")
        saved_file.write_text(text + "# saved\n", encoding="utf-8")
    before = saved.contents(app)
    time.sleep(after / 2)
    midway = len(family(repository.root)) > 2
    left, seconds = kill(process, repository.root)
    now = saved.contents(app)
    damaged = sum(now.get(name) != before[name] for name in before)
    return midway, damaged + torn(repository.state), left, seconds


def replacement_killed(
    repository: Repository, command: str, step: Step, after: float
) -> tuple[bool, int, int, float]:
    """Kill a command that replaces an app, some seconds after its first change.

    Takes: ``command``, one of ``reset``, ``solve`` and ``restore``.

    Returns: see Figures.count.
    """
    app = repository.starter(step)
    for number in range(MANY):
        path = app / "app" / f"more_{number}.py"
        path.write_text(f"mine = {number}\n" * 50, encoding="utf-8")
    (app / step.todos[0].file).write_text("mine = True\n", encoding="utf-8")
    before = saved.contents(app)
    solution = saved.contents(repository.solution(step))
    arguments = [] if command == "restore" else [str(step.number)]
    if command == "restore":
        saved.keep(repository, step.name, solution, "earlier")
    after_all = starters.read(repository, step) if command == "reset" else solution
    copies = len(saved.copies(repository))
    parts = set((repository.state / "saved").glob("*"))
    process = start(repository, command, *arguments)
    while process.poll() is None:
        if set((repository.state / "saved").glob("*")) - parts:
            break
    time.sleep(after)
    midway = process.poll() is None
    left, seconds = kill(process, repository.root)
    now = saved.contents(app)
    damaged = sum(now[n] not in (before.get(n), after_all.get(n)) for n in now)
    made = [saved.contents(c.folder) for c in saved.copies(repository)[copies:]]
    kept = any(copy == before for copy in made)
    for name, content in before.items():
        damaged += not kept and now.get(name) != content
    damaged += sum(copy != before for copy in made)
    return midway, damaged + torn(repository.state), left, seconds


def main(rounds: int, seed: int) -> int:
    """Kill each command many times; print the figures.

    Takes: ``seed``, of the random moments. Returns: the exit status, 0 when nothing
    was damaged and nothing left.
    """
    chance = random.Random(seed)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "workshop"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        repository = Repository(root)
        step = repository.step(STEP)
        for command in ("check", "watch", "reset", "solve", "restore"):
            figures = Figures()
            for _ in range(rounds):
                if command in ("check", "watch"):
                    save = command == "watch" and chance.random() < 0.5
                    after = chance.uniform(0, 7)
                    found = tests_killed(repository, command, step, after, save)
                else:
                    after = chance.uniform(0, 0.2)
                    found = replacement_killed(repository, command, step, after)
                figures.count(*found)
                shutil.rmtree(repository.state / "saved", ignore_errors=True)
            print(command, figures, flush=True)
            bad += figures.damaged + figures.left
            saved.reset(repository, step.number)
    return 1 if bad else 0


if __name__ == "__main__":
    ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print(f"rounds {ROUNDS}, seed {SEED}")
    sys.exit(main(ROUNDS, SEED))
