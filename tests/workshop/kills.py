"""Kill commands at random moments: are the learner's files whole, and processes gone?

For maintainers: `.venv/bin/python -m tests.workshop.kills 50` kills each command 50
times in a copy of the workshop, and prints what it found. That takes ten minutes.
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

ROOT = Path(__file__).resolve().parents[2]
GONE = 15.0
"""Seconds after which a process that is still there counts as left."""
STEP = 2
"""The step that the commands get, the first whose app has all kinds of processes."""
MANY = 400
"""Files that are added to the learner's app, so that replacing them takes a while."""
LONGEST = {"check": 7, "watch": 7, "reset": 0.2, "solve": 0.2, "restore": 0.2}
"""Seconds from a command's first change of files to the kill, at most."""


@dataclass
class Figures:
    """What all rounds of a command have shown."""

    rounds: int = 0
    midway: int = 0
    """Rounds in which the command was still running."""
    damaged: int = 0
    """Files that were lost or half written."""
    left: int = 0
    """Processes that were left."""
    longest: float = 0.0
    """Seconds from a kill until the last process was gone, at most."""

    def count(self, midway: bool, damaged: int, left: int, seconds: float) -> None:
        """Add a round."""
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


def start(repository: Repository, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command of a workshop."""
    return subprocess.Popen(
        [sys.executable, str(repository.root / "workshop"), *arguments],
        cwd=repository.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def texts(folder: Path) -> set[tuple[str, bytes]]:
    """Return the names and contents of the Python files in a folder."""
    return {(path.name, path.read_bytes()) for path in folder.rglob("*.py")}


def half_written(folder: Path) -> int:
    """Return how many JSON files in a folder can't be read."""
    count = 0
    for path in folder.rglob("*.json"):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            count += 1
    return count


def replacement_killed(
    repository: Repository, command: str, step: Step, after: float
) -> tuple[bool, int, int, float]:
    """Kill a command some seconds after its first change of files.

    Args:
        repository: The workshop.
        command: One of `LONGEST`.
        step: The step that it gets.
        after: Seconds from the first change to the kill.

    Returns:
        The arguments of `Figures.count`.
    """
    app, state = repository.starter(step), repository.state
    start(repository, "solve", str(step.number)).wait()
    known = texts(repository.root)
    starter = starters.read(repository, step)
    known |= {(Path(name).name, content) for name, content in starter.items()}
    for number in range(MANY):
        text = f"mine = {number}, {time.monotonic()}\n" * 50
        (app / f"app/more_{number}.py").write_text(text)
    mine = texts(app)
    files = set(state.rglob("*"))
    words = () if command == "restore" else (str(step.number),)
    process = start(repository, command, *words)
    while process.poll() is None and set(state.rglob("*")) == files:
        time.sleep(0.001)
    time.sleep(after)
    midway = process.poll() is None
    process.kill()
    began = time.monotonic()
    process.wait()
    while (left := family(repository.root)) and time.monotonic() - began < GONE:
        time.sleep(0.02)
    seconds = time.monotonic() - began
    processes.kill(left)
    # A copy is called part-... until all of it is there.
    for part in (state / "saved").glob("part-*"):
        shutil.rmtree(part)
    now = texts(app) | texts(state)
    damaged = len(mine - now) + len(now - mine - known) + half_written(state)
    return midway, damaged, len(left), seconds


def main(rounds: int = 50, seed: int = 1) -> int:
    """Kill each command many times, and print the figures.

    Args:
        rounds: How many times.
        seed: Of the random moments.

    Returns:
        The exit status, which is 0 if nothing was damaged and no process was left.
    """
    chance = random.Random(seed)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "workshop"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        repository = Repository(root)
        for command, longest in LONGEST.items():
            figures = Figures()
            for _ in range(rounds):
                after = chance.uniform(0, longest)
                step = repository.step(STEP)
                figures.count(*replacement_killed(repository, command, step, after))
                shutil.rmtree(repository.state)
            print(command, figures, flush=True)
            bad += figures.damaged + figures.left
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
