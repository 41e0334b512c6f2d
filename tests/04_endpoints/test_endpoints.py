"""Step 04: tasks by name, jobs with an outcome, an endpoint that checks."""

import signal
import subprocess
import sys
import uuid

import pytest
from app_server import DRAIN, AppServer, StartServer, shown

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


BAD_NAMES = """
import app.tasks, saje.task
for name, base, body in (
    ("no", saje.task.Task, {}),
    ("a taken", app.tasks.Hello, {"name": "hello"}),
    ("an inherited", app.tasks.Hello, {}),
):
    try:
        type("Again", (base,), body)
    except Exception as error:
        print(f"{name} name: {type(error).__name__}")
    else:
        print(f"{name} name: no error")
"""
BAD_NAMES_CAUSES = {
    "no": "ask whether there is a name before it is used",
    "a taken": "refuse a name that Task.registry has",
    "an inherited": "an inherited name is no name of its own, but hasattr() and "
    "getattr() find it: look in cls.__dict__",
}


@pytest.mark.todo("4.1")
def test_tasks_register_themselves(server: AppServer) -> None:
    """Defining a Task registers it under its name."""
    names = server.get("/probe/tasks").json()
    server.did = "sorted(Task.registry), in a server"
    for name in ("hello", "word_count", "primes"):
        server.expect(name in names, f"{name!r} among them", names)


