"""run and demo: the app is served, the terminal's signals reach it, nothing is left."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.workshop.conftest import RunWorkshop
from workshop.core import processes
from workshop.core.environment import ROOT
from workshop.core.errors import WorkshopError
from workshop.core.steps import Repository
from workshop.learner import serving

ONE_PRESS = 1.0
"""Seconds within which SAJE takes a second signal for the same press of Ctrl+C."""
DEADLINE = 20.0

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="signals are sent as a POSIX terminal does"
)


@pytest.fixture
def port() -> int:
    """A port that is free."""
    with socket.socket() as probe:
        probe.bind((serving.HOST, 0))
        return int(probe.getsockname()[1])


def info(port: int) -> dict[str, Any] | None:
    """What the app answers; None while it does not."""
    connection = http.client.HTTPConnection(serving.HOST, port, timeout=2)
    try:
        connection.request("GET", "/v1/info")
        answer: dict[str, Any] = json.load(connection.getresponse())
    except OSError:
        return None
    finally:
        connection.close()
    return answer


def wait_until_up(tmp_path: Path) -> Path:
    """Wait until Sanic can be stopped (see SERVER); return the file of the output."""
    log = tmp_path / "output.txt"

    def is_up() -> bool:
        text = log.read_text()
        return "No change needed" in text and text.count("Worker ready") == 2

    until(is_up, "two servers")
    return log


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition; fail, saying what was awaited, after a deadline."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE} s"
        time.sleep(0.02)


def assert_ended_well(status: int, log: Path) -> None:
    """Make sure that Sanic ended as it does after Ctrl+C.

    Now and then Sanic itself stumbles: its signal handler talks to its Manager over
    the connection that the code it interrupted was using.
    """
    text = log.read_text()
    if "Experienced exception while trying to serve" not in text:
        assert status == 0
        assert "Traceback" not in text
    assert "Server Stopped" in text


Started = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def started(small: Repository, tmp_path: Path) -> Iterator[Started]:
    """Start a command line of the small workshop in a terminal-like process group.

    Afterwards no process of it may be left.
    """
    running = []
    output = tmp_path / "output.txt"

    def start(*arguments: str) -> subprocess.Popen[str]:
        with output.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, str(small.root / "workshop"), *arguments],
                cwd=tmp_path,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
        running.append(process)
        return process

    def of_small() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(small.root):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    yield start
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # The Manager and multiprocessing's resource tracker end a moment after Sanic.
    deadline = time.monotonic() + 5
    while (left := of_small()) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process_left in left:
        process_left.kill()
    assert not left


def test_run_is_served_and_ends_by_one_ctrl_c(
    started: Started, port: int, tmp_path: Path
) -> None:
    """Ctrl+C reaches Sanic as in a terminal, and its status is the runner's."""
    process = started("run", "1", "--port", str(port))
    log = wait_until_up(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    assert_ended_well(process.wait(DEADLINE), log)


def test_run_0_counts_as_read(
    started: Started, port: int, tmp_path: Path, workshop: RunWorkshop
) -> None:
    """Step 00 has no todo: to have run it is all there is to do."""
    process = started("run", "0", "--port", str(port))
    wait_until_up(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(DEADLINE)
    after = workshop().stdout
    assert re.search(r"00.*read", after)
    assert "python3 -m workshop run 1" in after


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo(
    started: Started,
    port: int,
    tmp_path: Path,
    small: Repository,
    number: signal.Signals,
) -> None:
    """It prints what to paste once it answers, keeps its data apart, and ends."""
    process = started("demo", "--port", str(port))
    log = wait_until_up(tmp_path)
    until(lambda: log.read_text().count("\ncurl ") == 3, "three curl lines")
    answer = info(port)
    assert answer is not None
    assert answer["db"] == str(small.state / "demo" / "jobs.jsonl")
    post = next(x for x in log.read_text().splitlines() if x.startswith("curl"))
    assert json.loads(shlex.split(post)[-1])["task"] == "hello"
    os.killpg(process.pid, number)
    assert_ended_well(process.wait(DEADLINE), log)


def test_demo_that_cannot_start_says_so(
    started: Started, port: int, tmp_path: Path, small: Repository
) -> None:
    """An app that breaks at its start is told from one that is slow."""
    (small.root / "solutions/02_second/server.py").write_text("raise SystemExit(3)")
    process = started("demo", "--port", str(port))
    assert process.wait(DEADLINE) == 2
    assert "The demo did not start" in (tmp_path / "output.txt").read_text()


def test_port_taken_names_the_process(port: int) -> None:
    """The message has the pid of whoever listens, and another port to choose."""
    with socket.create_server((serving.HOST, port)), pytest.raises(WorkshopError) as e:
        serving.require_port(port)
    assert f"(pid {os.getpid()}, in {Path.cwd()})" in str(e.value)
    assert f"kill {os.getpid()}" in str(e.value)
    assert f"--port {port + 1}" in str(e.value)


def test_port_taken_is_said_before_anything_starts(
    workshop: RunWorkshop, port: int
) -> None:
    """run and demo both look first."""
    with socket.create_server((serving.HOST, port)):
        for command in (("run", "1"), ("demo",)):
            done = workshop(*command, "--port", str(port))
            assert done.returncode == 2
            assert done.stdout == ""
            assert done.stderr.startswith(f"Port {port} is taken by ")


def test_left_over_servers_are_named(
    started: Started, port: int, tmp_path: Path, workshop: RunWorkshop
) -> None:
    """kill -9 of Sanic leaves its servers; the command we print ends all of them."""
    process = started("run", "1", "--port", str(port))
    wait_until_up(tmp_path)
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    message = workshop("run", "1", "--port", str(port)).stderr
    assert "what a killed Sanic left behind" in message
    advice = next(x for x in message.splitlines() if x.startswith("End it with: "))
    pids = {int(pid) for pid in advice.split("kill ")[1].split()}
    assert pids == {p.pid for p in below if processes.is_alive(p)}
    subprocess.run(shlex.split(advice.removeprefix("End it with: ")), check=True)
    until(lambda: not any(map(processes.is_alive, below)), "their end")


@pytest.mark.parametrize("port_number", ["0", "70000", "eighty"])
def test_impossible_ports(workshop: RunWorkshop, port_number: str) -> None:
    """They are refused by the command line."""
    done = workshop("run", "1", "--port", port_number)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2


def hanging_suite(small: Repository, tmp_path: Path) -> Path:
    """Make step 1's test start a process of its own group, and wait for ever.

    Returns: the file that will have the process's id.
    """
    file = tmp_path / "pid.txt"
    suite = small.root / "tests/01_first/test_it.py"
    suite.write_text(
        suite.read_text()
        + f"""

@pytest.mark.todo("1.1")
def test_hang(app):
    import pathlib, subprocess, sys
    command = [sys.executable, "-c", "import time; time.sleep(300)"]
    process = subprocess.Popen(command, start_new_session=True)
    part = pathlib.Path({str(file)!r} + ".part")
    part.write_text(str(process.pid))
    part.rename({str(file)!r})
    process.wait()
"""
    )
    return file


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (("check", "1"), signal.SIGINT),
        (("check", "1"), signal.SIGTERM),
        (("check", "1"), signal.SIGHUP),
        (("verify",), signal.SIGINT),
    ],
)
def test_ctrl_c_leaves_no_process(
    started: Started,
    tmp_path: Path,
    small: Repository,
    number: signal.Signals,
    command: tuple[str, ...],
) -> None:
    """check and verify, interrupted, end pytest and all below it."""
    file = hanging_suite(small, tmp_path)
    process = started(*command)
    until(file.exists, "the test's own process")
    below = psutil.Process(int(file.read_text()))
    os.killpg(process.pid, number)
    assert process.wait(DEADLINE) == 130
    assert not processes.is_alive(below)
    text = (tmp_path / "output.txt").read_text()
    assert "Traceback" not in text
    assert text.endswith("Stopped.\n")


