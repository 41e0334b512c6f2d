"""Notices a process that is in an endless loop, and says at which line it is."""

from __future__ import annotations

import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from workshop.core import processes
from workshop.core.pace import Watch, measure

HERE = Path(__file__).parent
LOOK = 0.5  # seconds between two looks at the CPU time, which costs CPU time itself
LOOP = 4.0
"""Seconds of CPU time that a process of an app that is up uses while somebody waits for
the app, if it is in an endless loop. They are the same on a busy machine."""
MOSTLY = 0.5  # the share of its time in which a busy process works
STACK = 0.5  # seconds until a process has printed its stack
IDLE_IN = ("selectors.py", "threading.py")  # where a thread is that only waits


class Stacks:
    """Says at which lines the processes of an app are."""

    def __init__(self, app: Path, file: Path) -> None:
        """Take the app's folder, and the file that its processes write stacks to."""
        self._app = app
        self.file = file

    def line_of(self, process: psutil.Process, main_only: bool = False) -> str:
        """Name the line of the app that a process is at, if there is one.

        It writes the stack of each thread to a file (see sitecustomize.py).

        Args:
            process: A process of the app.
            main_only: Whether only its main thread counts, unless that only waits.

        Returns:
            Such as " at app/info.py, line 15", or "" if it isn't in the app's own code.
        """
        if sys.platform == "win32" or not self.file.exists():
            return ""
        known = self.file.stat().st_size
        with suppress(psutil.Error):
            process.send_signal(signal.SIGUSR1)
        watch = Watch()
        while self.file.stat().st_size == known and watch.seconds < STACK:
            watch.pause()
        watch.pause()  # It writes in pieces.
        with self.file.open("rb") as file:
            file.seek(known)
            written = file.read().decode("utf-8", "replace")
        ours, own = re.escape(str(HERE)), re.escape(str(self._app))
        frame = rf'^  File "(?:{ours}|{own}[/\\](.+?)", line (\d+))'
        # The main thread is the last. Threads that only wait come after all others.
        stacks = re.split(r"(?m)^(?:Current t|T)hread .*\n", written)[:0:-1]
        if main_only:
            stacks = [stack for stack in stacks[:1] if not waits(stack)]
        for stack in sorted(stacks, key=waits):
            found = re.search(frame, stack, re.MULTILINE)
            if found and found[1]:  # A task of the tests may be slow on purpose.
                return f" at {Path(found[1]).as_posix()}, line {found[2]}"
        return ""

    def hanging(self, main: int) -> str:
        """Name the line of the app that a process doesn't get beyond, if there is one.

        Ask the main process, then what it has started, the Managers last.

        Args:
            main: The pid of the main process.
        """
        below = processes.descendants(main)
        ordered = sorted(below, key=lambda process: process.create_time())
        with suppress(psutil.Error):
            for process in (psutil.Process(main), *reversed(ordered)):
                if place := self.line_of(process):
                    return place
        return ""


class Lookout:
    """Notices a process that is in an endless loop while somebody waits for the app."""

    def __init__(self, main: int, stacks: Stacks) -> None:
        """Begin to look.

        Args:
            main: The pid of the app's main process.
            stacks: Where its processes are.
        """
        self._main = main
        self._stacks = stacks
        self._began = self._looked = time.monotonic()
        self._before = cpu_seconds(main)

    def _most(self) -> tuple[psutil.Process | None, float]:
        """Return the busiest process, and the seconds of CPU time that it has used."""
        used = {
            process: seconds - self._before.get(process, 0.0)
            for process, seconds in cpu_seconds(self._main).items()
        }
        return max(used.items(), key=lambda pair: pair[1], default=(None, 0.0))

    def loop(self, patience: float) -> str:
        """Return what the app does, or "" as long as there doesn't seem to be a loop.

        CPU time doesn't depend on how busy the machine is. It costs some to look, so
        do that only now and then.

        Args:
            patience: What the limit is multiplied by.
        """
        if time.monotonic() - self._looked < LOOK:
            return ""
        self._looked = time.monotonic()
        process, seconds = self._most()
        if process is None or seconds <= LOOP * patience:
            return ""
        # The app's code may be slow in a thread, but it must not block the main thread.
        # Look twice, since it may have been there by chance.
        first = self._stacks.line_of(process, main_only=True)
        then = first and self._stacks.line_of(process, main_only=True)
        return then and f"is in an endless loop{then}"

    def busiest(self, least: float = MOSTLY) -> str:
        """Return the line that the busiest process is at, or "" if that isn't known.

        Args:
            least: The share of the time that it has to be busy.
        """
        process, seconds = self._most()
        share = seconds * measure() / max(time.monotonic() - self._began, LOOK)
        return self._stacks.line_of(process) if process and share >= least else ""


def cpu_seconds(main: int) -> dict[psutil.Process, float]:
    """Return how much CPU time each process of an app has used.

    Args:
        main: The pid of its main process.
    """
    found = {}
    with suppress(psutil.Error):
        for process in {psutil.Process(main)} | processes.descendants(main):
            with suppress(psutil.Error):
                times = process.cpu_times()
                found[process] = times.user + times.system
    return found


def waits(stack: str) -> bool:
    """Return whether a thread only waits, given its stack as Python writes it."""
    innermost = re.search(r'^  File "(.+?)"', stack, re.MULTILINE)
    return innermost is None or Path(innermost[1]).name in IDLE_IN
