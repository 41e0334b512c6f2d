"""What a test asks of the app under test: over HTTP, and in its log."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from contextlib import closing, suppress
from http.client import HTTPConnection
from typing import Any, Protocol
from uuid import uuid4

import httpx
import psutil
from app_process import ANSWER, SHOWN, AppProcess

from workshop.core import processes


class AppServer(AppProcess):
    """Two servers, and the managed worker if there is one yet."""

    def request(self, method: str, path: str, body: Any = None, **kwargs: Any) -> Reply:
        """Send a request, and remember the curl line that sends the same.

        Args:
            method: Such as "POST".
            path: Such as "/v1/job".
            body: Bytes as they are, or anything else as JSON, or None for no body.
            **kwargs: For httpx, such as headers.

        Returns:
            The answer.

        Raises:
            Checkpoint: There is no answer.
        """
        self.did = f"curl -i -X {method} http://127.0.0.1:{self.port}{path}"
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            kwargs["content"] = content
            json_type = {"content-type": "application/json"}
            kwargs["headers"] = json_type | kwargs.get("headers", {})
            for name, value in kwargs["headers"].items():
                self.did += f" -H '{name}: {value}'"
            self.did += f" -d {quoted(content)}"
        try:
            return Reply(self.http.request(method, path, **kwargs))
        except httpx.HTTPError as error:
            raise self.failed("an answer", repr(error)) from error

    def get(self, path: str) -> Reply:
        """GET a path."""
        return self.request("GET", path)

    def post(self, task: str, **kwargs: Any) -> str:
        """Submit a job, which must be accepted, and return its uid."""
        reply = self.request("POST", "/v1/job", {"task": task, "kwargs": kwargs})
        assert reply.status == 202, reply
        uid = str(reply.json["uid"])
        self.jobs[uid] = f"{task} {kwargs!s:.80}"
        return uid

    def greet(self, name: str, seconds: float) -> None:
        """Let the worker say hello, and goodbye some seconds later."""
        kwargs = {"name": name, "seconds": seconds}
        job = {"task": "hello", "uid": str(uuid4()), "kwargs": kwargs}
        # Once there are tasks, jobs go through the client, whatever is behind it.
        if (self.app / "app" / "tasks.py").exists():
            self.send(job)
        else:
            self.put(json.dumps(job))

    def put(self, message: str) -> None:
        """Put a message on the shared queue, from inside a server."""
        reply = Reply(self.http.post("/probe/queue", content=message.encode()))
        self.did = f"app.shared_ctx.saje_queue.put_nowait({message!r})"
        assert reply.status == 200, reply

    def send(self, job: dict[str, Any]) -> None:
        """Give a job to the client, inside a server."""
        calls = {"setup": "", "source": "await client.send(job)", "names": {"job": job}}
        reply = self.request("POST", "/probe/call", calls)
        self.did = f"await saje.send({job!r})"
        assert reply.json["raised"] is None, reply

    def refusal(self, name: str, value: str) -> str | None:
        """Return why create_saje() refuses a setting, or None if it doesn't."""
        body = {"name": name, "value": value}
        refused: str | None
        refused = self.request("POST", "/probe/setting", body).json["refused"]
        self.did = f"SANIC_{name}={value}, then create_saje(app)"
        return refused

    def each_server(self, path: str) -> dict[int, Any]:
        """GET a path until every server has answered, and return the JSON by pid."""
        ready = re.findall(r"Worker ready \[(\d+)\]", self.output())
        pids = {int(pid) for pid in ready}
        replies: dict[int, Any] = {}

        def all_answered() -> bool:
            # Many at once, because requests that come singly all go to one server.
            limit = ANSWER * self.slowness
            connections = [
                HTTPConnection("127.0.0.1", self.port, timeout=limit) for _ in range(8)
            ]
            for connection in connections:
                connection.request("GET", "/probe/pid")
            for connection in connections:
                # Two requests on one connection go to the same server.
                pid = json.load(connection.getresponse())["pid"]
                connection.request("GET", path)
                replies[pid] = json.load(connection.getresponse())
                connection.close()
            return replies.keys() == pids

        self.did = f"curl http://127.0.0.1:{self.port}{path}"
        self.until(all_answered, "an answer from both servers")
        return replies

    def info(self) -> dict[str, Any]:
        """Return the answer of GET /v1/info."""
        reply = self.get("/v1/info")
        assert reply.status == 200, reply
        info: dict[str, Any] = reply.json
        assert "workers" in info, reply
        return info

    def restart_worker(self) -> None:
        """Ask Sanic to restart the worker."""
        self.http.post("/probe/restart")
        self.did = 'request.app.m.restart("Sanic-SajeWorker-0")'

    def worker_if_any(self) -> list[psutil.Process]:
        """Return the SajeWorker, if there is one yet and it runs."""
        pids = re.findall(r"SAJE worker ready \[(\d+)\]", self.output())
        with suppress(psutil.NoSuchProcess):
            found = [psutil.Process(int(pid)) for pid in pids[-1:]]
            return [process for process in found if processes.is_alive(process)]
        return []

    def worker_pid(self) -> int:
        """Return the pid of the SajeWorker, once it is ready."""
        workers = self.info()["workers"]
        found = [w["pid"] for name, w in workers.items() if "SajeWorker" in name]
        assert found, f"only {sorted(workers)}"
        ready = f"SAJE worker ready [{found[0]}]"
        self.until(lambda: ready in self.output(), f"{ready!r} in the log")
        return int(found[0])

    def worker(self) -> psutil.Process:
        """Return the SajeWorker process, which must be running."""

        def look() -> list[psutil.Process]:
            pid = self.worker_pid()
            family = processes.descendants(self.main.pid)
            return [p for p in family if p.pid == pid and processes.is_alive(p)]

        with self.likely(
            "worker() returned. asyncio.run(scheduler.run()) keeps it until stop() is "
            "called, which must not happen too early"
        ):
            # After a restart, Sanic may name the one before for a moment.
            found: list[psutil.Process] = self.until(look, "a worker that runs", 2)
        return found[0]

    def logged(self, text: str, seconds: float | None = None) -> str:
        """Wait for a text in the log of this test, and return that log."""

        def lines() -> str:
            # The last line may be only half there.
            log, end, _ = self.output()[self.begun :].rpartition("\n")
            return log + end

        self.until(lambda: text in lines(), f"{text!r} in the log", seconds)
        return lines()

    def outcome(self, uid: str) -> str:
        """Wait for the log line with the outcome of a job, and return its end.

        From step 06 on that is JSON, which is returned as step 04 would show it.
        """
        pattern = re.compile(rf"Job {uid} (succeeded|failed|dead): .*(?=\n)")
        expected = f"'Job {uid} succeeded: …' or '… failed: …' in the log"

        def look() -> re.Match[str] | None:
            log = self.output()
            found = pattern.search(log)
            if found is None and f"Job {uid} has no outcome." in log:
                raise self.failed(expected, "an exception that execute() let out")
            return found

        found: re.Match[str] = self.until(look, expected)
        state, _, text = found[0].removeprefix(f"Job {uid} ").partition(": ")
        with suppress(ValueError):
            name = "result" if state == "succeeded" else "error"
            text = str({name: json.loads(text)})
        return f"{state}: {text}"

    def details(self, uid: str, ended: bool = True) -> dict[str, Any]:
        """GET a job, by default once it has ended."""

        def look() -> dict[str, Any] | None:
            reply = self.get(f"/v1/job/{uid}")
            self.did += f", a job of {self.jobs[uid]}" if uid in self.jobs else ""
            with self.likely(
                "GET doesn't know a job that was accepted. Do the tests of the TODOs "
                "before this one pass?"
            ):
                assert reply.status != 404, reply
            with self.likely(
                "GET fails for this job. Has one of its records a field that "
                "JobDetails doesn't have, or a value that it can't use?"
            ):
                assert reply.status == 200, reply
            details: dict[str, Any] = reply.json
            if ended and details["state"] in ("queued", "running"):
                return None
            return details

        result: dict[str, Any] = self.until(look, "a job that has ended")
        return result

    def running(self, uid: str) -> None:
        """Wait until a job runs."""
        self.until(
            lambda: self.details(uid, ended=False)["state"] == "running",
            "a job that is running",
        )

    def select(self, sql: str, *values: Any) -> list[Any]:
        """Return what a statement finds in the app's database, beside the app."""
        with closing(sqlite3.connect(self.db, timeout=20)) as db:
            try:
                return db.execute(sql, values).fetchall()
            except sqlite3.DatabaseError as error:
                self.did = f"{sql}, in {self.db.name}"
                raise self.failed("a database of jobs", repr(error)) from error

    def managers(self) -> list[psutil.Process]:
        """Return the processes of the Managers: Sanic's own, then that of SAJE."""
        servers = {worker["pid"] for worker in self.info()["workers"].values()}
        children = psutil.Process(self.main.pid).children(recursive=True)
        return [
            child
            for child in sorted(children, key=lambda child: child.create_time())
            if child.pid not in servers
            and processes.is_alive(child)
            and "resource_tracker" not in " ".join(child.cmdline())
            and not child.children()
        ]


