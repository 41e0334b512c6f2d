"""Step 04: tasks by name, jobs with an outcome, an endpoint that checks."""

import subprocess
import sys
import time

import pytest
from app_server import AppServer, shown

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
    b'{"task": "nonesuch"}': 422,
    b'{"task": ["hello"]}': 422,
}


@pytest.mark.todo("4.1")
def test_tasks_register_themselves(server: AppServer) -> None:
    """Defining a Task registers it under its name."""
    names = server.get("/probe/tasks").json()
    expected = {"hello", "word_count", "primes"}
    server.expect(expected <= set(names), f"{sorted(expected)}", names)


@pytest.mark.todo("4.1")
@pytest.mark.parametrize("body", ["name = 'hello'", "pass"], ids=["taken", "nameless"])
def test_a_bad_name_is_refused(server: AppServer, body: str) -> None:
    """A task with no name of its own, or with one that is taken, is a TypeError."""
    code = f"import app.tasks\nclass Again(app.tasks.Hello):\n    {body}\n"
    server.done = code
    run = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=server.app,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    server.expect("TypeError" in run.stderr, "TypeError", run.stderr or "no error")


@pytest.mark.todo("4.2")
def test_what_is_no_job_is_refused(server: AppServer) -> None:
    """Whatever is no job is answered 400 or 422, and is not queued."""
    for body, status in REFUSED.items():
        reply = server.request("POST", "/v1/job", body)
        server.expect(reply.status_code == status, f"{status}", shown(reply))
    form = server.request("POST", "/v1/job", data={"task": "hello"})
    server.expect(form.status_code == 400, "400 for a form", shown(form))
    unknown = server.request("POST", "/v1/job", {"task": "nonesuch"}).json()["message"]
    for name in ("hello", "primes", "word_count"):
        server.expect(name in unknown, f"a message that names {name}", unknown)
    big = {"task": "word_count", "kwargs": {"text": "a " * 1_200_000}}
    reply = server.request("POST", "/v1/job", big)
    server.expect(reply.status_code == 413, "413", shown(reply))
    for method in ("PUT", "PATCH", "FOO"):
        reply = server.request(method, "/v1/job")
        server.expect(reply.status_code == 405, "405", shown(reply))


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
    line = server.outcome(server.post("probe_raises", kind=kind))
    server.expect(line.startswith("failed") and kind in line, f"failed: {kind}", line)
    line = server.outcome(server.post("hello", seconds=0))
    server.expect(line.startswith("succeeded"), "the next job succeeds", line)


@pytest.mark.todo("4.4")
def test_words_are_counted(server: AppServer) -> None:
    """word_count runs with the arguments of the job; wrong ones fail it."""
    line = server.outcome(server.post("word_count", text="a b a"))
    server.expect("'words': 3" in line, "'words': 3", line)
    line = server.outcome(server.post("word_count", txt="a"))
    server.expect("failed" in line and "TypeError" in line, "TypeError", line)
    line = server.outcome(server.post("probe_raises_in_thread"))
    server.expect(line.startswith("failed"), "failed", line)


@pytest.mark.todo("4.4")
def test_computing_does_not_hold_up_the_loop(server: AppServer) -> None:
    """While primes computes, the worker begins and ends other jobs."""
    primes = server.post("primes", below=500_000)
    server.logged(f"Job {primes} started")
    hello = server.post("hello", seconds=0)
    server.outcome(hello)
    log = server.output()
    server.expect(f"Job {primes} s" in log, "primes has begun", log[-500:])
    server.expect(f"Job {primes} succ" not in log, "hello ends before primes", log)
    deadline = time.monotonic() + 20
    while f"Job {primes} succeeded" not in server.output():
        server.expect(time.monotonic() < deadline, "primes ends", "still running")
        time.sleep(0.02)
