"""``run`` and ``demo``: an app of the workshop, served by Sanic on this machine."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from workshop import processes, results
from workshop.errors import WorkshopError
from workshop.output import say
from workshop.results import Result
from workshop.steps import Repository, Step

HOST = "127.0.0.1"
SERVERS = 2
BOOT = 60.0
"""Seconds the demo may take until it answers."""
GRACE = 30.0
"""Seconds Sanic may take to end after Ctrl+C; a second Ctrl+C ends it at once."""
GRACE_AT_START = 3.0
"""The same before it answers: then there is no work to finish, and Sanic, which still
waits for its servers to report, may never end by itself."""


def sanic_command(port: int) -> list[str]:
    """Return the command that serves the app of the current folder."""
    return [
        *(sys.executable, "-m", "sanic", "server:create_app", "--factory"),
        *(f"--host={HOST}", f"--port={port}", f"--workers={SERVERS}"),
    ]


def run(repository: Repository, step: Step, app: Path, port: int) -> int:
    """Serve an app with auto-reload, as if its command had been typed by hand.

    A step without todos counts as done once it was run.

    Takes: ``app``, the folder of the step's app to serve.
    Returns: Sanic's exit status (where the system lets this process become Sanic, it
    does not return). Raises: WorkshopError when the port is taken.
    """
    require_port(port)
    if not step.todos:
        done = Result(results.fingerprint(app), green=True)
        results.save(repository, step, done)
    command = [*sanic_command(port), "--auto-reload"]
    # By itself Sanic watches only what was imported at the start. In these folders it
    # watches every file, and what Python compiles must not be one of them.
    folders = [folder for folder in ("app", "saje") if (app / folder).is_dir()]
    command += [f"--reload-dir={folder}" for folder in folders]
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    return processes.replace(command, cwd=app)


def demo(repository: Repository, port: int, console: Console) -> int:
    """Serve the highest solution, and print what to try once it answers.

    Its data goes to a folder of the runner's, so that the solution stays clean.

    Returns: the exit status; 0 when it ended by Ctrl+C.
    Raises: WorkshopError when the port is taken, or when the app never answers.
    """
    require_port(port)
    app = repository.solution(repository.steps()[-1])
    data = repository.state / "demo"
    data.mkdir(parents=True, exist_ok=True)
    env = {"SANIC_SAJE_DB": str(data / "jobs.jsonl")}
    with processes.interrupted_by_termination():
        process = processes.start([*sanic_command(port), "--no-motd"], app, env)
        grace = GRACE_AT_START
        try:
            if not answers(process, port):
                raise WorkshopError(
                    "The demo did not start; what Sanic said about it is above."
                )
            grace = GRACE
            say(console, what_to_try(port))
            return process.wait()
        except KeyboardInterrupt:
            processes.stop(process, grace)
            return process.returncode
        finally:
            processes.stop(process, grace)


def answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the app answers; return False when it ended, or took too long."""
    deadline = time.monotonic() + BOOT
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection(HOST, port, timeout=2)
        try:
            connection.request("GET", "/v1/info")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return True
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    return False


def what_to_try(port: int) -> str:
    """Return the demo's text: its address, and three commands to paste."""
    address = f"http://{HOST}:{port}"
    body = '{"task": "hello", "kwargs": {"name": "Ada"}}'
    if sys.platform == "win32":  # Its shells take double quotes only.
        body = body.replace('"', '\\"')
        post = f'-H "content-type: application/json" -d "{body}"'
    else:
        post = f"-H 'content-type: application/json' -d '{body}'"
    return f"""
The finished system is at {address}. Ctrl+C ends it.

In a second terminal, start a job; the answer is its uid:
curl -s -X POST {address}/v1/job {post}

Ask for the job, with that uid in place of UID:
curl -s {address}/v1/job/UID

See the servers, the worker and the queue:
curl -s {address}/v1/info
"""


def require_port(port: int) -> None:
    """Make sure that an app can listen on a port.

    Raises: WorkshopError, saying who has it, when it cannot.
    """
    with socket.socket() as probe:
        if sys.platform != "win32":  # There it would let us take a port in use.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise WorkshopError(port_taken(port)) from None
            raise WorkshopError(
                f"Cannot listen on port {port}: {error.strerror}. "
                "Choose another with --port, 1024-65535."
            ) from None


def port_taken(port: int) -> str:
    """Say who has a port, and what can be done about it."""
    other = f"choose another port: --port {port + 1}"
    owners = processes.listening_on(port)
    if not owners:
        return f"Port {port} is taken by another program. End it, or {other}"
    what = "taken by"
    if left := processes.left_behind(owners):
        owners = left
        what = "still held by what a killed Sanic left behind:"
    # The servers of a Sanic end with it.
    pids = {owner.pid for owner in owners}
    owners = [owner for owner in owners if owner.ppid() not in pids]
    names = ", ".join(f"{owner.name()} (pid {owner.pid})" for owner in owners)
    end = "taskkill /F /PID" if sys.platform == "win32" else "kill"
    end += "".join(f" {owner.pid}" for owner in owners)
    return f"Port {port} is {what} {names}.\nEnd it with: {end}\nOr {other}"
