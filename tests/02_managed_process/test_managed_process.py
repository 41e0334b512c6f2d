"""Step 02: a process that Sanic starts and stops."""

import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from app_server import DRAIN, AppServer, Checkpoint, StartServer

from workshop.processes import is_alive


@pytest.mark.todo("2.1")
def test_the_worker_runs_beside_the_servers(server: AppServer) -> None:
    """GET /v1/info lists a SajeWorker, a process of its own that gets ready."""
    pid = server.worker_pid()
    servers = [
        worker["pid"]
        for name, worker in server.info()["workers"].items()
        if "SajeWorker" not in name
    ]
    server.expect(pid not in servers, "a process of its own", f"{pid} of {servers}")


@pytest.mark.todo("2.1")
def test_the_worker_can_be_restarted(server: AppServer) -> None:
    """Sanic can restart the worker, as auto-reload does when code was saved."""
    server.worker_pid()
    server.restart_worker()
    cause = "Sanic restarts only what is transient: manage(..., transient=True)"
    server.until(
        lambda: server.output().count("SAJE worker ready") > 1,
        "a new worker",
        cause=cause,
    )


@pytest.mark.todo("2.1")
def test_a_bad_setting_is_refused(server: AppServer, tmp_path: Path) -> None:
    """A SAJE_DRAIN that is no number keeps the app from starting, and says why."""
    try:
        wrong = AppServer(server.app, tmp_path, drain="soon")
    except Checkpoint as failure:
        got = str(failure)
    else:
        wrong.kill()
        got = "the app started"
    server.did = "SANIC_SAJE_DRAIN=soon, then started the app"
    expected = "SAJE_DRAIN must be seconds"
    cause = "nobody looks at it before it is needed: stop_gracefully() does, in "
    cause += "main_process_ready"
    server.expect(expected in got, expected, got, cause)


@pytest.mark.todo("2.2")
def test_the_worker_stays(server: AppServer) -> None:
    """The worker goes on running."""
    with suppress(psutil.TimeoutExpired):
        server.worker().wait(0.3)  # seconds
    server.worker()


@pytest.mark.todo("2.3")
def test_the_worker_takes_messages(server: AppServer) -> None:
    """The worker takes messages off the queue and runs them at the same time."""
    server.worker()
    names = ("Alan", "Grace", "Edsger")
    for name in names:
        server.greet(name, 0.6)
    server.logged("Hello, Edsger.")
    log = server.logged("Goodbye, Edsger.")
    last_hello = max(log.index(f"Hello, {name}.") for name in names)
    first_goodbye = min(log.index(f"Goodbye, {name}.") for name in names)
    cause = "one job is waited for before the next is begun, or the loop is blocked: "
    cause += "hand each message to self._start with loop.call_soon_threadsafe()"
    server.expect(
        last_hello < first_goodbye,
        "all say hello before one says goodbye",
        server.end_of_log(),
        cause,
    )


@pytest.mark.todo("2.3")
def test_an_idle_worker_waits(server: AppServer) -> None:
    """Without messages, the worker waits, burns no processor, and hears a stop."""
    worker = server.worker()
    server.greet("Frances", 0)
    server.logged("Goodbye, Frances.")
    used = worker.cpu_percent(interval=0.5)
    cause = "a loop asks without waiting: queue.get(timeout=LOOK_UP) waits"
    server.expect(used < 15, "an idle worker", f"{used} % of a core", cause)
    server.restart_worker()
    cause = "the receiver does not look up from an empty queue: get(timeout=LOOK_UP)"
    server.logged("SAJE worker complete", cause=cause)
    server.logged("SAJE worker ready")


@pytest.mark.todo("2.3")
def test_a_bad_message_does_no_harm(server: AppServer) -> None:
    """A message that is no job leaves the worker at work."""
    server.worker()
    for message in ("{", "[]", "null", '{"kwargs": 1}', '"text"'):
        server.put(message)
    server.greet("Barbara", 0)
    server.logged("Goodbye, Barbara.")


@pytest.mark.todo("2.3")
def test_a_killed_main_takes_the_worker_along(start: StartServer) -> None:
    """When the main process is killed with kill -9, the worker ends within 5 s.

    Its servers live on, and so messages may still come.
    """
    server = start()
    worker = server.worker()
    server.greet("Ada", 30)
    server.logged("Hello, Ada.")
    server.kill_main()
    server.did += ", and went on sending messages"
    cause = "the worker is an orphan and does not see it: at each turn of the loop, "
    cause += "message or not, stop when orphaned(), and at EOFError and OSError, with "
    cause += "self.drain at 0"

    def has_ended() -> bool:
        server.greet("Grace", 30)
        return not is_alive(worker)

    server.until(has_ended, "the worker has ended", 5, cause)


@pytest.mark.todo("2.4")
def test_ctrl_c_twice_finishes_what_was_begun(start: StartServer) -> None:
    """A doubled Ctrl+C lets a job end, and interrupts one that outlasts the drain."""
    server = start()
    server.worker()
    server.greet("Ada", 0.3)
    server.greet("Methuselah", 60)
    server.logged("Hello, Methuselah.")
    for _ in range(2):
        server.signal(signal.SIGINT, to_group=True)
        server.logged("Shutting down")
    server.did = (
        f"Ctrl+C twice, while jobs of 0.3 s and 60 s ran; the drain is {DRAIN} s"
    )
    server.ended_well()
    log = server.end_of_log()
    goodbye = "Goodbye, Ada." in server.output()
    cause = "the worker ended before its job: wait for self.jobs, self.drain seconds"
    server.expect(goodbye, "'Goodbye, Ada.' in the log", log, cause)
    cause = "end_within() had to end the worker: wait self.drain seconds at most, then "
    cause += "cancel what is late"
    complete = "SAJE worker complete" in server.output()
    server.expect(complete, "'SAJE worker complete' in the log", log, cause)


@pytest.mark.todo("2.4")
def test_a_restart_waits_for_what_ends_in_time(server: AppServer) -> None:
    """A worker that is restarted lets its job end, when no job outlasts the drain."""
    server.worker()
    server.greet("Katherine", 0.3)
    server.logged("Hello, Katherine.")
    server.restart_worker()
    server.did += ", while a job of 0.3 s ran"
    cause = "the worker ended before its job: wait for self.jobs, self.drain seconds"
    server.logged("Goodbye, Katherine.", cause=cause)
    server.logged("SAJE worker complete")
    server.logged("SAJE worker ready")


@pytest.mark.todo("2.4")
def test_sigterm_ends_it_well(start: StartServer) -> None:
    """SIGTERM ends an idle app: status 0, no traceback, no process left."""
    server = start()
    server.worker()
    server.greet("Ada", 0)
    server.logged("Goodbye, Ada.")
    server.signal(signal.SIGTERM)
    server.did += ", while no job ran"
    server.ended_well()
    complete = "SAJE worker complete" in server.output()
    server.expect(complete, "'SAJE worker complete' in the log", server.end_of_log())
