"""``run`` and ``demo``: an app of the workshop, served by Sanic on this machine."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from workshop.core import processes, results
from workshop.core.errors import WorkshopError
from workshop.core.output import say
from workshop.core.results import Result
from workshop.core.steps import Repository, Step

if TYPE_CHECKING:
    import psutil

HOST = "127.0.0.1"
PORT = 8000
"""Where an app listens unless --port says otherwise."""
SERVERS = 2
BOOT = 60.0
"""Seconds the demo may take until it answers."""
GRACE = 30.0
"""Seconds Sanic may take to end after Ctrl+C; a second Ctrl+C ends it at once."""
GRACE_AT_START = 3.0
"""The same before it answers: then there is no work to finish, and Python may wait for
ever for a Manager whose start was broken off."""
LOG_LINES = 30
"""How much of an app's log is shown when it does not start."""


@dataclass(frozen=True)
class RunningApp:
    """An app with 2 servers and the worker, all of them up."""

    process: subprocess.Popen[bytes]
    """Sanic's main process."""
    port: int
    db: Path
    """The file that keeps its jobs."""
    log: Path
    """What it has printed."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"


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
    db = os.environ.get("SANIC_SAJE_DB", str(data / "jobs.jsonl"))
    env = {"SANIC_SAJE_DB": db}
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
        if info(port) is not None:
            return True
        time.sleep(0.05)
    return False


def info(port: int) -> dict[str, Any] | None:
    """Return what GET /v1/info says; None when the app does not answer it."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/v1/info")
        reply = connection.getresponse()
        return dict(json.load(reply)) if reply.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


@contextmanager
def running(app: Path) -> Iterator[RunningApp]:
    """Serve an app that has the worker on a free port, its data apart.

    When it ends, no process of the app is left, and neither is the data.

    Takes: ``app``, its folder.
    Raises: WorkshopError, with the end of the app's log, when the app does not start.
    """
    with (
        # Windows keeps a file that some process has just had open.
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        processes.interrupted_by_termination(),
    ):
        db, log = Path(folder, "jobs.jsonl"), Path(folder, "log.txt")
        port = processes.free_port()
        command = [*sanic_command(port), "--no-motd"]
        with log.open("wb") as file:
            process = processes.start(command, app, {"SANIC_SAJE_DB": str(db)}, file)
        grace = GRACE_AT_START
        try:
            found = RunningApp(process, port, db, log)
            wait_until_up(found)
            grace = GRACE
            yield found
        finally:
            processes.stop(process, grace)


def wait_until_up(app: RunningApp) -> None:
    """Wait until every server and the worker are up.

    Raises: WorkshopError, with the end of the app's log, when that takes too long.
    """
    deadline = time.monotonic() + BOOT
    while not is_up(app):
        if app.process.poll() is not None or time.monotonic() > deadline:
            lines = app.log.read_text(errors="replace").splitlines()
            end = "\n".join(lines[-LOG_LINES:])
            raise WorkshopError(f"The app did not start. It printed:\n{end}")
        time.sleep(0.05)


def is_up(app: RunningApp) -> bool:
    """Tell whether all servers have reported to Sanic, and the worker takes jobs."""
    workers = (info(app.port) or {}).get("workers", {})
    servers = [w for name, w in workers.items() if name.startswith("Sanic-Server-")]
    return (
        len(servers) == SERVERS
        and all(server["state"] == "ACKED" for server in servers)
        # Of the worker, Sanic knows no more than that it was started.
        and "SAJE worker ready" in app.log.read_text(errors="replace")
    )


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


def described(process: psutil.Process) -> str:
    """Return a process as its user may know it: by its name, its pid and its folder."""
    import psutil

    try:
        return f"{process.name()} (pid {process.pid}, in {process.cwd()})"
    except (psutil.Error, OSError):
        return f"pid {process.pid}"


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
    names = ", ".join(map(described, owners))
    end = "taskkill /F /PID" if sys.platform == "win32" else "kill"
    end += "".join(f" {owner.pid}" for owner in owners)
    return f"Port {port} is {what} {names}.\nEnd it with: {end}\nOr {other}"
