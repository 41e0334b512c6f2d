"""A run of somebody else's code within limits, and nothing of it left behind.

The limits are looked at a few times a second: what is passed between two looks is
passed. They protect the instructor's evening, not the machine from an attacker; for
that, use a container (see GRADING.md).
"""

from __future__ import annotations

import os
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from workshop.core import processes
from workshop.core.suites import SuiteRun

POLL = 0.1
"""Seconds between two looks at the limits."""
END = 10.0
"""Seconds that it may take to kill what a run has started."""
BLOCK = 4096
"""Bytes that a file is counted with at least: an empty one costs something too."""


@dataclass(frozen=True)
class Limits:
    """What the run of one suite may use."""

    seconds: float
    memory: int
    """Megabytes of all its processes together, as the system counts them (RSS)."""
    processes: int
    output: int
    """Megabytes that it may write to its folder, the logs of the app among them."""


class Family:
    """All processes that this one has started, also those that tried to get away.

    On Linux they cannot: this process adopts their orphans. Elsewhere they are known
    by their parents, their session and the mark in their environment.
    """

    def __init__(self, marks: str) -> None:
        """Takes: ``marks``, those that this process was started with."""
        self._marks = marks
        self._known: set[psutil.Process] = set()
        self._strangers: set[psutil.Process] = set()
        self._me = psutil.Process()
        processes.adopt_orphans()

    def look(self) -> set[psutil.Process]:
        """Return those that are alive now."""
        self._known |= processes.descendants(self._me.pid)
        parents = {process.pid for process in self._known}
        sessions = {s for p in self._known if (s := session_of(p.pid))}
        sessions.discard(session_of(self._me.pid))
        self._strangers.add(self._me)
        for process in psutil.process_iter():
            if process in self._strangers or process in self._known:
                continue
            try:
                environment = process.environ()
                if (
                    environment.get(processes.MARKS, "").startswith(self._marks)
                    or process.ppid() in parents
                    or session_of(process.pid) in sessions
                ):
                    self._known.add(process)
                elif environment:  # It has none while it is being started.
                    self._strangers.add(process)
            except (psutil.Error, OSError):
                continue
        self._known = {p for p in self._known if processes.is_alive(p)}
        return set(self._known)

    def end(self) -> bool:
        """Kill all of them, even while they start others; return whether all are gone.

        They are suspended first, until none is found that still runs: who is suspended
        starts nothing. So a fork bomb loses the race.
        """
        deadline = time.monotonic() + END
        while (members := self.look()) and time.monotonic() < deadline:
            suspended: set[psutil.Process] = set()
            while (fresh := members - suspended) and time.monotonic() < deadline:
                for process in fresh:
                    with suppress(psutil.Error):
                        process.suspend()
                suspended |= fresh
                members |= self.look()
            processes.kill(members)
        return not self.look()

    def bury(self, but: int) -> None:
        """Take note of the ends of orphans that this process has adopted.

        Takes: ``but``, the pid of the child that somebody else waits for.
        """
        for child in self._me.children():
            with suppress(psutil.Error, OSError):
                if child.pid != but and child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, 0)


def session_of(pid: int) -> int | None:
    """Return the session of a process; None where there is none."""
    if sys.platform != "win32":
        with suppress(OSError):
            return os.getsid(pid)
    return None


def supervise(
    run: SuiteRun, family: Family, folder: Path, limits: Limits
) -> str | None:
    """Follow a run to its end, or until it passes a limit; then kill all of it.

    Takes: ``folder``, which it writes to; what is there already does not count.
    Returns: the limit that was passed, "time", "memory", "processes" or "output", or
    None. Raises: RuntimeError when a process could not be killed.
    """
    passed = None
    try:
        at_first = size(folder, sys.maxsize)
        while passed is None and not run.wait(POLL):
            run.poll()
            family.bury(run.process.pid)
            passed = over(family, folder, at_first, limits)
            if time.monotonic() - run.began > limits.seconds:
                passed = passed or "time"
        # What was written last, quickly, and what got away while nobody looked.
        passed = passed or over(family, folder, at_first, limits)
    finally:
        gone = family.end()
        run.wait(END)
        family.bury(run.process.pid)
    run.poll()
    if not gone:
        pids = sorted(process.pid for process in family.look())
        raise RuntimeError(f"these processes could not be ended: {pids}")
    return passed


def over(family: Family, folder: Path, at_first: int, limits: Limits) -> str | None:
    """Return which limit is passed at this moment, except that of time."""
    members = family.look()
    if len(members) > limits.processes:
        return "processes"
    if sum(map(memory, members)) > limits.memory * 2**20:
        return "memory"
    most = limits.output * 2**20
    return "output" if size(folder, at_first + most) > at_first + most else None


def memory(process: psutil.Process) -> int:
    """Return the bytes of memory that a process has now."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def size(folder: Path, enough: int) -> int:
    """Return how many bytes the files below a folder have, links not followed.

    Takes: ``enough``: when there are more than that, it may stop counting.
    """
    total = 0
    folders = [str(folder)]
    while folders and total <= enough:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                total += BLOCK
                with suppress(OSError):
                    about = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(about.st_mode):
                        folders.append(entry.path)
                    elif stat.S_ISREG(about.st_mode):
                        total += max(0, about.st_size - BLOCK)
    return total
