"""Step 02: a process that Sanic starts and stops."""

import re
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from app_process import Checkpoint
from app_server import AppServer, StartServer

from workshop.core.pace import Watch

CHECK_STOP = 0.2  # seconds, as in saje/scheduler.py
NOT_DRAINED = (
    "the worker ended before its jobs, so wait in _drain() for all of self.jobs, for "
    "self.drain seconds at most"
)
NO_LIMIT = (
    "the worker waited for longer than the drain, until it was ended by force, so wait "
    "for self.drain seconds at most, and then cancel the jobs that are late"
)
NO_ON_STOP = (
    "the signal ended the worker in the middle of its work, because nothing called "
    "scheduler.stop(). Call on_stop(scheduler.stop) before the scheduler runs"
)
WAITS = (
    "stop() was called, but something still waits. If TODO 2.3 is done, look at its "
    "get(), which needs timeout=CHECK_STOP to see self.stopping"
)
SWALLOWED = (
    "something catches the exception that ended get(), and says nothing. Catch only "
    "Empty in _receive(), and nothing around scheduler.run()"
)


def said(log: str) -> list[str]:
    """Return what the worker and its jobs have logged, in order."""
    words = "Hello|Goodbye|Interrupted|Jobs still|Drained|SAJE worker complete"
    return re.findall(rf"(?:{words})\b[^\n\[]*\b", log)


def not_stopped(server: AppServer) -> str:
    """Return why a signal probably did not let the worker finish."""
    worker = (server.app / "saje" / "worker.py").read_text("utf-8", "replace")
    return WAITS if "on_stop(scheduler.stop)" in worker else NO_ON_STOP


@pytest.mark.todo("2.1")
def test_the_worker_runs_beside_the_servers(server: AppServer) -> None:
    """GET /v1/info lists a SajeWorker, which is a process of its own."""
    workers = server.info()["workers"]
    with server.likely(
        'Sanic doesn\'t manage a process named "SajeWorker", so give one to '
        "app.manager.manage() in main_process_ready"
    ):
        assert "Sanic-SajeWorker-0" in workers
    with server.likely(
        "the process of the worker ended before it was ready. Does manage() give "
        "worker() all of its arguments?"
    ):
        pid = server.worker_pid()
    assert [worker["pid"] for worker in workers.values()].count(pid) == 1


@pytest.mark.todo("2.1")
def test_the_worker_gets_the_drain(server: AppServer) -> None:
    """The worker gets SAJE_DRAIN, and Sanic restarts it when the code is reloaded."""
    server.worker_pid()
    managed = re.findall(r"Managed: (.*)", server.output())
    server.did = f"SANIC_SAJE_DRAIN={server.drain}, then looked at what Sanic manages"
    cause = 'pass on the setting: "drain": app.config.SAJE_DRAIN'
    if managed and "transient False" in managed[0]:
        cause = "Sanic restarts only what is transient: manage(..., transient=True)"
    with server.likely(cause):
        assert managed == [f"drain {server.drain}, transient True"]


@pytest.mark.todo("2.1")
def test_the_worker_can_be_restarted(server: AppServer) -> None:
    """Sanic can restart the worker, as auto-reload does when you save a file."""
    before = server.worker_pid()
    ready = server.output().count("SAJE worker ready")
    server.restart_worker()
    cause = "Sanic restarts only what is transient: manage(..., transient=True)"
    with server.likely(WAITS if "transient True" in server.output() else cause):
        server.until(
            lambda: server.output().count("SAJE worker ready") > ready, "a new worker"
        )
        assert server.worker_pid() != before


@pytest.mark.todo("2.1")
def test_one_ctrl_c_may_arrive_twice(start: StartServer) -> None:
    """Ctrl+C that arrives twice within a second stops the app once, and cleanly."""
    server = start()
    server.worker_pid()
    server.ctrl_c_twice()
    with server.likely(
        "Sanic took the second signal for a wish to kill, because its own handler was "
        "in place, so call stop_gracefully(app.manager) in main_process_ready"
    ):
        assert server.ended() == 0
        server.nothing_left()
        assert "Killing" not in server.output()


