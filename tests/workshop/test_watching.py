"""watch: what a learner sees, and that no process outlives it, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.workshop import kills
from tests.workshop.conftest import ANSWER, ANSWERED, write
from workshop.core import processes
from workshop.core.steps import Repository

if sys.platform != "win32":
    import termios

DEADLINE = 30.0
ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")
HANGS = "while True:\n    pass\n"

# A test that starts a process as the harness does, then waits without end.
HOLDS = """
from pathlib import Path
import sys, time
from workshop.core import processes

@pytest.mark.todo("1.1")
def test_hold(app):
    command = [sys.executable, "-c", "import time; time.sleep(300)"]
    below = processes.start(command, cwd=app)
    Path(app, "held.jsonl").write_text(str(below.pid))
    time.sleep(300)
"""


def wait_for(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait until a condition holds; fail with what there is instead."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


class Watching:
    """A watcher of step 1, with what it has printed."""

    def __init__(self, small: Repository, *options: str, terminal: bool = False):
        """Takes: ``terminal``, to give it one, and with it keys."""
        self.root = small.root
        self.app = small.root / "steps/01_first"
        self.answer = self.app / "app/answer.py"
        self.output = b""
        command = [sys.executable, str(small.root / "workshop"), "watch", "1", *options]
        self.ours, theirs = os.openpty() if terminal else os.pipe()
        if terminal:
            termios.tcsetwinsize(theirs, (30, 100))
        os.set_blocking(self.ours, False)
        self.theirs = theirs  # While it is open here, its state can be asked.
        self.process = subprocess.Popen(
            command,
            stdin=theirs if terminal else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm"},
            # In a session of its own, whose terminal this one is.
            start_new_session=True,
            preexec_fn=self._take_terminal if terminal else None,
        )

    def _take_terminal(self) -> None:
        import fcntl

        fcntl.ioctl(self.theirs, termios.TIOCSCTTY, 0)

    def seen(self) -> str:
        """Return all that it has printed so far."""
        with suppress(OSError):
            while part := os.read(self.ours, 65536):
                self.output += part
        return self.output.decode(errors="replace")

    def screen(self) -> str:
        """Return what has been printed since the screen was cleared last."""
        text = self.seen().rpartition("\x1b[2J")[2].replace("\r\n", "\n")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    def until(self, text: str, count: int = 1) -> None:
        """Wait until a text was printed, several times if need be."""
        wait_for(lambda: self.seen().count(text) >= count, self.seen)

    def shows(self, text: str) -> None:
        """Wait until a text is on the screen."""
        wait_for(lambda: text in self.screen(), self.screen)

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.ours, keys.encode())

    def ended(self) -> int:
        """Wait until it has ended and all its processes are gone; return its status."""
        wait_for(lambda: self.process.poll() is not None, self.seen)
        self.nothing_left()
        return self.process.returncode

    def nothing_left(self) -> None:
        """Wait until nothing runs that it has started."""
        wait_for(
            lambda: not kills.family(self.root), lambda: str(kills.family(self.root))
        )

    def close(self) -> None:
        """End it, whatever state it is in."""
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


Watch = Callable[..., Watching]


@pytest.fixture
def watch(small: Repository) -> Iterator[Watch]:
    """Start watchers of step 1."""
    started: list[Watching] = []

    def start(*options: str, terminal: bool = False) -> Watching:
        started.append(Watching(small, *options, terminal=terminal))
        return started[-1]

    yield start
    for watching in started:
        watching.close()


def test_from_red_to_green(watch: Watch, small: Repository) -> None:
    """Each save is checked; on green it says what was learned and what is next."""
    watching = watch()
    watching.until("Red: 0 of 2 TODOs are green")
    first = watching.seen()
    assert "red             1.1 Give the answer" in first
    assert "the [answer] is 42" in first
    assert "no question" not in first
    # What running the app makes is no save; what counts comes after it.
    write(watching.app / "jobs.jsonl", "{}")
    write(watching.app / "__pycache__/answer.pyc", "")
    write(watching.answer, ANSWERED.replace("six times seven", "mine"))
    watching.until("red -> green    1.1 Give the answer")
    watching.until("Red: 1 of 2 TODOs are green")
    write(watching.answer, ANSWERED)
    watching.until("Next: read steps/02_second/README.md")
    last = watching.seen().split("Checking steps/01_first")[-1]
    assert "red -> green    1.2 Ask the [question]" in last
    # What was red comes first.
    assert last.index("1.2 Ask") < last.index("1.1 Give")
    assert "You can now:\n- answer\n" in last
    assert watching.seen().count("Checking") == 3
    assert "\x1b" not in watching.seen()
    result = json.loads((small.state / "results/01.json").read_text())
    assert result["green"] is True
    watching.process.send_signal(signal.SIGINT)
    assert watching.ended() == 130


def test_files_that_come_and_go_are_saves(watch: Watch) -> None:
    """So they are where files must be looked at again and again."""
    watching = watch("--poll")
    watching.until("Red:")
    write(watching.app / "app/more.py", "")
    watching.until("Red:", 2)
    (watching.app / "app/more.py").unlink()
    watching.until("Red:", 3)


def test_a_save_ends_what_runs(watch: Watch) -> None:
    """An app that hangs is overtaken by the next save; nothing of it is left."""
    watching = watch()
    watching.until("Red:")
    write(watching.answer, HANGS)
    watching.until("Checking", 2)
    write(watching.answer, ANSWERED)
    watching.until("Green:")
    assert watching.seen().count("Red:") == 1
    wait_for(
        # The watcher and its keeper.
        lambda: len(kills.family(watching.root)) <= 2,
        lambda: str(kills.family(watching.root)),
    )


def test_what_is_broken_costs_one_message(watch: Watch) -> None:
    """A pytest that dies, a broken step.toml, a step that is gone: it goes on."""
    watching = watch()
    watching.until("Red:")
    write(watching.answer, "import os\nos._exit(3)\n")
    watching.until("The checks did not come to their end")
    toml = watching.app / "step.toml"
    right = toml.read_text()
    write(toml, "title = ")
    watching.until("01_first/step.toml: Invalid")
    write(watching.answer, ANSWERED)
    write(toml, right)
    watching.until("Green:")
    watching.app.rename(watching.root / "away")
    watching.until("there is no step 01")
    (watching.root / "away").rename(watching.app)
    watching.until("Green:", 2)
    assert watching.seen().count("Invalid") == 1
    assert watching.seen().count("there is no step 01") == 1
    assert "Traceback" not in watching.seen()


@ON_POSIX
def test_keys(watch: Watch) -> None:
    """h, d, n and q on a terminal, which is as it was afterwards."""
    watching = watch(terminal=True)
    before = termios.tcgetattr(watching.theirs)
    watching.shows("Red: 0 of 2")
    watching.shows("Keys: h hint")
    watching.press("h")
    watching.shows("Which number?")
    # As a shell does after Ctrl+Z and fg.
    termios.tcsetattr(watching.theirs, termios.TCSANOW, before)
    wait_for(
        lambda: termios.tcgetattr(watching.theirs) != before,
        lambda: "the terminal stays as the shell had it",
    )
    watching.press("\x1b[A")  # An arrow key, whose last character is no key.
    watching.press("hh")
    watching.shows("return 6 * 7")
    watching.press("d")
    watching.shows("diff 1 --spoil")
    watching.press("n")
    watching.shows("Step 01 is not green yet")
    write(watching.answer, ANSWERED)
    watching.shows("Key n: watch step 02")
    assert "red -> green    1.1 Give the answer" in watching.screen()
    watching.press("d")
    watching.shows("are alike")
    watching.press("n")
    watching.shows("Step 02: The second")
    watching.shows("Red: 0 of 1")
    assert json.loads((watching.root / ".workshop/here.json").read_text())["step"] == 2
    watching.press("q")
    assert watching.ended() == 0
    assert termios.tcgetattr(watching.theirs) == before


@ON_POSIX
def test_a_long_failure_leaves_the_todos_on_the_screen(
    watch: Watch, small: Repository
) -> None:
    """Its middle is left out; what was tried, the cause and the hint are there."""
    suite = small.root / "tests/01_first/test_it.py"
    long = "\\n".join(["tried", "did", *(f"printed {n}" for n in range(50)), "hint"])
    line = next(line for line in suite.read_text().splitlines() if "42" in line)
    raises = f'    raise AssertionError("{long}")'
    write(suite, suite.read_text().replace(line, raises))
    plugin = small.root / "tests/conftest.py"
    write(plugin, plugin.read_text().replace('.split("\\n")[0]', ""))
    watching = watch(terminal=True)
    watching.shows("Red: 0 of 2")
    screen = watching.screen()
    assert len(screen.splitlines()) <= 30
    for text in ("1.1 Give the answer", "tried\ndid\n... (", "hint\n", "Keys:"):
        assert text in screen


@ON_POSIX
@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_a_signal_leaves_the_terminal_as_it_was(watch: Watch, number: str) -> None:
    """Whatever polite signal ends it, in the middle of a check."""
    watching = watch(terminal=True)
    before = termios.tcgetattr(watching.theirs)
    write(watching.answer, HANGS)
    watching.shows("Checking ...")
    watching.process.send_signal(getattr(signal, number))
    watching.ended()
    assert termios.tcgetattr(watching.theirs) == before


def test_watch_needs_something_to_check(small: Repository) -> None:
    """Step 0, the default at first, has nothing: it says what to type."""
    done = subprocess.run(
        [sys.executable, str(small.root / "workshop"), "watch"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "python3 -m workshop run 0" in done.stderr


@pytest.mark.parametrize("command", ["check", "watch", "pytest"])
def test_kill_leaves_no_process(small: Repository, command: str) -> None:
    """kill -9 of the runner, or of the pytest below it, ends all that was started."""
    suite = small.root / "tests/01_first/test_it.py"
    write(suite, suite.read_text() + HOLDS)
    held = small.root / "steps/01_first/held.jsonl"
    process = kills.start(small, "check" if command == "pytest" else command, "1")
    try:
        wait_for(lambda: held.exists() and held.read_text() != "", lambda: "no test")
        if command == "pytest":
            below = [p for p in kills.family(small.root) if "pytest" in p.cmdline()]
            assert below
            for victim in below:
                victim.kill()
        else:
            process.kill()
        wait_for(
            lambda: not kills.family(small.root), lambda: str(kills.family(small.root))
        )
    finally:
        process.kill()
        process.wait()
        processes.kill(kills.family(small.root))
    assert process.returncode == (1 if command == "pytest" else -signal.SIGKILL)


def test_an_exit_without_stop_leaves_no_process(small: Repository) -> None:
    """An exception between the start of a process and what ends it is no leak."""
    code = """
import sys
from pathlib import Path
from workshop.core import processes
processes.start([sys.executable, "-c", "import time; time.sleep(300)"], Path.cwd())
sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=small.root)
    assert done.returncode == 7
    assert not kills.family(small.root)


@pytest.mark.parametrize("command", ["reset", "solve"])
def test_kill_halfway_loses_nothing(small: Repository, command: str) -> None:
    """kill -9 while files are replaced; tests/workshop/kills.py does it more often."""
    step = small.step(1)
    write(small.root / "steps/01_first/app/answer.py", ANSWER)
    figures = kills.Figures()
    figures.count(*kills.replacement_killed(small, command, step, after=0.02))
    assert (figures.damaged, figures.left) == (0, 0)
