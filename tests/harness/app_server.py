"""The app under test, started as a learner starts it: real processes, real HTTP."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil
from causes import in_the_code, in_the_log

from workshop import processes
from workshop.suites import BOTH_COME_UP

HERE = Path(__file__).parent
BOOT = 20.0  # seconds for the servers to come up
STACK = 0.5  # seconds until a process has printed its stack
STUCK = 3.0  # seconds without a word after a traceback: they will not come up
WAIT = 5.0  # seconds for anything else to happen
WAIT_AGAIN = 1.5  # the same, once something of this app did not happen
DRAIN = 1.0  # seconds: SAJE_DRAIN
NOT_YET = (httpx.HTTPError, HTTPException, KeyError, OSError, ValueError)
"""What an app may answer with, or break off with, until a condition has come to be."""
STARTS = ("IDLE", "STARTING", "STARTED", "RESTARTING")  # states of a worker
FLOOD = 2_000_000  # bytes of a log: more is printed only by a loop without end
SHOWN = 600  # characters of an answer, a body or a log that a failure shows


class Checkpoint(AssertionError):
    """A behaviour that a todo asks for is not there."""


class AppServer:
    """Two servers, and the managed worker if there is one yet."""

    patience = WAIT
    """Seconds to wait for anything, of every server of this run."""

    def __init__(self, app: Path, data: Path, drain: float | str = DRAIN) -> None:
        self.app = app
        self.data = data
        self.log = data / f"log-{time.monotonic_ns()}.txt"
        self.jobs: dict[str, str] = {}  # what was submitted, by uid
        self.stopping = False  # whether somebody has asked the app to end
        self.worker_process: psutil.Process | None = None  # once it was ready
        self.booted = 0  # characters of the log: until the app was up
        self.begun = 0  # the same: until this test began
        self.port = processes.free_port()
        self.known: set[psutil.Process] = set()
        command = [sys.executable, "-m", "sanic", "server:create_app", "--factory"]
        command += ["--host=127.0.0.1", f"--port={self.port}", "--workers=2"]
        self.did = "sanic " + " ".join(command[3:])
        command[3] = "saje_probe:create_app"
        env = {
            "PYTHONPATH": str(HERE),
            "SANIC_SAJE_DB": str(data / "jobs.jsonl"),
            "SANIC_SAJE_DRAIN": str(drain),
            "SANIC_SAJE_TASKS": "saje_probe_tasks",
            "SANIC_NO_COLOR": "true",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with self.log.open("wb") as log:
            self.main = processes.start([*command, "--no-motd"], app, env, log)
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            timeout=10,
            # Each request has a connection of its own, so it may go to either server.
            # (A pool that keeps none may close one that another thread has just got.)
            headers={"connection": "close"},
            trust_env=False,  # no proxy
            verify=False,  # there is no TLS; this only spares the certificates
        )
        try:
            self._boot()
        except BaseException:
            self.kill()
            raise

    def _boot(self) -> None:
        began = changed = time.monotonic()
        size = 0
        while self.output().count("Worker ready [") < 2:
            self._stem()
            now = time.monotonic()
            if size != (size := self.log.stat().st_size):
                changed = now
            wrong = "Traceback" in self.output() or " ERROR: " in self.output()
            stuck = wrong and now - changed > STUCK
            ended = self.main.poll() is not None
            if ended or stuck or now - began > BOOT:
                cause = None
                if not ended and not stuck:
                    printed, cause = self.end_of_log(), self._where_it_hangs()
                self._give_up()
                printed = printed if cause else self.end_of_log()
                got = "the app ended" if ended else "they do not"
                silent = "nothing: does it call exit()?" if ended else "nothing"
                got += f"; it printed:\n{printed or silent}"
                raise self.failed(BOTH_COME_UP, got, cause)
            time.sleep(0.02)
        # A signal that comes before Sanic's main process has seen that every server
        # is up leaves it waiting. This message is answered only after that.
        self.http.post("/probe/settle").raise_for_status()
        deadline = time.monotonic() + STUCK
        while "No change needed" not in self.output():
            if time.monotonic() > deadline:
                self._give_up()
                expected = "Sanic's main process has started all processes"
                raise self.failed(expected, f"it has not\n{self.end_of_log()}")
            time.sleep(0.02)
        deadline = time.monotonic() + BOOT
        while self._worker_state() in STARTS and time.monotonic() < deadline:
            if "SAJE worker ready" in self.output():
                break
            time.sleep(0.02)
        self.booted = self.begun = len(self.output())

    def _stem(self) -> None:
        """End an app that prints without end, before it fills the disk."""
        if self.log.stat().st_size > FLOOD:
            processes.kill(self.family())
            expected = f"an app that prints less than {FLOOD // 1_000_000} MB"
            cause = "a loop that prints never ends"
            raise self.failed(expected, f"it printed:\n{self.end_of_log()}", cause)

    def _where_it_hangs(self) -> str | None:
        """Name the line of the app that a process has not got beyond.

        A process in which the probe was imported prints its stack at SIGUSR1, and any
        other ends by it: so this is for an app that is given up.
        """
        if sys.platform == "win32":
            return None
        own = rf'^  File "{re.escape(str(self.app))}[/\\](.+?)", line (\d+)'
        # The main process, then what it has started, the Managers as the last: without
        # them it would end.
        below = processes.descendants(self.main.pid)
        ordered = sorted(below, key=lambda process: process.create_time())
        for pid in (self.main.pid, *(process.pid for process in reversed(ordered))):
            known = len(self.output())
            with suppress(psutil.Error):
                psutil.Process(pid).send_signal(signal.SIGUSR1)
                psutil.Process(pid).wait(STACK)
            if found := re.search(own, self.output()[known:], re.MULTILINE):
                file, line = found.groups()
                return f"{file}, line {line}: it gets no further; a loop without end?"
        return None

    def _give_up(self) -> None:
        """End the app; some errors of its start are printed only then."""
        self.family()
        if in_the_code(self.app):
            return  # We know already.
        if self.main.poll() is None:
            processes.send_signal(self.main, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.main.wait(STUCK)

    def _worker_died(self) -> bool:
        """Tell whether the worker is gone while nobody has asked it to end."""
        if self.stopping or self.worker_process is None:
            return False
        return not processes.is_alive(self.worker_process)

    def _worker_state(self) -> str | None:
        workers = self.http.get("/v1/info").json().get("workers", {})
        return next((w["state"] for n, w in workers.items() if "SajeWorker" in n), None)

    def begin(self) -> None:
        """Forget what earlier tests have left in the log, when looking for causes."""
        self.begun = len(self.output())

    def output(self) -> str:
        """Return what the app has printed so far."""
        with self.log.open("rb") as log:
            return log.read(FLOOD).decode("utf-8", "replace").replace("\r\n", "\n")

    def end_of_log(self) -> str:
        """Return the last lines that the app has printed."""
        lines = self.output()[-SHOWN * 4 :].splitlines()
        while len(lines) > 1 and sum(map(len, lines)) > SHOWN * 2:
            del lines[0]
        return "\n".join(lines)

    def until(
        self,
        condition: Callable[[], Any],
        expected: str,
        seconds: float | None = None,
        cause: str | None = None,
    ) -> Any:
        """Wait for a condition; a Checkpoint says what did not come to be.

        Takes: ``seconds``, how long at most; ``cause``, what is the likely cause when
        it does not come to be. Returns: what the condition returned.
        """
        seconds = min(seconds or WAIT, AppServer.patience)
        began = time.monotonic()
        last: Any = None
        while time.monotonic() - began < seconds and not self._worker_died():
            self._stem()
            try:
                last = condition()
            except NOT_YET as error:
                last = error
            else:
                if last:
                    return last
            time.sleep(0.02)
        # A learner's hang costs seconds: what was in vain once is tried for less.
        AppServer.patience = WAIT_AGAIN
        got = f"it did not come within {time.monotonic() - began:.1f} s"
        if self._worker_died():
            got = "it did not come, and the worker has ended"
        if last not in (None, False):
            got += f": {last!r:.{SHOWN}}"
        raise self.failed(expected, got, cause)

    def failed(self, expected: str, got: str, cause: str | None = None) -> Checkpoint:
        """Return the failure: what was done, what came back, what was expected."""
        log = self.output()
        # What is wrong in the code for certain goes before what a test may suspect.
        cause = in_the_code(self.app) or cause
        cause = cause or in_the_log(self.app, log[self.begun :])
        cause = cause or in_the_log(self.app, log[: self.booted])
        if "was never awaited" in log:  # Python says so once for each place.
            cause = cause or in_the_log(self.app, log)
        if self._worker_died():
            cause = f"the worker has ended. {cause or 'Nobody asked it to.'}"
        lines = [f"did:      {self.did}", f"got:      {got}", f"expected: {expected}"]
        return Checkpoint("\n".join(lines + ([f"cause:    {cause}"] if cause else [])))

    def expect(
        self, condition: object, expected: str, got: object, cause: str | None = None
    ) -> None:
        """Raise a Checkpoint unless the condition holds."""
        if not condition:
            raise self.failed(expected, f"{got!s:.{SHOWN * 3}}", cause)

    def request(
        self, method: str, path: str, body: Any = None, **kwargs: Any
    ) -> httpx.Response:
        """Send a request, with a JSON body if there is one, and remember its curl."""
        self.did = f"curl -i -X {method} http://127.0.0.1:{self.port}{path}"
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.did += f" -H 'content-type: application/json' -d {quoted(content)}"
            kwargs["content"] = content
            json_type = {"content-type": "application/json"}
            kwargs["headers"] = json_type | kwargs.get("headers", {})
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
        uid = str(reply.json()["uid"])
        self.jobs[uid] = f"{task} {kwargs!s:.80}"
        return uid

    def greet(self, name: str, seconds: float) -> None:
        """Have the worker say hello, and goodbye some seconds later."""
        uid = "00000000-0000-4000-8000-000000000000"
        kwargs = {"name": name, "seconds": seconds}
        job = {"task": "hello", "uid": uid, "kwargs": kwargs}
        # Once there are tasks, jobs go through the client, whatever is behind it.
        if (self.app / "app" / "tasks.py").exists():
            self.send(job)
        else:
            self.put(json.dumps(job))

    def put(self, message: str) -> None:
        """Put a message on the shared queue, from inside a server."""
        reply = self.http.post("/probe/queue", content=message.encode())
        self.did = f"app.shared_ctx.saje_queue.put_nowait({message!r})"
        self.expect(reply.status_code == 200, "a queue that takes it", shown(reply))

    def send(self, job: dict[str, Any] | str) -> None:
        """Give a job to the client, inside a server."""
        reply = self.request("POST", "/probe/send", {"job": job})
        self.did = f"await saje.send({job!r})"
        self.expect(reply.status_code == 200, "no exception", shown(reply))

    def each_server(self, path: str) -> dict[int, Any]:
        """GET a path until every server has answered; replies by pid."""
        pids = {
            worker["pid"]
            for name, worker in self.info()["workers"].items()
            if name.startswith("Sanic-Server-")
        }
        replies: dict[int, Any] = {}

        def all_answered() -> bool:
            # Many at once: of requests that come singly, one server takes them all.
            connections = [
                HTTPConnection("127.0.0.1", self.port, timeout=10) for _ in range(8)
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
        """Return what GET /v1/info answers."""
        reply = self.get("/v1/info")
        right = reply.status_code == 200 and "workers" in reply.json()
        self.expect(right, "200, with the workers", shown(reply))
        info: dict[str, Any] = reply.json()
        return info

    def restart_worker(self) -> None:
        """Ask Sanic to restart the worker."""
        self.worker_process = None
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
        """Return the pid of the SajeWorker, once it was ready."""
        workers = self.info()["workers"]
        found = [w["pid"] for name, w in workers.items() if "SajeWorker" in name]
        listed = "Sanic-SajeWorker-0 among the workers"
        self.expect(found, listed, f"only {sorted(workers)}")
        ready = f"SAJE worker ready [{found[0]}]"
        self.until(lambda: ready in self.output(), f"{ready!r} in the log")
        return int(found[0])

    def worker(self) -> psutil.Process:
        """Return the SajeWorker process, which must be running."""
        pid = self.worker_pid()
        with suppress(psutil.NoSuchProcess):
            self.worker_process = psutil.Process(pid)
        runs = self.worker_process and not self._worker_died()
        cause = (
            "worker() returned: asyncio.run(scheduler.run()) keeps it until stop() is "
            "called, which must not be too early"
        )
        if "Process Sanic-SajeWorker" in self.output():  # With a traceback, in the log.
            cause = in_the_log(self.app, self.output()) or cause
        self.expect(runs, "the worker runs on", "it has ended", cause)
        assert self.worker_process
        return self.worker_process

    def logged(
        self, text: str, seconds: float | None = None, cause: str | None = None
    ) -> str:
        """Wait until a text is in what was logged since the test began; return that."""
        expected = f"{text!r} in the log"
        self.until(
            lambda: text in self.output()[self.begun :], expected, seconds, cause
        )
        return self.output()[self.begun :]

    def outcome(self, uid: str, cause: str | None = None) -> str:
        """Wait for the log line with which a job ended; return its end."""
        pattern = re.compile(rf"Job {uid} (succeeded|failed): .*")
        expected = f"'Job {uid} succeeded: ...' or '... failed: ...' in the log"
        found: re.Match[str] = self.until(
            lambda: pattern.search(self.output()), expected, cause=cause
        )
        return found[0].removeprefix(f"Job {uid} ")

    def details(
        self, uid: str, ended: bool = True, cause: str | None = None
    ) -> dict[str, Any]:
        """GET a job, when it has ended."""

        def look() -> dict[str, Any] | None:
            reply = self.get(f"/v1/job/{uid}")
            self.did += f", a job of {self.jobs[uid]}" if uid in self.jobs else ""
            self.expect(reply.status_code == 200, "200 and the job", shown(reply))
            details: dict[str, Any] = reply.json()
            if ended and details["state"] in ("queued", "running"):
                return None
            return details

        result: dict[str, Any] = self.until(look, "a job that has ended", cause=cause)
        return result

    def running(self, uid: str) -> None:
        """Wait until a job runs."""
        self.until(
            lambda: self.details(uid, ended=False)["state"] == "running",
            "a job that is running",
        )

    def family(self) -> set[psutil.Process]:
        """Return every process of the app that is alive."""
        self.known |= processes.descendants(self.main.pid)
        self.known |= processes.session(self.main.pid)
        return {process for process in self.known if processes.is_alive(process)}

    def signal(self, number: int, to_group: bool = False) -> None:
        """Send a signal to the main process; to the group, as a terminal does."""
        self.family()  # to know them when their parent has gone
        self.stopping = True
        self.did = f"kill -{signal.Signals(number).name[3:]} {self.main.pid}"
        processes.send_signal(self.main, number, to_group)

    def kill_main(self) -> None:
        """End the main process by force, and nothing else."""
        self.family()
        self.stopping = True
        self.did = f"kill -9 {self.main.pid}"
        self.main.kill()

    def ended(self) -> int:
        """Wait until the app has ended; return its exit status."""
        try:
            return self.main.wait(20)
        except subprocess.TimeoutExpired:
            raise self.failed("the app ends", "it still runs after 20 s") from None

    def ended_well(self) -> None:
        """Expect that the app ends with status 0, no traceback and no process left."""
        status, log = self.ended(), self.end_of_log()
        self.expect(status == 0, "exit status 0", f"{status}\n{log}")
        cause = None
        if "KeyboardInterrupt" in log:
            cause = "the signal ended the worker in the middle of its work: worker() "
            cause += "must call on_stop(scheduler.stop)"
        self.expect("Traceback" not in self.output(), "no traceback", log, cause)
        self.nothing_left()

    def nothing_left(self) -> None:
        """Expect that no process of the app is alive."""

        def orphans() -> list[int]:
            return sorted(process.pid for process in self.family())

        self.until(
            lambda: not orphans(),
            "no process is left",
            cause="a process does not end with Sanic's main process: does the worker "
            "stop when on_stop() calls, and when it is orphaned()?",
        )

    def kill(self) -> None:
        """End every process, whatever state it is in; none may be left."""
        processes.kill(self.family())
        self.main.wait(10)
        self.http.close()
        if left := self.family():
            raise AssertionError(f"These processes cannot be ended: {left}")


class StartServer(Protocol):
    """Starts the app in a server of the test's own."""

    def __call__(self, after: AppServer | None = None) -> AppServer:
        """Takes: ``after``, a server that has ended, whose data this one gets."""


def quoted(content: bytes) -> str:
    """Return a body as a shell takes it; the beginning of a long one."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "$" + repr(content)[1:]
    rest = f" ... ({len(content)} bytes)" if len(text) > SHOWN else ""
    return shlex.quote(text[:SHOWN]) + rest


def shown(reply: httpx.Response) -> str:
    """Return an answer as a failure shows it."""
    return f"{reply.status_code} {reply.text[:SHOWN]}"
