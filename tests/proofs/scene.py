"""Where a lesson is executed: a copy of the workshop, and the app in it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from compileall import compile_dir
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode

import psutil

from tests.proofs.partway import partway
from workshop.core import apps, processes
from workshop.core.files import write_whole
from workshop.core.pace import Watch, slowness
from workshop.core.steps import Repository, Step
from workshop.learner import serving

HERE = Path(__file__).parent
PORT = str(serving.PORT)
UNUSED = ("OAS", "HTTP_AUTO_HEAD", "HTTP_AUTO_OPTIONS", "CORS")
"""Settings of Sanic and its extensions that cost CPU time at the start of a server, and
that no suite and no lesson needs."""
PRELOAD = {f"SANIC_{name}": "false" for name in UNUSED}
PRELOAD |= {"SAJE_PROBE_PRELOAD": "1"} if os.name == "posix" else {}
"""Makes each boot of a test cheaper (see tests/harness/preloaded.py)."""
READY = "Worker ready ["
WORKER_READY = "SAJE worker ready ["
SAFE = 1.0
"""Seconds after the last ``Worker ready`` from which on Ctrl+C is safe: until then,
Sanic's main process may not have seen that every server is up."""
SAVE_AGAIN = 4.0
"""Seconds without a reload after which a file is saved once more, because the reloader
doesn't see a save that comes before it has looked for the first time."""
START = 120.0
"""Seconds an app may take to start, to reload, or to end after Ctrl+C."""
KILLED = 60.0
"""Seconds a process may take to end after a kill."""
COMMAND = 5 * 3600.0
"""Seconds a command may take."""
TOO_SLOW = "Not all workers acknowledged a successful startup"
"""What Sanic says of servers that aren't up in 30 seconds, before it exits."""
RUN = re.compile(r"(?P<settings>(?:[A-Z_]+=\S+ +)*)python3? -m workshop run\b")
"""What serves an app, perhaps with settings in front."""


class Parted(AssertionError):
    """Something that a lesson says is not so."""


class SanicTripped(Parted):
    """Sanic itself failed, and the lesson is right.

    Either its main process was interrupted in the middle of a call to its own manager.
    Its signal handler makes such calls as well, so the answers get mixed up, and it
    ends with a traceback. That happens at well under one Ctrl+C of a hundred. Or the
    machine was so busy that its servers needed more than 30 seconds to start.
    """


LEFT_OUT = """
import pytest


@pytest.mark.todo("{todo}")
def test_left_out() -> None:
    pass
"""


@dataclass(frozen=True)
class Done:
    """A command line that has ended."""

    status: int
    output: str


