"""run and demo: the app is served, Ctrl+C always ends it, and nothing is left."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable

import psutil
import pytest

from tests.workshop.conftest import LIMIT, Running, RunWorkshop, until, write
from workshop.core import processes
from workshop.core.steps import Repository
from workshop.learner import serving

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="signals are sent as a POSIX terminal does"
)

Started = Callable[..., Running]


@pytest.fixture
def port() -> int:
    """A port that is free."""
    return processes.free_port()


def is_up(app: Running) -> None:
    """Wait until Sanic can be stopped (see SERVER)."""
    app.says("No change needed")
    app.says("Worker ready", 2)


def test_run_ends_with_one_ctrl_c(
    started: Started, port: int, workshop: RunWorkshop
) -> None:
    """Its status is Sanic's. Step 00 has no TODO, so then it counts as read."""
    app = started("run", "0", "--port", str(port))
    is_up(app)
    app.signal(signal.SIGINT)
    assert app.process.wait(LIMIT) == 0
    app.says("Server Stopped")
    assert re.search(r"00.*read", workshop().stdout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo(
    started: Started, port: int, small: Repository, number: signal.Signals
) -> None:
    """It prints commands to paste once it answers, keeps its data apart, and ends."""
    app = started("demo", f"--port={port}", "--host=0.0.0.0")
    is_up(app)
    text = app.says("\ncurl ", 3)
    assert serving.info(port) == {"db": str(small.state / "demo" / "jobs.db")}
    post = next(line for line in text.splitlines() if line.startswith("curl"))
    assert f" http://127.0.0.1:{port}/" in post
    assert json.loads(shlex.split(post)[-1])["task"] == "hello"
    app.process.send_signal(number)
    assert app.process.wait(LIMIT) == 0


def test_demo_that_cannot_start_says_so(
    started: Started, port: int, small: Repository
) -> None:
    """An app that breaks at its start isn't waited for."""
    write(small.root / "solutions/02_second/server.py", "raise SystemExit(3)")
    app = started("demo", "--port", str(port))
    assert app.process.wait(LIMIT) == 2
    app.says("The demo did not start")


@pytest.mark.parametrize("how", ["running", "suspended", "killed"])
def test_a_port_that_is_taken(
    started: Started, port: int, workshop: RunWorkshop, how: str
) -> None:
    """The message says who has it, and its command ends all of them."""
    app = started("-m", *serving.sanic_command(port)[2:])
    is_up(app)
    below = psutil.Process(app.process.pid).children(recursive=True)
    if how == "suspended":  # as with Ctrl+Z
        app.signal(signal.SIGSTOP)
        until(lambda: all(p.status() == "stopped" for p in below), lambda: below)
    elif how == "killed":
        app.process.kill()
        app.process.wait()
    for command in ("run 1", "demo"):
        done = workshop(*command.split(), "--port", str(port))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"Port {port} is ")
        assert done.stderr.endswith(f"--port {port + 1}\n")
    words = {"running": f"(pid {app.process.pid}, in ", "killed": "left behind"}
    assert words.get(how, "was suspended") in done.stderr
    [advice] = re.findall("End it with: (.*)", done.stderr)
    subprocess.run(shlex.split(advice), check=True)
    app.process.wait(LIMIT)
    until(lambda: not any(map(processes.is_alive, below)), lambda: below)
