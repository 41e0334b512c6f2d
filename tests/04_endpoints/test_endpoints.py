"""Step 04: tasks by name, jobs with an outcome, an endpoint that checks."""

import signal
import subprocess
import sys
import uuid

import pytest
from app_server import AppServer, StartServer, shown

DEEP = b'{"task": "hello", "kwargs": {"name": ' + b"[" * 900 + b"]" * 900 + b"}}"
REFUSED = {
    b"": 400,
    b"{": 400,
    b"[]": 400,
    b'"hello"': 400,
    b'{"task": "hello", "kwargs": []}': 400,
    b'{"task": "hello", "kwargs": null}': 400,
    b'{"task": "hello", "kwargz": {}}': 400,
    b'{"task": "hello", "kwargs": {"name": NaN}}': 400,
    b'{"task": "hello", "kwargs": {"name": -Infinity}}': 400,
    b'{"task": "hello", "kwargs": {"name": 1e999}}': 400,
    b'{"task": "hello", "kwargs": {"name": "\\ud800"}}': 400,
    b'{"task": "hello", "kwargs": {"name": "\xff"}}': 400,
    DEEP: 400,
    b'{"kwargs": {}}': 422,
    b'{"task": "no_such_task"}': 422,
    b'{"task": ["hello"]}': 422,
}


@pytest.mark.todo("4.1")
def test_tasks_register_themselves(server: AppServer) -> None:
    """Defining a Task registers it under its name."""
    names = server.get("/probe/tasks").json()
    server.did = "sorted(Task.registry), in a server"
    for name in ("hello", "word_count", "primes"):
        server.expect(name in names, f"{name!r} among them", names)


@pytest.mark.todo("4.1")
@pytest.mark.parametrize("body", ["name = 'hello'", "pass"], ids=["taken", "nameless"])
def test_a_bad_name_is_refused(server: AppServer, body: str) -> None:
    """A task with no name of its own, or with one that is taken, is a TypeError."""
    code = f"import app.tasks\nclass Again(app.tasks.Hello):\n    {body}\n"
    server.did = f"python -c, in the app's folder:\n{code}"
    run = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=server.app,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    cause = "an inherited name is found by hasattr() and getattr(); look in "
    cause += "cls.__dict__, and refuse a name that Task.registry has"
    got = run.stderr[-400:] or "no error"
    server.expect("TypeError" in run.stderr, "TypeError", got, cause)


@pytest.mark.todo("4.2")
def test_what_is_no_job_is_refused(server: AppServer) -> None:
    """Whatever is no job is answered 400 or 422, and is not queued."""
    for body, status in REFUSED.items():
        reply = server.request("POST", "/v1/job", body)
        server.expect(reply.status_code == status, f"{status}", shown(reply))
        server.expect(reply.json()["message"], "a message", shown(reply))
    form = server.request("POST", "/v1/job", data={"task": "hello"})
    server.did += " -d task=hello"
    server.expect(form.status_code == 400, "400 for a form", shown(form))
    reply = server.request("POST", "/v1/job", {"task": "no_such_task"})
    for name in ("hello", "primes", "word_count"):
        server.expect(name in reply.text, f"a message that names {name}", shown(reply))
    big = {"task": "word_count", "kwargs": {"text": "a " * 1_200_000}}
    reply = server.request("POST", "/v1/job", big)
    server.expect(reply.status_code == 413, "413", shown(reply))
    for method in ("PUT", "PATCH", "FOO"):
        reply = server.request(method, "/v1/job")
        server.expect(reply.status_code == 405, "405", shown(reply))
    # The worker takes jobs in their order: had one been queued, it would be there.
    uid = server.request("POST", "/v1/job", {"task": "hello"}).json()["uid"]
    log = server.logged(f"Job {uid} started")
    for mark in ("no_such_task", "surrogates", "NaN"):
        server.expect(mark not in log, f"no {mark} in the log", server.end_of_log())


@pytest.mark.todo("4.3")
def test_success_is_an_outcome(server: AppServer) -> None:
    """A job that ends is logged as succeeded, with its result."""
    uid = server.post("hello", name="Ada", seconds=0)
    line = server.outcome(uid)
    server.expect(line.startswith("succeeded"), "succeeded", line)


@pytest.mark.todo("4.3")
@pytest.mark.parametrize(
    "kind", ["ValueError", "SystemExit", "KeyboardInterrupt", "CancelledError"]
)
def test_a_task_that_raises_is_failed(server: AppServer, kind: str) -> None:
    """A task that raises, whatever it raises, is failed, and the worker goes on."""
    server.did = f"a task that does: raise {kind}('on purpose')"
    line = server.outcome(server.post("probe_raises", kind=kind))
    cause = "the exception is swallowed: a job whose task raised is failed"
    right = line.startswith("failed") and kind in line
    server.expect(right, f"failed: ... {kind}", line, cause)
    line = server.outcome(server.post("hello", seconds=0))
    server.expect(line.startswith("succeeded"), "the next job succeeds", line)


@pytest.mark.todo("4.4")
def test_the_task_gets_its_arguments(server: AppServer) -> None:
    """A task runs with the arguments of its job; wrong ones fail the job."""
    line = server.outcome(server.post("word_count", text="a b a"))
    server.expect("'words': 3" in line, "succeeded: ... 'words': 3", line)
    line = server.outcome(server.post("word_count", txt="a"))
    right = line.startswith("failed") and "TypeError" in line
    server.expect(right, "failed: ... TypeError", line)


@pytest.mark.todo("4.4")
def test_a_task_fails_in_its_thread(server: AppServer) -> None:
    """A blocking task that raises is failed, too, even if it raises StopIteration."""
    line = server.outcome(server.post("probe_raises_in_thread"))
    server.expect(line.startswith("failed"), "failed", line)


@pytest.mark.todo("4.4")
def test_an_unknown_task_is_failed(server: AppServer) -> None:
    """A job of a task that the worker does not have is failed."""
    uid = str(uuid.uuid4())
    server.send({"task": "nonesuch", "uid": uid, "kwargs": {}})
    line = server.outcome(uid)
    right = line.startswith("failed") and "nonesuch" in line
    server.expect(right, "failed, with the name of the task", line)


@pytest.mark.todo("4.4")
def test_computing_does_not_hold_up_the_loop(server: AppServer) -> None:
    """While primes computes, the worker begins and ends other jobs."""
    primes = server.post("primes", below=500_000)
    server.logged(f"Job {primes} started")
    hello = server.post("hello", seconds=0)
    line = server.outcome(hello)
    log = server.output()
    cause = "run() of primes was called on the event loop, which then did nothing "
    cause += "else: give a plain function to in_thread()"
    got = f"hello {line}; primes had ended before"
    first = f"Job {primes} s" in log and f"Job {primes} succeeded" not in log
    server.expect(first, "hello ends while primes computes", got, cause)
    line = server.outcome(primes)
    server.expect(line == "succeeded: {'result': 41538}", "41538 primes", line)


@pytest.mark.todo("4.4")
def test_a_blocked_loop_does_not_hold_up_the_stop(start: StartServer) -> None:
    """A task that blocks the worker's loop does not keep the app from stopping."""
    server = start(drain=0.2)
    server.worker()
    server.post("probe_blocks")
    server.logged("The loop is blocked.")
    server.signal(signal.SIGINT, to_group=True)
    server.did += ", while a task blocked the event loop"
    status = server.ended()
    server.expect(status == 0, "exit status 0", f"{status}\n{server.end_of_log()}")
    server.nothing_left()