@pytest.mark.todo("2.1")
def test_a_bad_drain_is_refused(server: AppServer, tmp_path: Path) -> None:
    """A SAJE_DRAIN that isn't a number of seconds stops the start, in words."""
    server.worker_pid()
    with server.likely("the check at the beginning of create_saje() is gone"):
        for value in ("soon", "yes", "-1", "nan", "86401"):
            refusal = server.refusal("SAJE_DRAIN", value)
            assert "SAJE_DRAIN must be seconds" in str(refusal)
        with pytest.raises(Checkpoint) as failure:
            AppServer(server.app, tmp_path, drain="soon").kill()
        server.did = "SANIC_SAJE_DRAIN=soon, then started the app"
        assert "SAJE_DRAIN must be seconds" in str(failure.value)
        assert "Traceback" not in str(failure.value)


@pytest.mark.todo("2.2")
def test_the_worker_stays(server: AppServer) -> None:
    """The worker keeps running until it is asked to stop."""
    with suppress(psutil.TimeoutExpired):
        server.worker().wait(0.3 * server.slowness)  # seconds
    server.worker()


@pytest.mark.todo("2.2")
def test_a_stop_signal_lets_the_worker_finish(server: AppServer) -> None:
    """A stop signal makes the scheduler return, and the worker logs that it is done."""
    server.worker()
    server.restart_worker()
    server.did += ", which sends SIGTERM to the worker"
    with server.likely(not_stopped(server)):
        server.logged("Drained. Jobs left: 0")
        server.logged("SAJE worker complete")
    log = server.logged("SAJE worker ready")
    assert "Traceback" not in log


@pytest.mark.todo("2.3")
def test_jobs_run_at_the_same_time(server: AppServer) -> None:
    """The worker takes messages off the queue and runs them at the same time."""
    server.worker()
    for name in ("Alan", "Grace", "Edsger"):
        server.greet(name, 0.6 * server.slowness)
    with server.likely(
        "_receive() doesn't hand over each message that get() returns. Let the loop "
        "call self._start: loop.call_soon_threadsafe(self._start, message)"
    ):
        server.logged("Hello, Alan.")
    with server.likely(
        "the receiver took one message only, so go round again after each one"
    ):
        lines = said(server.logged("Hello, Edsger."))
    with server.likely(
        "each job is waited for before the next one begins. _receive() should only "
        "hand it over, with loop.call_soon_threadsafe(self._start, message)"
    ):
        before = lines[: lines.index("Hello, Edsger")]
        assert [line for line in before if "Goodbye" in line] == []
        server.logged("Goodbye, Edsger.")


@pytest.mark.todo("2.3")
def test_a_message_is_taken_at_once(server: AppServer) -> None:
    """The worker takes a message as soon as it arrives, however many came before."""
    messages = 20
    # A busy machine may be slow as well, but a pause makes each attempt slow.
    for attempt in range(3):
        worker = server.worker()
        worker.suspend()
        try:
            for number in range(messages):
                server.greet(f"Child {attempt}.{number}", 0)
        finally:
            began, watch = time.monotonic(), Watch()
            worker.resume()
        greeting = f"Hello, Child {attempt}.{messages - 1}."
        with server.likely("the receiver stopped taking messages"):
            while greeting not in server.output() and watch.seconds < 8:
                watch.pause()
            assert greeting in server.output()
        took = time.monotonic() - began
        if took < messages * CHECK_STOP / 2:
            break
    server.did = f"put {messages} messages on the queue while the worker was paused"
    with server.likely(
        "the receiver pauses between messages. get(timeout=CHECK_STOP) waits by itself "
        "and returns as soon as there is a message, so remove every sleep()"
    ):
        assert took < messages * CHECK_STOP / 2, f"{took:.1f} s until the last greeting"


