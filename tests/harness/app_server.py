"""The app under test, started as a learner starts it: real processes, real HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

HERE = Path(__file__).parent
BOOT = 20.0  # seconds for the servers to come up
WAIT = 8.0  # seconds for anything else to happen


class Checkpoint(AssertionError):
    """A behaviour that a todo asks for is not there."""


class AppServer:
    """Two servers, and the managed worker if there is one yet."""

    def __init__(self, app: Path, data: Path) -> None:
        self.app = app
        self.data = data
        self.log = data / f"log-{time.monotonic_ns()}.txt"
        self.done = "started the app: sanic server:create_app --workers 2"
        self.port = free_port()
        self.known: set[psutil.Process] = set()
        env = os.environ | {
            "PYTHONPATH": str(HERE),
            "SANIC_SAJE_DB": str(data / "jobs.jsonl"),
            "SANIC_SAJE_TASKS": "saje_probe_tasks",
            "SANIC_NO_COLOR": "true",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", "sanic", "saje_probe:create_app", "--factory"]
        command += ["--host=127.0.0.1", f"--port={self.port}", "--workers=2"]
        command += ["--no-motd"]
        with self.log.open("wb") as log:
            self.main = subprocess.Popen(
                command,
                cwd=app,
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            timeout=10,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        try:
            self.until(self._ready, "both servers answer", BOOT)
            self._settle()
        except BaseException:
            self.kill()
            raise

    def _ready(self) -> bool:
        if self.main.poll() is not None:
            raise Checkpoint(
                "The app did not start. It printed:\n" + self.output()[-3000:]
            )
        return self.output().count("Worker ready [") >= 2

    def _settle(self) -> None:
        # A signal that comes before Sanic's main process has seen that every
        # server is up leaves it spinning for ever. This message is answered
        # only after that.
        self.http.post("/probe/settle").raise_for_status()
        self.until(
            lambda: "No change needed" in self.output(), "the main process listens"
        )

    def output(self) -> str:
        """Return what the app has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def until(
        self, condition: Callable[[], Any], expected: str, seconds: float = WAIT
    ) -> Any:
        """Wait for a condition; a Checkpoint says what did not come to be."""
        deadline = time.monotonic() + seconds
        last: Any = None
        while time.monotonic() < deadline:
            try:
                last = condition()
            except (httpx.HTTPError, KeyError, ValueError) as error:
                last = error
            else:
                if last:
                    return last
            time.sleep(0.02)
        raise self.failed(expected, f"{last!r} after {seconds:.0f} s")

    def failed(self, expected: str, got: str) -> Checkpoint:
        """Return the failure: what was done, what came back, what was expected."""
        cause = likely_cause(self.output())
        text = f"done:     {self.done}\ngot:      {got}\nexpected: {expected}"
        return Checkpoint(text + (f"\ncause:    {cause}" if cause else ""))

    def expect(self, condition: object, expected: str, got: object) -> None:
        """Raise a Checkpoint unless the condition holds."""
        if not condition:
            raise self.failed(expected, f"{got!s:.800}")

    def request(
        self, method: str, path: str, body: Any = None, **kwargs: Any
    ) -> httpx.Response:
        """Send a request and remember it as a curl line."""
        self.done = f"curl -X {method} http://127.0.0.1:{self.port}{path}"
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.done += f" -H 'content-type: application/json' -d '{content[:200]!r}'"
            kwargs["content"] = content
            kwargs["headers"] = {"content-type": "application/json"} | kwargs.get(
                "headers", {}
            )
        try:
            return self.http.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise self.failed("an answer", repr(error)) from error

    def get(self, path: str) -> httpx.Response:
        """GET a path."""
        return self.request("GET", path)

    def post(self, task: str, **kwargs: Any) -> str:
        """Submit a job; return its uid."""
        reply = self.request("POST", "/v1/job", {"task": task, "kwargs": kwargs})
        self.expect(reply.status_code == 202, "202 Accepted", shown(reply))
        return str(reply.json()["uid"])

    def submit(self, name: str, seconds: float) -> None:
        """Have the worker greet: by POST where there is one, else on the queue."""
        kwargs = {"name": name, "seconds": seconds}
        if (self.app / "saje" / "task.py").exists():
            # A step in which only the endpoint is unfinished still greets.
            reply = self.request("POST", "/v1/job", {"task": "hello", "kwargs": kwargs})
            if reply.status_code == 202 and "read_job" not in self._unfinished():
                return
        uid = "00000000-0000-4000-8000-000000000000"
        message = json.dumps({"task": "hello", "uid": uid, "kwargs": kwargs})
        self.put(message)

    def _unfinished(self) -> str:
        text = (self.app / "app" / "jobs.py").read_text(encoding="utf-8")
        return "read_job" if "# TODO 4.2: refuse" in text else ""

    def put(self, message: str) -> None:
        """Put a message on the shared queue, from inside a server."""
        reply = self.http.post("/probe/queue", content=message.encode())
        self.done = f"put on app.shared_ctx.saje_queue: {message}"
        self.expect(reply.status_code == 200, "a queue that takes it", shown(reply))

    def each_server(self, path: str) -> dict[int, Any]:
        """GET a path until every server has answered; replies by pid."""
        pids = {
            worker["pid"]
            for name, worker in self.get("/v1/info").json()["workers"].items()
            if name.startswith("Sanic-Server-")
        }
        replies: dict[int, Any] = {}

        def all_answered() -> bool:
            # One connection, two requests: both go to the same server.
            with httpx.Client(base_url=self.http.base_url, timeout=10) as client:
                pid = client.get("/probe/pid").json()["pid"]
                reply = client.get(path)
                replies[pid] = reply.json()
            return replies.keys() == pids

        self.until(all_answered, "an answer from both servers")
        self.done = f"curl http://127.0.0.1:{self.port}{path}, until both have answered"
        return replies

    def worker(self) -> psutil.Process:
        """Return the SajeWorker process, once it is ready."""
        self.done = f"curl http://127.0.0.1:{self.port}/v1/info"
        workers = self.http.get("/v1/info").json()["workers"]
        found = [w["pid"] for name, w in workers.items() if "SajeWorker" in name]
        self.expect(found, "a Sanic-SajeWorker-0 among the workers", sorted(workers))
        self.until(lambda: "SAJE worker ready" in self.output(), "the worker is ready")
        return psutil.Process(found[0])

    def logged(self, text: str, seconds: float = WAIT) -> str:
        """Wait for a text in the app's log; return the log."""
        self.until(lambda: text in self.output(), f"{text!r} in the log", seconds)
        return self.output()

    def outcome(self, uid: str) -> str:
        """Wait for the log line with which a job ended."""
        pattern = re.compile(rf"Job {uid} (succeeded|failed): .*")
        found: re.Match[str] = self.until(
            lambda: pattern.search(self.output()), f"'Job {uid} succeeded or failed'"
        )
        return found[0].removeprefix(f"Job {uid} ")

    def details(self, uid: str, ended: bool = True) -> dict[str, Any]:
        """GET a job, when it has ended."""

        def look() -> dict[str, Any] | None:
            reply = self.get(f"/v1/job/{uid}")
            self.expect(reply.status_code == 200, "200 and the job", shown(reply))
            details: dict[str, Any] = reply.json()
            if ended and details["state"] in ("queued", "running"):
                return None
            return details

        result: dict[str, Any] = self.until(look, "a job that has ended")
        return result

    def family(self) -> set[psutil.Process]:
        """Return every process of the app that is alive."""
        try:
            main = psutil.Process(self.main.pid)
            self.known |= {main, *main.children(recursive=True)}
        except psutil.NoSuchProcess:
            pass
        return {p for p in self.known if alive(p)}

    def stop(self, number: int = signal.SIGINT, group: bool = True) -> int:
        """Stop the app with a signal, as Ctrl+C does; return its exit status."""
        self.family()
        send = os.killpg if group else os.kill
        send(self.main.pid, number)
        return self.ended()

    def ended(self) -> int:
        """Wait until the app has ended; return its exit status."""
        try:
            return self.main.wait(20)
        except subprocess.TimeoutExpired:
            raise self.failed("the app ends", "it still runs after 20 s") from None

    def nothing_left(self) -> None:
        """Expect that no process of the app is alive."""
        self.until(lambda: not self.family(), "no process is left")

    def kill(self) -> None:
        """End every process, whatever state it is in."""
        for process in self.family():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.main.wait(10)
        self.http.close()


def shown(reply: httpx.Response) -> str:
    """Return an answer as a failure shows it."""
    return f"{reply.status_code} {reply.text[:500]}"


def alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


CAUSES = {
    "was added to shared_ctx. It may not": "what you put on shared_ctx cannot be "
    "shared between processes; use multiprocessing's Manager().Queue()",
    "cannot pickle": "an argument of manage() or an object on shared_ctx cannot be "
    "sent to another process",
    "missing 1 required positional argument: 'saje'": "the client is not registered, "
    "or too late: call app.ext.add_dependency() in create_saje() itself",
    "has no attribute 'manager'": "app.manager exists only in main_process_ready",
    "has no attribute 'saje_queue'": "nothing put saje_queue on app.shared_ctx, or "
    "not in main_process_start",
    "Address already in use": "the port is taken",
}


def likely_cause(output: str) -> str | None:
    """Name a usual mistake that has left its mark in the log."""
    for mark, cause in CAUSES.items():
        if mark in output:
            return cause
    errors = re.findall(r"^\w*(?:Error|Exception)\b.*", output, re.MULTILINE)
    return f"the app's log says: {errors[-1]}" if errors else None
