"""Step 02: a process that Sanic starts and stops."""

import signal
from pathlib import Path

import pytest
from app_server import AppServer, Checkpoint, StartServer

from workshop.processes import is_alive


@pytest.mark.todo("2.1")
def test_the_worker_runs_beside_the_servers(server: AppServer) -> None:
    """GET /v1/info lists a SajeWorker process, a child of Sanic's main process."""
    worker = server.worker()
    server.expect(worker.ppid() == server.main.pid, "a child of main", worker.ppid())


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
    cause = "nobody looks at it before it is needed: ignore_second_stop() does, in "
    cause += "main_process_ready"
    server.expect(expected in got, expected, got, cause)


@pytest.mark.todo("2.2")
def test_the_worker_stays(server: AppServer) -> None:
    """The worker goes on running, and does not burn the processor while it waits."""
    worker = server.worker()
    used = worker.cpu_percent(interval=0.5)
    ended = not is_alive(worker) or "SAJE worker complete" in server.output()
    cause = "worker() returned: asyncio.run(scheduler.run()) keeps it until it stops"
    server.expect(not ended, "the worker runs on", "it has ended", cause)
    cause = "a loop asks without waiting: queue.get(timeout=LOOK_UP) waits"
    server.expect(used < 60, "an idle worker", f"{used} % of a core", cause)


@pytest.mark.todo("2.3")
def test_the_worker_takes_messages(server: AppServer) -> None:
    """The worker takes messages off the queue and runs them at the same time."""
    server.worker()
    names = ("Alan", "Grace", "Edsger")
    for name in names:
        server.greet(name, 0.6)
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
def test_a_bad_message_does_no_harm(server: AppServer) -> None:
    """A message that is no job leaves the worker at work."""
    server.worker()
    for message in ("{", "[]", "null", '{"kwargs": 1}', '"text"'):
        server.put(message)
    server.greet("Barbara", 0)
    server.logged("Goodbye, Barbara.")


@pytest.mark.todo("2.4")
@pytest.mark.parametrize(
    ("number", "times"),
    [(signal.SIGINT, 2), (signal.SIGTERM, 1)],
    ids=["ctrl-c-twice", "sigterm"],
)
def test_stopping_finishes_what_was_begun(
    start: StartServer, number: int, times: int
) -> None:
    """Stopping lets a running job end; status 0, no traceback, no process left."""
    server = start()
    server.worker()
    server.greet("Ada", 0.7)
    server.logged("Hello, Ada.")
    for _ in range(times):
        # A terminal signals every process; another program signals only the first.
        server.signal(number, to_group=number == signal.SIGINT)
        server.logged("Shutting down")
    server.did += ", while a job ran"
    server.ended_well()
    cause = "the worker ended before its job: wait for self.jobs, self.drain seconds"
    server.expect(
        "Goodbye, Ada." in server.output(),
        "'Goodbye, Ada.' in the log",
        server.end_of_log(),
        cause,
    )


@pytest.mark.todo("2.4")
def test_a_killed_main_takes_the_worker_along(start: StartServer) -> None:
    """When the main process is killed with kill -9, the worker ends within 5 s."""
    server = start()
    worker = server.worker()
    server.greet("Ada", 30)
    server.logged("Hello, Ada.")
    server.kill_main()
    cause = "the worker is an orphan and does not see it: stop when the queue is Empty "
    cause += "and orphaned(), and at EOFError and OSError, with self.drain at 0"
    server.until(lambda: not is_alive(worker), "the worker has ended", 5, cause)
