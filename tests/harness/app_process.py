"""The processes of the app under test, started and stopped as a learner does it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from http.client import HTTPException
from itertools import groupby
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import psutil
from causes import RECORD, in_the_log
from lookout import LOOK, Lookout, Stacks, cpu_seconds

from workshop.core import processes
from workshop.core.pace import Watch, slowness
from workshop.core.suites import BOTH_COME_UP

HERE = Path(__file__).parent
# All limits are seconds of a quiet machine, as a Watch counts them.
BOOT = 60.0
"""Seconds in which the servers have to come up. A boot that takes longer is tried
twice, because the machine may be busy."""
QUIET_BOOT = 2.5
"""Seconds that a boot takes on a quiet machine. Other limits grow with the boot that
was measured."""
IDLE, STUCK = 0.2, 5.0
"""An app that is starting hangs if it used less than so many seconds of CPU time
within so many seconds. It is started once more then."""
RUNAWAY = 10.0
"""Seconds of CPU time after which a process of an app that isn't up must be in an
endless loop, on any machine."""
KILLS = 3  # how often the processes are killed that are still there
TWICE = 0.3  # seconds between two signals that are one Ctrl+C
WAIT = 8.0  # seconds for anything else to happen, on a quiet machine
ANSWER = 30.0  # seconds until there is an answer
EXIT = 20.0  # seconds until the app has exited
IMPATIENCE = 0.25  # that part of all limits, once something did not happen
DRAIN = 1.5  # seconds: SAJE_DRAIN on a quiet machine
SLOWEST = 10.0  # times longer that the drain may be
NOT_YET = (httpx.HTTPError, HTTPException, KeyError, OSError, ValueError)
"""What an app may answer with, or fail with, until a condition becomes true."""
STARTS = ("IDLE", "STARTING", "STARTED", "RESTARTING")  # states of a worker
FLOOD = 2_000_000  # bytes of a log; only an endless loop prints more
SHOWN = 600  # characters of an answer, a body or a log that a failure shows


class Checkpoint(AssertionError):
    """A behaviour that a todo asks for is missing."""


class Overslept(Checkpoint):
    """The app did not come up in time, although it was busy starting."""


class Stuck(Checkpoint):
    """The app did nothing for a while, perhaps because the machine is busy."""


class AppProcess:
    """The app: its main process, all processes below it, and its log."""

    patience = 1.0
    """What every limit of this run is multiplied by."""

    def __init__(
        self,
        app: Path,
        data: Path,
        drain: float | str | None = None,
        settings: Mapping[str, int | str] | None = None,
    ) -> None:
        """Start the app and wait until it is up.

        Args:
            app: The folder of the app.
            data: The folder for its log and its jobs.
            drain: SAJE_DRAIN, in seconds. By default it is short, but long enough for
                the jobs of the tests on this machine.
            settings: More settings, by name. SAJE_WORKERS is 1 if it isn't there.

        Raises:
            Checkpoint: The app does not come up.
        """
        self.app = app
        self.data = data
        self.db = data / "jobs.db"  # whatever the app keeps its jobs in
        # How slow it was when the drain was chosen, which some waits take.
        self._at_start = min(slowness(), SLOWEST)
        self.drain = drain or round(DRAIN * self._at_start, 1)
        self.settings: dict[str, int | str] = {"SAJE_WORKERS": 1}
        self.settings |= settings or {}
        self.log = data / f"log-{time.monotonic_ns()}.txt"
        self._stacks = Stacks(app, self.log.with_name(f"stacks-{self.log.name}"))
        self.jobs: dict[str, str] = {}  # what was submitted, by uid
        self.booted = 0  # characters of the log when the app was up
        self.begun = 0  # the same when this test began
        self.causes: list[str] = []  # likely causes of a failure, the best one last
        self._boot_took = 1.0  # times the seconds of a quiet machine
        self._printing = ""  # what to say of an app that prints without end
        self.loop: Checkpoint | None = None  # what to say of one in an endless loop
        self.known: set[psutil.Process] = set()
        try:
            self._start()
        except (Overslept, Stuck):
            self._start()

    def _start(self) -> None:
        self.port = processes.free_port()
        command = [sys.executable, "-m", "sanic", "server:create_app", "--factory"]
        command += ["--host=127.0.0.1", f"--port={self.port}", "--workers=2"]
        self.did = "sanic " + " ".join(command[3:])
        command[3] = "saje_probe:create_app"
        env = {
            "PYTHONPATH": str(HERE),
            "SAJE_PROBE_STACKS": str(self._stacks.file),
            "SANIC_SAJE_DB": str(self.db),
            "SANIC_SAJE_DRAIN": str(self.drain),
            "SANIC_SAJE_TASKS": "saje_probe_tasks",
            "SANIC_NO_COLOR": "true",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        env |= {f"SANIC_{name}": str(value) for name, value in self.settings.items()}
        with self.log.open("wb") as log:
            self.main = processes.start([*command, "--no-motd"], self.app, env, log)
        self._http = Client(
            self,
            base_url=f"http://127.0.0.1:{self.port}",
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

    @property
    def http(self) -> httpx.Client:
        """Sends requests, and waits for the answers as long as the machine needs."""
        self._http.timeout = ANSWER * self.slowness
        return self._http

    def _boot(self) -> None:
        """Wait until the app is up, or until it is clear that it never will be."""
        watch = Watch()
        since = looked = size = 0
        used = cpu = most = 0.0
        while self.output().count("Worker ready [") < 2:
            self._stem()
            if time.monotonic() - looked > LOOK:
                looked, each = time.monotonic(), cpu_seconds(self.main.pid).values()
                cpu, most = sum(each), max(each, default=0.0)
            # It gets less when a process ends, which shows that the app works as well.
            if size != self.log.stat().st_size or abs(cpu - used) > IDLE:
                size, used, since = self.log.stat().st_size, cpu, watch.seconds
            if (stuck := watch.seconds - since > STUCK) or most > RUNAWAY:
                printed, place = self.end_of_log(), self._stacks.hanging(self.main.pid)
                why = "hangs" if stuck else "is in an endless loop"
                got = f"they don't, because the app {why}{place}"
                self._give_up()
                if not place:
                    printed = self.end_of_log()
                got += f". Its log:\n{printed or 'nothing'}"
                failure = self.failed(BOTH_COME_UP, got)
                raise Stuck(str(failure)) if stuck else failure
            self._pause(BOTH_COME_UP, watch)
        # A signal that comes before Sanic's main process has seen that every server
        # is up leaves it waiting. This message is answered only after that.
        with suppress(httpx.HTTPError):  # an app that is about to exit
            self.http.post("/probe/settle").raise_for_status()
        lookout = self.look()
        for condition in (
            lambda: "No change needed" in self.output(),
            lambda: self.output().count("SAJE worker ready") >= self._starting(),
        ):
            done = False
            while not done:
                self._stem()
                if why := lookout.loop(AppProcess.patience):
                    raise self.in_a_loop(why, "the app starts its processes")
                self._pause("the app starts its processes", watch)
                with suppress(httpx.TransportError):
                    done = condition()
        self._boot_took = max(1.0, watch.seconds / QUIET_BOOT)
        self.booted = self.begun = len(self.output())

    @property
    def slowness(self) -> float:
        """How much longer than on a quiet machine everything takes."""
        return self._boot_took * slowness()

    def _pause(self, expected: str, watch: Watch) -> None:
        """Wait a moment, unless the app has exited or has had enough time."""
        # The servers may be up although the main process failed to start the rest.
        if self.main.poll() is not None:
            printed = self.end_of_log() or "nothing. Does it call exit()?"
            raise self.failed(BOTH_COME_UP, f"the app exited. Its log:\n{printed}")
        if watch.seconds > BOOT:
            got = f"it did not within {BOOT:.0f} s. Is this machine very busy?"
            raise Overslept(str(self.failed(expected, f"{got}\n{self.end_of_log()}")))
        watch.pause()

    def look(self) -> Lookout:
        """Begin to look for an endless loop."""
        return Lookout(self.main.pid, self._stacks)

    def _stem(self) -> None:
        """End an app that prints without end, before it fills the disk."""
        if self.log.stat().st_size > FLOOD:
            raise self.failed("an app that prints less", "")

    def _flood(self) -> str:
        """Say that the app prints without end, and end it; return "" if it doesn't."""
        if self.log.stat().st_size <= FLOOD:
            return ""
        if not self._printing:
            lookout = self.look()
            time.sleep(LOOK * slowness())
            place = lookout.busiest(0)
            processes.kill(self.family())
            whole = self.end_of_log().rpartition("\n")[0]
            self._printing = (
                f"the app prints without end{place}. It printed more than "
                f"{FLOOD // 1_000_000} MB, for example:\n{whole}"
            )
        return self._printing

    def in_a_loop(self, why: str, expected: str) -> Checkpoint:
        """Describe that the app doesn't answer because of an endless loop.

        Args:
            why: What it does, as a Lookout returns it.
            expected: What should have happened, unless the app isn't even up.
        """
        # What else was likely is known now. The next tests find the same, and sooner.
        AppProcess.patience = IMPATIENCE
        self.causes.clear()
        expected = expected if self.booted else f"{BOTH_COME_UP}, and all answer"
        self.loop = self.failed(expected, f"the app {why}")
        return self.loop

    def _give_up(self) -> None:
        """End the app. Some errors of its start are printed only then."""
        self.family()
        if self.main.poll() is None:
            processes.send_signal(self.main, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.main.wait(STUCK * slowness())

    def _starting(self) -> int:
        """Return how many SajeWorkers are starting, or have started."""
        reply = self.http.get("/v1/info")
        workers = reply.json().get("workers", {}) if reply.is_success else {}
        states = [w["state"] for n, w in workers.items() if "SajeWorker" in n]
        return sum(state in STARTS for state in states)

    def begin(self) -> None:
        """Begin a test: look for causes only in what is logged from now on."""
        self.begun = len(self.output())
        self.causes.clear()

    @contextmanager
    def likely(self, cause: str) -> Iterator[None]:
        """Name what is likely wrong if anything within the block fails.

        Args:
            cause: What the learner has probably done, or left out.
        """
        self.causes.append(cause)
        yield
        self.causes.pop()

    def output(self) -> str:
        """Return what the app has printed so far."""
        with self.log.open("rb") as log:
            return log.read(FLOOD).decode("utf-8", "replace").replace("\r\n", "\n")

    def end_of_log(self) -> str:
        """Return the last lines that the app has printed."""
        lines = self.output()[-SHOWN * 4 :].splitlines()
        while len(lines) > 1 and sum(map(len, lines)) > SHOWN * 2:
            del lines[0]
        return "\n".join(folded(lines))

    def until(
        self,
        condition: Callable[[], Any],
        expected: str,
        seconds: float | None = None,
    ) -> Any:
        """Wait until a condition is true.

        Args:
            condition: What to check, again and again.
            expected: The condition in words.
            seconds: How long to wait at most, on a quiet machine.

        Returns:
            What the condition returned.

        Raises:
            Checkpoint: It did not become true in time.
        """
        limit = (seconds or WAIT) * AppProcess.patience * self._boot_took
        began, watch = time.monotonic(), Watch(self._at_start)
        last: Any = None
        lookout: Lookout | None = None
        while watch.seconds < limit:
            self._stem()
            if lookout is None and time.monotonic() - began > LOOK:
                lookout = self.look()
            try:
                last = condition()
            except NOT_YET as error:
                last = error
            else:
                if last:
                    return last
            watch.pause()
        # A learner's hang costs seconds, so after the first one the others wait less.
        AppProcess.patience = IMPATIENCE
        if lookout and (why := lookout.loop(AppProcess.patience)):
            raise self.in_a_loop(why, expected)
        got = f"nothing of it within {time.monotonic() - began:.1f} s"
        if lookout and (place := lookout.busiest()):
            got += f", while the app was busy{place}"
        if last not in (None, False):
            got += f": {last!r:.{SHOWN}}"
        raise self.failed(expected, got)

    def failed(self, expected: str, got: str) -> Checkpoint:
        """Describe a failure.

        Args:
            expected: What should have happened.
            got: What happened.

        Returns:
            A Checkpoint with what was done, what came back, and the causes.
        """
        if flood := self._flood():
            # That is the reason for everything else.
            lines = [f"did:      {self.did}", f"got:      {flood}"]
            return Checkpoint("\n".join([*lines, f"expected: {expected}"]))
        lines = [f"did:      {self.did}", f"got:      {got}", f"expected: {expected}"]
        log = self.output()
        if self.causes:
            lines.append(f"likely:   {self.causes[-1]}")
        seen = in_the_log(self.app, log[self.begun :])
        seen = seen or in_the_log(self.app, log[: self.booted or None])
        if "was never awaited" in log:  # Python says so once for each place.
            seen = seen or in_the_log(self.app, log)
        if seen:
            lines.append(f"log:      {seen}")
        return Checkpoint("\n".join(lines))

    def family(self) -> set[psutil.Process]:
        """Return every process of the app that is alive."""
        running = self.main.poll() is None
        if running:
            self.known |= processes.descendants(self.main.pid)
        # Otherwise the pid may be another program's by now.
        if running or not psutil.pid_exists(self.main.pid):
            self.known |= processes.session(self.main.pid)
        return {process for process in self.known if processes.is_alive(process)}

    def signal(self, number: int, to_group: bool = False) -> None:
        """Send a signal to the main process, or to the group, as a terminal does."""
        self.family()  # to know them when their parent is gone
        self.did = f"kill -{signal.Signals(number).name[3:]} {self.main.pid}"
        processes.send_signal(self.main, number, to_group)

    def ctrl_c_twice(self) -> None:
        """Press Ctrl+C as a terminal may deliver it: twice, well within a second.

        The second one waits for the effect of the first, but on a busy machine not for
        long, because an app takes one that comes much later for a wish to kill.
        """
        self.signal(signal.SIGINT, to_group=True)
        began = time.monotonic()
        while "Shutting down" not in self.output() and time.monotonic() - began < TWICE:
            time.sleep(0.01)
        processes.send_signal(self.main, signal.SIGINT, to_group=True)
        self.did = "Ctrl+C, and again within a second"

    def signal_all(self, number: int) -> None:
        """Send a signal to every single process, as a service manager does."""
        self.did = f"kill -{signal.Signals(number).name[3:]} of every process"
        for process in self.family():
            with suppress(psutil.Error):
                # The fork server of preloaded.py isn't a part of the app.
                if process.pid == self.main.pid or not process.children():
                    process.send_signal(number)

    def kill_main(self) -> None:
        """Kill the main process, and nothing else."""
        self.family()
        self.did = f"kill -9 {self.main.pid}"
        self.main.kill()

    def ended(self) -> int:
        """Wait until the app has exited, and return its exit status."""
        watch = Watch(self._at_start)
        while (status := self.main.poll()) is None:
            watch.pause()
            if watch.seconds > EXIT * self._boot_took:
                got = f"it still runs after {EXIT:.0f} s\n{self.end_of_log()}"
                raise self.failed("the app exits", got)
        return int(status)

    def ended_well(self) -> None:
        """Expect that the app exits with status 0, no traceback and no process left."""
        status, log = self.ended(), self.end_of_log()
        assert status == 0, f"exit status {status}\n{log}"
        records = re.split(RECORD, self.output())
        # A job that was interrupted may be logged with the place where it was.
        others = (record for record in records if not interrupted(record))
        assert not any("Traceback" in record for record in others), log
        self.nothing_left()

    def nothing_left(self) -> None:
        """Expect that no process of the app is alive."""
        self.until(lambda: not self.family(), "no process of the app is left")

    def kill(self) -> None:
        """End every process, whatever state it is in, so that none is left."""
        # One of them may have started another one in the meantime.
        for _ in range(KILLS):
            if left := self.family():
                processes.kill(left)
        self.main.wait()
        self._http.close()
        if left := self.family():
            raise AssertionError(f"These processes can't be ended: {left}")


def interrupted(record: str) -> bool:
    """Return whether a record of the log is about a job that was cancelled."""
    in_a_job = re.search(r'[/\\]saje[/\\]job\.py", line', record)
    return bool(in_a_job) and "CancelledError" in record


def folded(lines: list[str]) -> Iterator[str]:
    """Yield lines, and a line that comes again and again only once."""
    for line, same in groupby(lines):
        yield line
        if (count := len(list(same))) > 1:
            yield f"(the same line {count} times)"


class Client(httpx.Client):
    """Sends requests to an app, and gives one up if the app is in an endless loop."""

    def __init__(self, server: AppProcess, **options: Any) -> None:
        """Take the app, and the options of httpx."""
        super().__init__(**options)
        self._server = server

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request in a thread, and meanwhile look at what the app does.

        Args:
            request: The request.
            **options: Those of httpx.

        Returns:
            The answer.

        Raises:
            Checkpoint: There is none because of an endless loop.
        """
        answer: Future[httpx.Response] = Future()

        def call() -> None:
            try:
                answer.set_result(super(Client, self).send(request, **options))
            except BaseException as error:
                answer.set_exception(error)

        Thread(target=call, daemon=True).start()
        lookout: Lookout | None = None
        while not wait([answer], LOOK).done:
            lookout = lookout or self._server.look()
            if why := lookout.loop(AppProcess.patience):
                raise self._server.in_a_loop(why, "an answer")
        return answer.result()