class Scene:
    """A copy of the workshop in which one lesson is executed."""

    def __init__(self, repository: Repository, step: Step, folder: Path) -> None:
        """Copy the workshop, without the files that running it, or a tool, has made.

        Args:
            repository: The workshop.
            step: The step whose lesson is executed.
            folder: Where the copy goes. It must not exist.
        """
        self.step = step
        self._original = repository
        self.root = folder / "workshop"
        self.repository = Repository(self.root)
        self.app = self.repository.starter(step)
        self.port = processes.free_port()
        self.log = folder / "log-0.txt"
        """What the app has printed since its latest start."""
        self._folder = folder
        self._ready = 0.0
        """When the app was last seen to be ready, by the monotonic clock."""
        self._main: subprocess.Popen[bytes] | None = None
        self._reload: tuple[Path, int, float] | None = None
        """The latest saved file, the log's length then, and when, until the reload."""
        folder.mkdir(parents=True)
        made = shutil.ignore_patterns(*apps.MADE_BY_RUNNING)
        shutil.copytree(repository.root, self.root, ignore=made)
        for place in ("workshop", "tests/harness", f"steps/{step.name}"):
            compile_all(self.root / place)
        # curl shows its progress if its output is a file, and no proxy knows our port.
        (folder / ".curlrc").write_text('silent\nshow-error\nnoproxy = "*"\n')
        self._env = {
            "CURL_HOME": str(folder),
            "SANIC_NO_COLOR": "true",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if step != repository.steps()[-1]:
            # The last one's check is whole, and starts each app as a learner's does.
            # The others have one test that passes in place of each earlier suite: the
            # next step's starter has to pass the same suites with the same code.
            self._env |= PRELOAD
            for earlier in repository.steps()[1 : step.number]:
                for path in self.repository.suite(earlier).glob("test_*.py"):
                    path.write_text(LEFT_OUT.format(todo=earlier.todos[0].id))

    # -- commands

    def command(self, line: str) -> Done | None:
        """Run a shell line. One that serves an app goes on in the background.

        The port 8000 is another one here, so the line is changed as README.md tells
        anyone whose port 8000 is taken.

        Args:
            line: The line.

        Returns:
            Its status and output, or None if an app runs now.

        Raises:
            Parted: The line doesn't end, or the app doesn't start.
        """
        python = shlex.quote(sys.executable)
        if run := RUN.match(line):
            settings = dict(word.split("=", 1) for word in run["settings"].split())
            words = [sys.executable, *shlex.split(line)[len(settings) + 1 :]]
            other = "--port" in words  # an app beside the first one
            if not other and not self.left():
                self.port = processes.free_port()
            port = processes.free_port() if other else self.port
            return self._serve([*words, f"--port={port}"], settings)
        if re.match(r"python3? \S+/measure\.py$", line):
            line += f" http://127.0.0.1:{PORT}"
        line = line.replace(f":{PORT}", f":{self.port}")
        line = re.sub(
            r"(?:^|(?<=\| ))python3?\b|(?<!\S)\S*\.venv/bin/python\b", python, line
        )
        shell = shutil.which("sh")
        if shell is None:
            raise Parted("There is no sh: on Windows, install Git, and add its sh.")
        return self._run([shell, "-c", line], self.root)

    def calls(self, source: str) -> Done:
        """Run Python lines, as calls of the app as it is now."""
        program, given = HERE / "calls.py", HERE / "given" / f"{self.step.name}.py"
        calls = self._folder / "calls.py"
        calls.write_text(source, encoding="utf-8")
        files = [str(path) for path in (program, given, calls) if path.exists()]
        return self._run([sys.executable, *files], self.app)

    def report(self) -> bytes:
        """Return the reports of `check`."""
        found = sorted(self.repository.state.glob("check-*.jsonl"))
        return b"".join(path.read_bytes() for path in found)

    def _run(self, command: list[str], cwd: Path) -> Done:
        path = self._folder / "output.txt"
        with path.open("wb") as file:
            process = processes.start(command, cwd, self._env, file)
        try:
            status = process.wait(COMMAND)
        except subprocess.TimeoutExpired:
            processes.stop(process, 0)
            raise Parted(f"It had not ended after {COMMAND:.0f} s.") from None
        return Done(status, self._read(path))

    # -- the app

    @property
    def is_up(self) -> bool:
        """Whether an app runs."""
        return self._main is not None and self._main.poll() is None

    @property
    def may_print(self) -> bool:
        """Whether a process of the app is left that may still print."""
        return self.is_up or bool(self.left())

    def logged(self) -> str:
        """Return what the app has printed since its start."""
        return self._read(self.log)

    def _read(self, path: Path) -> str:
        if not path.exists():
            return ""
        text = path.read_text(encoding="utf-8", errors="replace")
        return re.sub(rf"\b{self.port}\b", PORT, text)

    def _serve(self, command: list[str], settings: dict[str, str]) -> Done | None:
        log = self._folder / f"log-{time.monotonic_ns()}.txt"
        with log.open("wb") as file:
            env = {**self._env, **settings}
            process = processes.start(command, self.root, env, file)

        def decided() -> bool:
            return process.poll() is not None or self._read(log).count(READY) >= 2

        came = until(decided, START)
        if process.poll() is not None and self.is_up:
            return Done(process.returncode, self._read(log))  # The first one goes on.
        self._main, self.log, self._reload = process, log, None
        if process.poll() is not None:
            if TOO_SLOW in self.logged():
                raise SanicTripped(self.logged())
            return Done(process.returncode, self.logged())
        if not came:
            raise Parted(f"The app did not start. It says:\n{self.logged()}")
        self._ready = time.monotonic()
        return None

    def press_ctrl_c(self) -> None:
        """Press Ctrl+C in the terminal of the app.

        Raises:
            Parted: The app isn't running.
        """
        self.settle()
        if self._main is None or self._main.poll() is not None:
            raise Parted("Ctrl+C: the app has ended before.")
        time.sleep(max(0.0, self._ready + SAFE * slowness() - time.monotonic()))
        processes.send_signal(self._main, signal.SIGINT, to_group=True)

    def must_end(self) -> None:
        """Wait until every process of the app has ended.

        Raises:
            Parted: It doesn't end.
            SanicTripped: It doesn't end because Sanic has tripped.
        """

        def ended() -> bool:
            log = self.logged()
            if "Experienced exception while" in log and "worker_state" in log:
                raise SanicTripped(log)
            return not self.is_up and not self.left()

        if not until(ended, START):
            raise Parted(f"The app did not end. Left: {self.left()}")

    def pid_of(self, name: str) -> int:
        """Return the pid of one of Sanic's processes, once it is up.

        Raises:
            Parted: The app doesn't list the process.
        """
        pid = 0

        def found() -> bool:
            nonlocal pid
            workers = (serving.info(self.port) or {}).get("workers", {})
            pid = next((w["pid"] for n, w in workers.items() if name in n), 0)
            is_ready = "Worker" not in name or f"{WORKER_READY}{pid}]" in self.logged()
            return bool(pid) and is_ready

        if not until(found, START):
            raise Parted(f"GET /v1/info doesn't list {name}.")
        return pid

    # -- edits

    def save(self, name: str, text: str) -> None:
        """Write a file of the app, as an editor does; a running app reloads it."""
        self.settle()
        path = self.app / name
        length = len(self.logged())
        write_whole(path, text.encode(), self._folder)
        if self.is_up:
            self._reload = path, length, time.monotonic()

    def settle(self) -> None:
        """Wait until a running app has reloaded the saved file.

        Raises:
            Parted: It doesn't.
        """
        if self._reload is None or not self.is_up:
            return
        path, length, saved = self._reload
        workers = 1 if WORKER_READY in self.logged()[:length] else 0

        def reloaded() -> bool:
            nonlocal saved
            new = self.logged()[length:]
            again = saved + SAVE_AGAIN * slowness()
            if "Stopping worker" not in new and time.monotonic() > again:
                saved = time.monotonic()
                path.touch()
            return new.count(READY) >= 2 and new.count(WORKER_READY) >= workers

        if not until(reloaded, START):
            end = self.logged()[length:]
            raise Parted(f"{path.name} was saved, but the app did not reload:\n{end}")
        self._reload, self._ready = None, time.monotonic()

    def do_todo(self, todo_id: str) -> None:
        """Do a TODO, after the ones before it.

        Raises:
            Parted: A file that it changes has another edit.
        """
        ids = [todo.id for todo in self.step.todos]
        place = ids.index(todo_id)
        before = partway(self._original, self.step, ids[:place])
        after = partway(self._original, self.step, ids[: place + 1])
        for name, text in after.items():
            if text != before[name]:
                if self.read(name) != before[name]:
                    raise Parted(f"{name} was edited, and TODO {todo_id} changes it.")
                self.save(name, text)

    def must_be_solution(self) -> None:
        """Make sure that every edit except the TODOs has been taken back.

        Raises:
            Parted: There is another edit.
        """
        solution = apps.contents(self.repository.solution(self.step))
        mine = apps.contents(self.app)
        for name in sorted(solution.keys() | mine.keys()):
            if solution.get(name) != mine.get(name):
                raise Parted(f"{name} isn't as in the solution. Take back each edit.")

    def read(self, name: str) -> str:
        """Return the text of a file of the app, as it is now."""
        try:
            return (self.app / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise Parted(f"The app has no file {name}.") from None

    # -- the end

    def left(self) -> set[psutil.Process]:
        """Return the processes of this lesson that run."""
        return processes.marked([processes.OURS])

    def end(self) -> None:
        """Stop the app as a reader does, and look at what it leaves.

        Raises:
            Parted: It doesn't end, a process is left, or an edit wasn't taken back.
        """
        if self.is_up:
            self.press_ctrl_c()
            self.must_end()
        if not until(lambda: not self.left(), KILLED):
            raise Parted(f"At the end of the lesson it runs: {self.left()}")
        if self.step.todos:
            self.must_be_solution()

    def close(self) -> None:
        """End every process of the lesson by force."""
        processes.kill_marked([processes.OURS])
        if self._main is not None:
            self._main.wait()


def compile_all(folder: Path) -> None:
    """Compile the Python files of a folder, which each process of an app would do.

    The harness keeps apps from writing bytecode, because a file may be edited twice in
    a second. This bytecode has a hash of the source, so it is never out of date.
    """
    compile_dir(folder, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition, and return whether it became true.

    Args:
        condition: What to check, again and again.
        seconds: How long to wait at most, on a quiet machine.
    """
    watch = Watch()
    while not condition():
        if watch.seconds > seconds:
            return False
        watch.pause()
    return True
