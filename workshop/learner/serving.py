"""`run` and `demo`: an app of the workshop, served by Sanic on this machine."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from workshop.core import processes, results
from workshop.core.errors import WorkshopError
from workshop.core.files import require_writable
from workshop.core.output import console, say
from workshop.core.results import Result
from workshop.core.steps import Repository, Step

HOST = "127.0.0.1"
PORT = 8000
"""Where an app listens unless --host or --port say otherwise."""
SERVERS = 2
BOOT = 60.0
"""Seconds that the finished system may take to start."""
GRACE = 15.0
"""Seconds that Sanic may take to end after Ctrl+C. Running jobs may need eight of them.
If its servers are still starting, it may wait forever."""


def run(repository: Repository, step: Step, app: Path, port: int, host: str) -> int:
    """Turn this process into Sanic, which serves an app with auto-reload.

    A step that has nothing to edit counts as read from then on.

    Raises:
        WorkshopError: The app can't listen on that port of that address.
    """
    require_port(port, host)
    if not step.todos:
        results.save(repository, step, Result(results.fingerprint(app), green=True))
    command = [*sanic_command(port, host), "--auto-reload"]
    # By itself Sanic watches only the modules that were imported at the start. In these
    # folders it watches every file, so Python must not write its bytecode there.
    folders = [folder for folder in ("app", "saje") if (app / folder).is_dir()]
    command += [f"--reload-dir={folder}" for folder in folders]
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    # As Sanic itself, so that it gets the terminal's signals, and no one else's.
    return processes.replace(command, cwd=app)


def demo(repository: Repository, port: int, host: str) -> int:
    """Serve the last solution, and print what to try as soon as it answers.

    Its data goes to a folder of the runner, so that the solution stays clean.

    Raises:
        OSError: It can't write to that folder.
        WorkshopError: The app can't listen on that port, or it doesn't start.
    """
    db = os.environ.get("SANIC_SAJE_DB")
    if db is None:
        data = repository.state / "demo"
        require_writable(data)
        for path in data.glob("jobs.db*"):
            path.open("r+b").close()
        db = str(data / "jobs.db")
    require_port(port, host)

    app = repository.solution(repository.steps()[-1])
    command = [*sanic_command(port, host), "--no-motd"]
    grace = 0.0  # Sanic takes no Ctrl+C well before its servers are up.
    with processes.interrupted_by_termination():
        process = processes.start(command, app, {"SANIC_SAJE_DB": db})
        try:
            deadline = time.monotonic() + BOOT
            while info(port, host) is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise WorkshopError(
                        "The demo did not start. Sanic's output is above."
                    )
                time.sleep(0.05)
            say(console(), what_to_try(port, host))
            grace = GRACE
            return process.wait()
        except KeyboardInterrupt:
            if not grace:
                raise
            processes.stop(process, grace)
            return process.returncode
        finally:
            processes.stop(process, grace)


def sanic_command(port: int, host: str = HOST) -> list[str]:
    """Return the command that serves the app of the current folder."""
    return [
        *(sys.executable, "-m", "sanic", "server:create_app", "--factory"),
        *(f"--host={host}", f"--port={port}", f"--workers={SERVERS}"),
    ]


def info(port: int, host: str = HOST) -> dict[str, Any] | None:
    """Return the answer to GET /v1/info, or None if there is none."""
    # http.client uses no proxy, which could not reach the app.
    connection = http.client.HTTPConnection(reachable(host), port, timeout=2)
    try:
        connection.request("GET", "/v1/info")
        reply = connection.getresponse()
        return dict(json.load(reply)) if reply.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def reachable(host: str) -> str:
    """Return the address at which this machine reaches what listens on `host`."""
    return HOST if host == "0.0.0.0" else host


def what_to_try(port: int, host: str) -> str:
    """Return the text of the demo: its address, and what to type, and to kill."""
    address = f"http://{reachable(host)}:{port}"
    body = '{"task": "hello", "kwargs": {"name": "Ada"}}'
    if sys.platform == "win32":  # its shells only know double quotes
        body = body.replace('"', '\\"')
        post = f'-H "content-type: application/json" -d "{body}"'
    else:
        post = f"-H 'content-type: application/json' -d '{body}'"
    kill = "taskkill /F /PID PID" if sys.platform == "win32" else "kill -9 PID"
    return f"""
The finished system is at {address}. Press Ctrl+C to end it.

In a second terminal, start a job. The answer has its uid:
curl -sS -X POST {address}/v1/job {post}

Ask for the job, with its uid in place of UID:
curl -sS {address}/v1/job/UID

See the servers, the workers and how many jobs wait:
curl -sS {address}/v1/info

Start some jobs, and kill a worker or a server while they run, with its pid in place
of PID. It is back after a second or two, "restarts" counts that, and every job ends:
{kill}

If you kill Sanic-Main, all of it ends. Start the demo again, and the jobs go on.
"""


def require_port(port: int, host: str = HOST) -> None:
    """Make sure that an app can listen on a port.

    Raises:
        WorkshopError: It can't, for example because another process has the port.
    """
    with socket.socket() as probe:
        if sys.platform != "win32":  # there it would let us take a port in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise WorkshopError(port_taken(port)) from None
            raise WorkshopError(
                f"No app can listen on {host}, port {port}: {error.strerror}.\n"
                "Choose a port from 1024 to 65535 with --port, and an address of this "
                "machine with --host."
            ) from None


def port_taken(port: int) -> str:
    """Return which process has a port, and what can be done about it."""
    import psutil

    other = f"choose another port: --port {port + 1}"
    what, end = "taken by", "taskkill /F" if sys.platform == "win32" else "kill"
    try:
        owners = processes.listening_on(port)
        if left := processes.left_behind(owners):
            owners = left
            what = "still held by processes that a killed Sanic left behind:"
        # The servers of a Sanic end with its main process.
        pids = {owner.pid for owner in owners}
        owners = [owner for owner in owners if owner.ppid() not in pids]
        names = ", ".join(f"{o.name()} (pid {o.pid}, in {o.cwd()})" for o in owners)
        if any(owner.status() == psutil.STATUS_STOPPED for owner in owners):
            # It takes no other signal, and neither do the processes below it.
            what = "taken by a program that was suspended, perhaps with Ctrl+Z:"
            end = "kill -9"
            owners += [p for o in owners for p in processes.descendants(o.pid)]
    except psutil.Error:  # it belongs to somebody else, or it has just ended
        owners = []
    if not owners:
        return f"Port {port} is taken by another program. End it, or {other}"
    option = " /PID" if sys.platform == "win32" else ""
    end += "".join(f"{option} {owner.pid}" for owner in owners)
    return f"Port {port} is {what} {names}.\nEnd it with: {end}\nOr {other}"