@pytest.mark.todo("2.3")
def test_an_idle_worker_waits(server: AppServer) -> None:
    """Without messages, the worker burns no processor time, and hears a stop."""
    worker = server.worker()
    server.greet("Frances", 0)
    server.logged("Goodbye, Frances.")
    watch, before = Watch(), sum(worker.cpu_times()[:2])
    while watch.seconds < 1:
        watch.pause()
    used = 100 * (sum(worker.cpu_times()[:2]) - before) / watch.seconds
    with server.likely(
        "the receiver asks again and again without waiting. Let it wait in "
        "queue.get(timeout=CHECK_STOP)"
    ):
        assert used < 5, f"{used} % of a core, without any message"
    server.restart_worker()
    server.did += ", which stops the worker, while the queue was empty"
    with server.likely(
        "the receiver doesn't look up from an empty queue to see self.stopping, so "
        "wait in get(timeout=CHECK_STOP)"
    ):
        server.logged("SAJE worker complete")
    server.logged("SAJE worker ready")


@pytest.mark.todo("2.3")
def test_a_bad_message_does_no_harm(server: AppServer) -> None:
    """A message that isn't a job is skipped, and the worker keeps working."""
    server.worker()
    for message in ("{", "[]", "null", '{"kwargs": 1}', '"text"'):
        server.put(message)
    server.greet("Barbara", 0)
    with server.likely(
        "the receiver stopped at a message, so go round again after each one"
    ):
        server.logged("Goodbye, Barbara.")


@pytest.mark.todo("2.3")
def test_the_end_of_the_queue_ends_the_app(start: StartServer) -> None:
    """If the Manager of the queue dies, the worker says so, and the app exits."""
    server = start()
    server.worker()
    server.greet("Ada", 0)
    server.logged("Goodbye, Ada.")
    kill_the_queue(server)
    server.ended()
    server.nothing_left()


def kill_the_queue(server: AppServer) -> None:
    """Kill SAJE's Manager, and wait until the worker says so."""
    server.family()
    manager = server.managers()[1]
    manager.kill()
    server.did = f"kill -9 {manager.pid}, the Manager's process, which has the queue"
    with server.likely(SWALLOWED):
        server.logged("The queue is gone")


@pytest.mark.todo("2.3")
def test_a_killed_main_takes_all_along(start: StartServer) -> None:
    """When the main process is killed with kill -9, every process ends within 5 s."""
    server = start()
    server.worker()
    server.greet("Ada", 600)
    server.logged("Hello, Ada.")
    server.kill_main()
    server.did += ", the main process, while a job ran"
    with server.likely(
        "a process doesn't watch its parent. Each of them has to call "
        "end_with_parent(): the servers, the worker and, in guard(), the Manager"
    ):
        server.until(lambda: not server.family(), "no process of the app is left", 5)


@pytest.mark.todo("2.4")
def test_jobs_that_end_in_time_finish(server: AppServer) -> None:
    """All jobs that end within the drain finish. A longer one gets to tidy up."""
    server.worker()
    server.greet("Ada", 0.3)
    server.greet("Grace", 0.7)
    server.greet("Methuselah", 600)
    server.logged("Hello, Methuselah.")
    server.restart_worker()
    server.did += ", which stops the worker, while jobs of 0.3, 0.7 and 600 s ran. "
    server.did += f"The drain is {server.drain} s"
    ends = ("SAJE worker complete", "Process Sanic-SajeWorker")
    with server.likely(NO_LIMIT):
        server.until(
            lambda: [end for end in ends if end in server.logged("")],
            f"{ends[0]!r} in the log",
        )
    with server.likely("an exception ended the worker in the middle of the drain"):
        server.logged("SAJE worker complete", seconds=1)
    lines = said(server.logged("SAJE worker ready"))
    cause = NOT_DRAINED
    waiting = [line for line in lines if line.startswith("Jobs still running")]
    if waiting and f"waiting {server.drain} s" not in waiting[0]:
        cause = "the Scheduler got another drain than worker() did"
    with server.likely(cause):
        assert "Goodbye, Ada" in lines
    with server.likely(
        "the wait ended with the first job that did. Wait for all of self.jobs, as "
        "asyncio.wait(self.jobs, timeout=self.drain) does"
    ):
        assert "Goodbye, Grace" in lines
    with server.likely(
        "run() returned while a job was still running, so asyncio.run() cancelled it. "
        "Cancel the late jobs in _drain() and then wait for them once more, because a "
        "cancelled job needs a moment to tidy up"
    ):
        if not (server.app / "app" / "tasks.py").exists():  # these jobs say it
            assert "Interrupted: Methuselah" in lines
        assert "Drained. Jobs left: 0" in lines