@pytest.mark.todo("4.1")
def test_a_bad_name_is_refused(server: AppServer) -> None:
    """A task with no name of its own, or with one that is taken, is a TypeError."""
    server.did = f"python -c, in the app's folder:\n{BAD_NAMES}"
    run = subprocess.run(
        [sys.executable, "-B", "-c", BAD_NAMES],
        cwd=server.app,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    got = run.stdout + run.stderr[-400:]
    for kind, cause in BAD_NAMES_CAUSES.items():
        expected = f"{kind} name: TypeError"
        server.expect(expected in got, expected, got, cause)


@pytest.mark.todo("4.2")
def test_what_is_no_job_is_refused(server: AppServer) -> None:
    """Whatever is no job is answered 400 or 422, and is not queued."""
    for body, status in REFUSED.items():
        reply = server.request("POST", "/v1/job", body)
        cause = None
        if reply.status_code == 500 and "ValueError: " in server.output():
            cause = "app/jobs.py: send() refuses what JSON cannot hold, with a "
            cause += "ValueError: catch it, and answer 400"
        server.expect(reply.status_code == status, f"{status}", shown(reply), cause)
        told = reply.json()["message"] not in ("", "Bad Request")
        cause = "let the message say what to change: BadRequest('...')"
        server.expect(told, "a message", shown(reply), cause)
    text = {"content": b'{"task": "hello"}', "headers": {"content-type": "text/plain"}}
    for body in (text, {"data": {"task": "hello"}}):
        reply = server.request("POST", "/v1/job", **body)
        server.did += f" with {body}"
        server.expect(reply.status_code == 400, "400 for what is no JSON", shown(reply))
    reply = server.request("POST", "/v1/job", {"task": "no_such_task"})
    for name in ("hello", "primes", "word_count"):
        server.expect(name in reply.text, f"a message that names {name}", shown(reply))
    big = {"task": "word_count", "kwargs": {"text": "a " * 1_200_000}}
    reply = server.request("POST", "/v1/job", big)
    server.expect(reply.status_code == 413, "413", shown(reply))
    for accept in ("*", "text", "a/b;q=zz"):
        reply = server.request("POST", "/v1/job", b"{", headers={"accept": accept})
        server.did += f" -H 'accept: {accept}'"
        server.expect(reply.status_code == 400, "400", shown(reply))
        reply = server.request("GET", "/v1/no-such-path", headers={"accept": accept})
        server.did += f" -H 'accept: {accept}'"
        server.expect(reply.status_code == 404, "404", shown(reply))
    for method in ("PUT", "PATCH", "FOO"):
        reply = server.request(method, "/v1/job")
        server.expect(reply.status_code == 405, "405", shown(reply))
    # A client that says nothing of the type is believed.
    reply = server.request("POST", "/v1/job", content=b'{"task": "hello"}')
    server.did += """ -H 'content-type:' -d '{"task": "hello"}'"""
    server.expect(reply.status_code == 202, "202 without a type", shown(reply))
    charset = {"content-type": "application/json; charset=utf-8"}
    reply = server.request(
        "POST", "/v1/job", content=b'{"task": "hello"}', headers=charset
    )
    server.did += f""" -H 'content-type: {charset["content-type"]}' -d ..."""
    cause = "a type may have parameters: let it start with application/json"
    server.expect(reply.status_code == 202, "202 with a charset", shown(reply), cause)
    # The worker takes jobs in their order: had one been queued, it would be there.
    uid = server.request("POST", "/v1/job", {"task": "hello"}).json()["uid"]
    log = server.logged(f"Job {uid} started")
    for mark in ("no_such_task", "surrogates", "NaN"):
        server.expect(mark not in log, f"no {mark} in the log", server.end_of_log())


@pytest.mark.todo("4.3")
def test_the_task_gets_its_arguments(server: AppServer) -> None:
    """The worker runs the task of the job, with the job's arguments."""
    server.post("probe_says", text="good morning")
    server.logged("Somebody says: good morning")


@pytest.mark.todo("4.3")
def test_computing_does_not_hold_up_the_loop(server: AppServer) -> None:
    """While a plain function computes, the worker begins and ends other jobs."""
    server.post("probe_computes", seconds=0.4)
    server.logged("The computation begins.")
    server.post("hello", name="Margaret", seconds=0)
    log = server.logged("Goodbye, Margaret.")
    cause = "the plain function was called on the event loop, which then did nothing "
    cause += "else: give it to in_thread()"
    server.expect(
        "The computation ends." not in log,
        "hello ends while the other computes",
        "hello had to wait for the computation to end",
        cause,
    )
    server.logged("The computation ends.")


@pytest.mark.todo("4.3")
def test_a_blocked_loop_does_not_hold_up_the_stop(start: StartServer) -> None:
    """A task that blocks the worker's loop does not keep the app from stopping."""
    server = start()
    server.worker()
    server.post("probe_blocks")
    server.logged("The loop is blocked.")
    server.signal(signal.SIGINT, to_group=True)
    server.did += ", while a task blocked the event loop"
    status = server.ended()
    server.expect(status == 0, "exit status 0", f"{status}\n{server.end_of_log()}")
    server.nothing_left()


@pytest.mark.todo("4.4")
def test_success_is_an_outcome(server: AppServer) -> None:
    """A job that ends is logged as succeeded, with its result."""
    for task, kwargs, result in (
        ("word_count", {"text": "a b a"}, "'words': 3"),
        ("primes", {"below": 1000}, "168"),
        ("hello", {"name": "Ada", "seconds": 0}, "Hello, Ada."),
    ):
        line = server.outcome(server.post(task, **kwargs))
        right = line.startswith("succeeded: ") and result in line
        server.expect(right, f"succeeded: ... {result}", line)


@pytest.mark.todo("4.4")
@pytest.mark.parametrize(
    "kind", ["ValueError", "SystemExit", "KeyboardInterrupt", "CancelledError"]
)
def test_a_task_that_raises_is_failed(server: AppServer, kind: str) -> None:
    """A task that raises, whatever it raises, is failed, and the worker goes on."""
    uid = server.post("probe_raises", kind=kind)
    server.did += f", a task that raises {kind}"
    cause = "SystemExit, KeyboardInterrupt and CancelledError are no Exception, but "
    cause += "each is a BaseException: catch that"
    line = server.outcome(uid, None if kind == "ValueError" else cause)
    cause = "the exception is swallowed: a job whose task raised has failed"
    if line.startswith("failed"):
        cause = "the outcome does not name the exception: use describe(error)"
        if "Interrupted" in line:
            cause = "a task may raise CancelledError itself: whether the job was "
            cause += "interrupted, self._cancelled() tells"
    right = line.startswith("failed") and kind in line
    server.expect(right, f"failed: ... {kind}", line, cause)
    line = server.outcome(server.post("hello", seconds=0))
    server.expect(line.startswith("succeeded"), "the next job succeeds", line)


@pytest.mark.todo("4.4")
@pytest.mark.parametrize(
    ("task", "kwargs", "error"),
    [
        ("word_count", {"txt": "a"}, "TypeError"),
        ("probe_raises_in_thread", {}, "StopIteration"),
    ],
    ids=["wrong-argument", "in-a-thread"],
)
def test_a_call_that_fails_is_failed(
    server: AppServer, task: str, kwargs: dict[str, str], error: str
) -> None:
    """A task that cannot be called, or raises in its thread, is failed."""
    line = server.outcome(server.post(task, **kwargs))
    right = line.startswith("failed") and error in line
    server.expect(right, f"failed: ... {error}", line)


@pytest.mark.todo("4.4")
def test_a_stop_has_outcomes(start: StartServer) -> None:
    """At SIGTERM, a job may end; one that outlasts the drain fails: Interrupted."""
    server = start()
    server.worker()
    short = server.post("hello", seconds=0.3)
    long = server.post("hello", seconds=60)
    server.logged(f"Job {long} started")
    server.signal(signal.SIGTERM)
    server.did += f", while jobs of 0.3 s and 60 s ran; the drain is {DRAIN} s"
    server.ended_well()
    line = server.outcome(short)
    server.expect(line.startswith("succeeded"), "the short one: succeeded", line)
    line = server.outcome(long)
    cause = "for a job that self._cancelled(), describe Interrupted()"
    right = line.startswith("failed") and "Interrupted" in line
    server.expect(right, "the long one: failed: ... Interrupted", line, cause)


@pytest.mark.todo("4.4")
def test_an_unknown_task_is_failed(server: AppServer) -> None:
    """A job of a task that the worker does not have is failed, and named."""
    uid = str(uuid.uuid4())
    server.send({"task": "nonesuch", "uid": uid, "kwargs": {}})
    line = server.outcome(uid)
    right = line.startswith("failed") and "nonesuch" in line
    server.expect(right, "failed: ... nonesuch", line)