class Reply:
    """An answer, which shows itself in a failure."""

    def __init__(self, response: httpx.Response) -> None:
        """Wrap a response of httpx."""
        self.status = response.status_code
        self.headers = response.headers
        self.text = response.text

    @property
    def json(self) -> Any:
        """The body, read as JSON.

        Raises:
            AssertionError: The body isn't JSON.
        """
        try:
            return json.loads(self.text)
        except ValueError:
            raise AssertionError(f"an answer that isn't JSON: {self}") from None

    def __repr__(self) -> str:
        """Return the status and the beginning of the body."""
        return f"{self.status} {self.text[:SHOWN]}"


class StartServer(Protocol):
    """Starts the app in a server of the test's own."""

    def __call__(
        self, after: AppServer | None = None, drain: float | None = None
    ) -> AppServer:
        """Start it.

        Args:
            after: A server that has ended, whose data this one gets.
            drain: SAJE_DRAIN, in seconds, short by default.
        """


class Call(Protocol):
    """Runs some calls in the latest server of a test, after the SETUP of its suite."""

    def __call__(self, source: str, **names: Any) -> Any:
        """Run them.

        Args:
            source: The calls, which return what JSON can hold. `folder` is one of the
                test's own.
            **names: Values for the calls.

        Returns:
            What the calls return.

        Raises:
            Checkpoint: They have raised an exception.
        """


def quoted(content: bytes) -> str:
    """Return a body as a shell takes it, or the beginning of a long one."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "$" + repr(content)[1:]
    rest = f" ... ({len(content)} bytes)" if len(text) > SHOWN else ""
    return shlex.quote(text[:SHOWN]) + rest
