"""Step 02: a process that Sanic starts and stops."""

import os
import signal
from collections.abc import Callable

import psutil
import pytest
from app_server import AppServer, alive

Start = Callable[[], AppServer]


@pytest.mark.todo("2.1")
def test_the_worker_runs_beside_the_servers(server: AppServer) -> None:
    """GET /v1/info lists a SajeWorker process, a child of Sanic's main process."""
    worker = server.worker()
    server.expect(worker.ppid() == server.main.pid, "a child of main", worker.ppid())


@pytest.mark.todo("2.2")
def test_the_worker_stays(server: AppServer) -> None:
    """The worker goes on running, and does not burn the processor while it waits."""
    worker = server.worker()
    used = worker.cpu_percent(interval=0.5)
    server.expect(alive(worker), "the worker is alive", "it has ended")
    server.expect("worker complete" not in server.output(), "it waits", "it ended")
    server.expect(used < 60, "an idle worker", f"{used} % of a core")


@pytest.mark.todo("2.3")
def test_the_worker_takes_messages(server: AppServer) -> None:
    """The worker takes messages off the queue and runs them at the same time."""
    server.worker()
    names = ("Alan", "Grace", "Edsger")
    for name in names:
        server.submit(name, 1.0)
    log = server.logged("Goodbye, Edsger.")
    last_hello = max(log.index(f"Hello, {name}.") for name in names)
    first_goodbye = min(log.index(f"Goodbye, {name}.") for name in names)
    server.expect(last_hello < first_goodbye, "all greet before one says goodbye", log)


@pytest.mark.todo("2.3")
def test_a_bad_message_does_no_harm(server: AppServer) -> None:
    """A message that is no job leaves the worker at work."""
    server.worker()
    for message in ("{", "[]", "null", '{"kwargs": 1}', '"text"'):
        server.put(message)
    server.submit("Barbara", 0)
    server.logged("Goodbye, Barbara.")


@pytest.mark.todo("2.4")
@pytest.mark.parametrize(
    ("number", "times", "group"),
    [(signal.SIGINT, 2, True), (signal.SIGTERM, 1, False)],
    ids=["ctrl-c-twice", "sigterm"],
)
def test_stopping_finishes_what_was_begun(
    start: Start, number: int, times: int, group: bool
) -> None:
    """Stopping lets a running job end; status 0, no traceback, no process left."""
    server = start()
    server.worker()
    server.submit("Ada", 2.0)
    server.logged("Hello, Ada.")
    server.family()
    for _ in range(times):
        (os.killpg if group else os.kill)(server.main.pid, number)
        server.logged("Shutting down")
    status = server.ended()
    server.done = f"{signal.Signals(number).name} while a job ran"
    log = server.output()
    server.expect("Goodbye, Ada." in log, "'Goodbye, Ada.' in the log", log[-800:])
    server.expect(status == 0, "exit status 0", f"{status}\n{log[-800:]}")
    server.expect("Traceback" not in log, "no traceback", log[-1500:])
    server.nothing_left()


@pytest.mark.todo("2.4")
def test_a_killed_main_takes_the_worker_along(start: Start) -> None:
    """When the main process is killed with kill -9, the worker ends within 5 s."""
    server = start()
    worker = server.worker()
    server.submit("Ada", 30)
    server.logged("Hello, Ada.")
    server.family()
    psutil.Process(server.main.pid).kill()
    server.done = "kill -9 of Sanic's main process"
    server.until(lambda: not alive(worker), "the worker has ended", 5)