@pytest.mark.todo("2.4")
def test_jobs_share_one_drain(server: AppServer) -> None:
    """However many jobs are running, one drain is all the time that they get."""
    server.worker()
    # If each job had a drain of its own, at most one of these were interrupted.
    late = [f"Late {number}" for number in range(3)]
    for number in range(37):
        server.greet(f"Methuselah {number}", 600)
    server.logged("Hello, Methuselah 36.")
    for name in late:
        server.greet(name, 2 * server.drain)
    server.logged(f"Hello, {late[-1]}.")
    server.restart_worker()
    server.did += ", which stops the worker, while 37 jobs of 600 s and 3 of "
    server.did += f"{2 * server.drain} s ran. The drain is {server.drain} s"
    with server.likely(
        "each job got a drain of its own, one after the other, or the jobs were "
        "cancelled and waited for one by one. Wait for all of them at once, cancel "
        "all that are late, and wait for all of them again"
    ):
        # If the worker hangs, it is ended by force.
        server.logged("SAJE worker ready")
        server.until(
            lambda: (
                "SAJE worker complete" in server.logged("")
                or "Goodbye, Late" in server.logged("")
            ),
            "the worker ends after one drain",
        )
        lines = said(server.logged(""))
        assert [line for line in lines if "Goodbye" in line] == []
        server.logged("Drained. Jobs left: 0")
    server.logged("SAJE worker complete")


@pytest.mark.todo("2.4")
def test_the_stop_waits_for_no_more_than_the_jobs(start: StartServer) -> None:
    """SIGTERM to the main process ends the app as soon as the last job has ended."""
    server = start(drain=300)
    server.worker()
    server.greet("Ada", 0.3)
    server.logged("Hello, Ada.")
    server.signal(signal.SIGTERM)
    server.did += ", while a job of 0.3 s ran. The drain is 300 s"
    with server.likely(
        "the worker waited for the whole drain, although no job was left. "
        "asyncio.wait() returns as soon as all jobs have ended"
    ):
        server.ended()
    with server.likely(NOT_DRAINED):
        assert "Goodbye, Ada" in said(server.output())
    server.ended_well()
    assert "SAJE worker complete" in said(server.output())


@pytest.mark.todo("2.4")
def test_ctrl_c_finishes_what_was_begun(start: StartServer) -> None:
    """A doubled Ctrl+C lets a job end, and interrupts one that outlasts the drain."""
    server = start()
    server.worker()
    server.greet("Ada", 0.3)
    server.greet("Methuselah", 600)
    server.logged("Hello, Methuselah.")
    server.ctrl_c_twice()
    server.did += ", while jobs of 0.3 s and 600 s ran. "
    server.did += f"The drain is {server.drain} s"
    server.ended_well()
    lines = said(server.output())
    with server.likely(NOT_DRAINED):
        assert "Goodbye, Ada" in lines
    with server.likely(NO_LIMIT):
        assert "Goodbye, Methuselah" not in lines
        assert "Drained. Jobs left: 0" in lines
        assert "SAJE worker complete" in lines


@pytest.mark.todo("2.4")
def test_running_jobs_outlast_the_queue(start: StartServer) -> None:
    """If the Manager of the queue dies, running jobs still get the drain."""
    server = start()
    server.worker()
    server.greet("Ada", 0.5)
    server.logged("Hello, Ada.")
    kill_the_queue(server)
    server.did += ", while a job of 0.5 s ran"
    server.ended()
    with server.likely(NOT_DRAINED):
        assert "Goodbye, Ada" in said(server.output())
    server.nothing_left()
