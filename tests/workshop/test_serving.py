"""run and demo: the app is served, Ctrl+C always ends it, and nothing is left."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.workshop import kills
from tests.workshop.conftest import RunWorkshop, until, write
from workshop.core import processes
from workshop.core.steps import Repository
from workshop.learner import serving

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="signals are sent as a POSIX terminal does"
)

Started = Callable[..., subprocess.Popen[bytes]]

DEAF = """
    @app.main_process_ready
    async def ready(app: Sanic) -> None:
        import signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("deaf", flush=True)

    return app
"""


@pytest.fixture
def port() -> int:
    """A port that is free."""
    return processes.free_port()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The file that gets the output of what is started."""
    return tmp_path / "output.txt"


@pytest.fixture
def started(small: Repository, log: Path) -> Iterator[Started]:
    """Start a command in a process group of its own. At the end none may be left."""
    running = []

    def start(*command: str) -> subprocess.Popen[bytes]:
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=small.root / "steps/01_first",
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
    until(lambda: not kills.family(small.root), lambda: kills.family(small.root))


def is_up(log: Path) -> bool:
    """Return whether Sanic can be stopped (see SERVER)."""
    text = log.read_text()
    return "No change needed" in text and text.count("Worker ready") == 2


def press_ctrl_c(process: subprocess.Popen[bytes]) -> None:
    """Signal a whole process group, as a terminal does."""
    os.killpg(process.pid, signal.SIGINT)


def test_run_ends_with_one_ctrl_c(
    started: Started, port: int, log: Path, workshop: RunWorkshop
) -> None:
    """Its status is Sanic's. Step 00 has no TODO, so then it counts as read."""
    process = started("../../workshop", "run", "0", "--port", str(port))
    until(lambda: is_up(log), log.read_text)
    press_ctrl_c(process)
    assert process.wait(60) == 0
    assert "Server Stopped" in log.read_text()
    assert re.search(r"00.*read", workshop().stdout)


@pytest.mark.parametrize("presses", [1, 2])
def test_run_of_an_app_that_ignores_ctrl_c(
    started: Started, port: int, log: Path, small: Repository, presses: int
) -> None:
    """It is killed after a while; at a second Ctrl+C, at once."""
    server = small.root / "steps/01_first/server.py"
    write(server, server.read_text().replace("\n    return app\n", DEAF))
    if presses == 1:
        runner = small.root / "workshop/learner/serving.py"
        write(runner, runner.read_text().replace("GRACE = 15.0", "GRACE = 1.0"))
    process = started("../../workshop", "run", "1", "--port", str(port))
    until(lambda: "deaf" in log.read_text() and is_up(log), log.read_text)
    press_ctrl_c(process)
    if presses == 2:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        press_ctrl_c(process)
    process.wait(10)
    until(lambda: not kills.family(small.root), lambda: kills.family(small.root))
    assert "so it was killed" in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo(
    started: Started, port: int, log: Path, small: Repository, number: signal.Signals
) -> None:
    """It prints commands to paste once it answers, keeps its data apart, and ends."""
    process = started("../../workshop", "demo", f"--port={port}", "--host=0.0.0.0")
    until(lambda: log.read_text().count("\ncurl ") == 3 and is_up(log), log.read_text)
    answer = serving.info(port)
    assert answer == {"db": str(small.state / "demo" / "jobs.jsonl")}
    post = next(x for x in log.read_text().splitlines() if x.startswith("curl"))
    assert f" http://127.0.0.1:{port}/" in post
    assert json.loads(shlex.split(post)[-1])["task"] == "hello"
    process.send_signal(number)
    assert process.wait(60) == 0


def test_demo_that_cannot_start_says_so(
    started: Started, port: int, log: Path, small: Repository
) -> None:
    """An app that breaks at its start isn't waited for."""
    write(small.root / "solutions/02_second/server.py", "raise SystemExit(3)")
    process = started("../../workshop", "demo", "--port", str(port))
    assert process.wait(60) == 2
    assert "The demo did not start" in log.read_text()


@pytest.mark.parametrize("how", ["running", "suspended", "killed"])
def test_a_port_that_is_taken(
    started: Started, port: int, log: Path, workshop: RunWorkshop, how: str
) -> None:
    """The message says who has it, and its command ends all of them."""
    process = started("-m", *serving.sanic_command(port)[2:])
    until(lambda: is_up(log), log.read_text)
    below = psutil.Process(process.pid).children(recursive=True)
    if how == "suspended":  # as by Ctrl+Z
        os.killpg(process.pid, signal.SIGSTOP)
        until(lambda: below[0].status() == "stopped", lambda: below)
    elif how == "killed":
        process.kill()
        process.wait()
    for command in ("run 1", "demo"):
        done = workshop(*command.split(), "--port", str(port))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"Port {port} is ")
        assert done.stderr.endswith(f"--port {port + 1}\n")
    words = {"running": f"(pid {process.pid}, in ", "killed": "left behind"}
    assert words.get(how, "was suspended") in done.stderr
    advice = next(x for x in done.stderr.splitlines() if x.startswith("End it with: "))
    subprocess.run(shlex.split(advice.removeprefix("End it with: ")), check=True)
    process.wait(60)
    until(lambda: not any(map(processes.is_alive, below)), lambda: below)


def test_an_address_of_another_machine(workshop: RunWorkshop, port: int) -> None:
    """The message says which options to change."""
    done = workshop("run", "1", "--port", str(port), "--host", "192.0.2.1")
    assert done.returncode == 2
    assert f"No app can listen on 192.0.2.1, port {port}: " in done.stderr
    assert "--host" in done.stderr