def test_a_second_ctrl_c_ends_a_start_that_was_cut_short(
    port: int, tmp_path: Path
) -> None:
    """Sanic may wait without end for servers that never came up. Then it kills."""
    repository = Repository(ROOT)
    app = repository.solution(repository.steps()[-1])
    log = tmp_path / "output.txt"
    env = {"SANIC_SAJE_DB": str(tmp_path / "jobs.jsonl")}
    with log.open("wb") as file:
        process = processes.start(serving.sanic_command(port), app, env, file)
    try:
        # Two Managers, two servers, and the worker.
        until(lambda: len(spawned(process.pid)) == 5, "five processes")
        family = spawned(process.pid)
        processes.send_signal(process, signal.SIGINT, to_group=True)
        with suppress(subprocess.TimeoutExpired):
            process.wait(ONE_PRESS + 0.5)  # it may also end by itself
        if process.poll() is None:
            processes.send_signal(process, signal.SIGINT, to_group=True)
        process.wait(DEADLINE)
        until(lambda: not any(map(processes.is_alive, family)), "their end")
    finally:
        processes.stop(process, 0)


def spawned(pid: int) -> list[psutil.Process]:
    """Return the processes that multiprocessing has spawned below one."""
    found = []
    for process in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):
            if any("spawn_main" in word for word in process.cmdline()):
                found.append(process)
    return found
