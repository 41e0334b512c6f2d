"""Step 04: tasks by name, jobs with an outcome, an endpoint that checks."""

import signal
import uuid

import pytest
from app_server import AppServer, StartServer

JOB = b'{"task": "probe_plain", "kwargs": {}}'
NOT_AN_OBJECT = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"hello"',
    b"5",
    b'["task", "kwargs"]',
    b'[["task", "hello"]]',
)
OTHER_KEYS = (
    b'{"task": "hello", "kwargz": {}}',
    b'{"task": "hello", "kwargs": {}, "uid": "mine"}',
    b'{"task": "hello", "kwargs": {}, "": null}',
)
BAD_KWARGS = (
    b'{"task": "hello", "kwargs": []}',
    b'{"task": "hello", "kwargs": null}',
    b'{"task": "hello", "kwargs": ""}',
    b'{"task": "hello", "kwargs": false}',
    b'{"task": "hello", "kwargs": "name"}',
    b'{"task": "hello", "kwargs": [["name", "Ada"]]}',
)
UNKNOWN_TASKS = (
    b"{}",
    b'{"kwargs": {}}',
    b'{"task": "no_such_task"}',
    b'{"task": "Hello"}',
    b'{"task": ""}',
    b'{"task": null}',
    b'{"task": 5}',
    b'{"task": ["hello"]}',
    b'{"task": {"hello": 1}}',
)
DEEP = b"[" * 100 + b"]" * 100
TOO_DEEP_TO_READ = b"[" * 5000 + b"]" * 5000
NOT_JSON_VALUES = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b'"\\ud800"',
    b'{"\\udfff": 1}',
    b'"\xff"',
    DEEP,
    TOO_DEEP_TO_READ,
)
OTHER_TYPES = (
    "text/plain",
    "text/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json-patch+json",
    "text/plain; charset=application/json",
)


def rest(log: str, text: str) -> str:
    """Return what a log has after a text, to the end of the line."""
    return log.partition(text)[2].partition("\n")[0]


@pytest.mark.todo("4.1")
def test_a_new_task_is_registered(server: AppServer) -> None:
    """Defining a class with a name of its own registers it, and nothing else."""
    for source in (
        'class Ping(Task):\n    name = "ping"',
        'class Ping(Hello):\n    name = "ping"',
    ):
        reply = server.request("POST", "/probe/define", {"source": source})
        server.did = f"defined this task in a server:\n{source}"
        assert reply.json["raised"] == "nothing"
        with server.likely("the key has to be the name, and the value the class"):
            assert reply.json["changed"] == {"ping": "Ping"}


@pytest.mark.todo("4.1")
@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (
            "class Again(Task):\n    pass",
            "check that there is a name before you use it",
        ),
        (
            'class Again(Task):\n    name = "hello"',
            "the name is in Task.registry already, so nobody could find both of them",
        ),
        (
            'class Again(Hello):\n    name = "hello"',
            "the name is in Task.registry already, so nobody could find both of them",
        ),
        (
            "class Again(Hello):\n    pass",
            "the class has inherited its name, which hasattr() and getattr() find as "
            "well, so look in cls.__dict__",
        ),
    ],
    ids=["no-name", "a-taken-name", "the-name-of-its-parent", "an-inherited-name"],
)
def test_a_bad_name_is_refused(server: AppServer, source: str, cause: str) -> None:
    """A task without a name of its own, or with a taken one, raises TypeError."""
    reply = server.request("POST", "/probe/define", {"source": source})
    server.did = f"defined this task in a server:\n{source}"
    with server.likely(cause):
        assert reply.json["raised"] == "TypeError"
    with server.likely(
        "the class was registered first and refused afterwards, so check first"
    ):
        assert reply.json["changed"] == {}


@pytest.mark.todo("4.2")
def test_a_body_that_is_not_an_object_is_refused(server: AppServer) -> None:
    """A body that isn't a JSON object is answered 400, with a message."""
    for body in NOT_AN_OBJECT:
        reply = server.request("POST", "/v1/job", body)
        with server.likely(
            "request.json may be None, a list, a text or a number, so ask whether it "
            "is a dictionary before you look into it"
        ):
            assert reply.status == 400, reply
        with server.likely("a BadRequest without a message doesn't say what to change"):
            assert reply.json["message"] not in ("", "Bad Request")


@pytest.mark.todo("4.2")
def test_other_keys_are_refused(server: AppServer) -> None:
    """A key other than task and kwargs is answered 400, with a message."""
    for body in OTHER_KEYS:
        reply = server.request("POST", "/v1/job", body)
        with server.likely(
            "a key that isn't task or kwargs is probably a typo, and its "
            "sender would never learn that it was ignored"
        ):
            assert reply.status == 400, reply
        with server.likely("a BadRequest without a message doesn't say what to change"):
            assert reply.json["message"] not in ("", "Bad Request")


@pytest.mark.todo("4.2")
def test_kwargs_are_an_object(server: AppServer) -> None:
    """kwargs are an object or missing, and are sent as they are."""
    for body in BAD_KWARGS:
        reply = server.request("POST", "/v1/job", body)
        with server.likely(
            "kwargs may be any JSON value, so ask whether it is a dictionary (and "
            "`or {}` takes null, [] and false as if nothing had been sent)"
        ):
            assert reply.status == 400, reply
        with server.likely("the message doesn't say that it is about kwargs"):
            assert "kwargs" in reply.json["message"]
    reply = server.request("POST", "/v1/job", {"task": "probe_plain"})
    with server.likely("without kwargs in the body, take an empty dictionary"):
        assert reply.status == 202, reply
        assert "'kwargs': {}" in server.logged("Sent: ")
    unknown = {"task": "probe_plain", "kwargs": {"and": [None, 1.5, {"é": True}]}}
    reply = server.request("POST", "/v1/job", unknown)
    if reply.status == 202:
        with server.likely(
            "only the task knows its arguments, so send all of kwargs as they are"
        ):
            assert "{'and': [None, 1.5, {'é': True}]}" in server.logged("")


@pytest.mark.todo("4.2")
def test_an_unknown_task_is_refused(server: AppServer) -> None:
    """A task that isn't registered is answered 422, and the message lists the tasks."""
    for body in UNKNOWN_TASKS:
        reply = server.request("POST", "/v1/job", body)
        with server.likely(
            "the task may be missing, or be any JSON value, and `in` fails for a list, "
            "so ask whether it is a text, then whether it is in Task.registry"
        ):
            assert reply.status == 422, reply
        with server.likely("the sender can't know the tasks, so list them"):
            for name in ("hello", "primes", "word_count"):
                assert name in reply.json["message"]


@pytest.mark.todo("4.2")
def test_the_content_type_is_json(server: AppServer) -> None:
    """A type other than application/json is refused; a charset or no type is fine."""
    for kind in OTHER_TYPES:
        reply = server.request("POST", "/v1/job", JOB, headers={"content-type": kind})
        with server.likely(
            "the header is request.headers.get('content-type'), and only the part "
            "before the `;` counts. All of that part has to be application/json"
        ):
            assert reply.status == 400, reply
        with server.likely("the message doesn't say that JSON is wanted"):
            assert "json" in reply.json["message"].lower()
    for kind in ("application/json; charset=utf-8", "application/json;charset=UTF-8"):
        reply = server.request("POST", "/v1/job", JOB, headers={"content-type": kind})
        with server.likely("a charset may follow, so compare the part before the `;`"):
            assert reply.status == 202, reply
    kind = "Application/JSON"
    reply = server.request("POST", "/v1/job", JOB, headers={"content-type": kind})
    with server.likely("upper and lower case mean the same here, so use lower()"):
        assert reply.status == 202, reply
    reply = server.request("POST", "/v1/job", content=JOB)
    server.did += f" -H 'content-type:' -d '{JOB.decode()}'"
    with server.likely(
        "a client that doesn't say a type is believed, so let application/json be the "
        "default of headers.get(). (request.content_type has another default)"
    ):
        assert reply.status == 202, reply


@pytest.mark.todo("4.2")
def test_what_json_cannot_hold_is_refused(server: AppServer) -> None:
    """kwargs that send() refuses are answered 400, and any other error of it isn't."""
    for value in NOT_JSON_VALUES:
        body = b'{"task": "hello", "kwargs": {"name": ' + value + b"}}"
        reply = server.request("POST", "/v1/job", body)
        with server.likely(
            "send() raises ValueError for kwargs that JSON can't hold, so catch that "
            "in start_job() and raise a BadRequest"
        ):
            assert reply.status == 400, reply
        with server.likely("a BadRequest without a message doesn't say what to change"):
            assert reply.json["message"] not in ("", "Bad Request")
    for kind in ("RuntimeError", "OSError"):
        raises = {"probe-raises": kind}
        reply = server.request("POST", "/v1/job", JOB, headers=raises)
        server.did = f"POST /v1/job, while saje.send() raised {kind}"
        with server.likely(
            "this is a failure of the server, which the client can't mend, so catch "
            "nothing but ValueError"
        ):
            assert reply.status >= 500, reply


@pytest.mark.todo("4.2")
def test_what_is_refused_is_not_sent(server: AppServer) -> None:
    """No job is sent for a request that is refused."""
    for body in (*NOT_AN_OBJECT, *OTHER_KEYS, *BAD_KWARGS, *UNKNOWN_TASKS):
        reply = server.request("POST", "/v1/job", body)
        with server.likely("read_job() accepts this, although it isn't a job"):
            assert reply.status in (400, 422), reply
        with server.likely("the job is sent before it is checked"):
            assert "Sent: " not in server.logged("")
    text = {"content-type": "text/plain"}
    reply = server.request("POST", "/v1/job", JOB, headers=text)
    assert reply.status == 400, reply
    assert "Sent: " not in server.logged("")
    big = {"task": "word_count", "kwargs": {"text": "a " * 1_200_000}}
    reply = server.request("POST", "/v1/job", big)
    assert reply.status == 413, reply
    for method in ("PUT", "PATCH"):
        reply = server.request(method, "/v1/job")
        assert reply.status == 405, reply
    assert "Sent: " not in server.logged("")


@pytest.mark.todo("4.3")
def test_the_task_gets_its_arguments(server: AppServer) -> None:
    """The worker logs that a job has started, and runs its task with its arguments."""
    uid = server.post("probe_says", text="good morning")
    with server.likely(
        "the class of the task is Task.registry[self.task]. Make an instance of it, "
        "and call its run with **self.kwargs"
    ):
        log = server.logged("Somebody says: good morning")
    with server.likely(
        "await self._started() right before the work begins, because it logs this"
    ):
        assert f"Job {uid} started: probe_says" in log.partition("Somebody says")[0]
    with server.likely("a job starts once, so call self._started() once for each job"):
        assert log.count(f"Job {uid} started") == 1
    server.post("hello", seconds=0, name="Grace")
    with server.likely("arguments have names, and may come in any order"):
        server.logged("Goodbye, Grace.")
    uid = server.post("probe_plain")
    started = f"Job {uid} started: probe_plain"
    with server.likely("a plain run needs self._started() before it as well"):
        # Jobs of earlier tests may still log the same.
        server.until(
            lambda: "A task that is plain" in server.output().partition(started)[2],
            f"{started!r} in the log, before the task runs",
        )


@pytest.mark.todo("4.3")
def test_an_unknown_argument_is_not_dropped(server: AppServer) -> None:
    """A job with an argument that its task doesn't take never runs."""
    server.post("probe_says", text="with a typo", txet="in an argument")
    did = server.did
    server.post("probe_says", text="a later one")
    log = server.logged("Somebody says: a later one")
    server.did = did
    with server.likely(
        "an argument was dropped, so its sender never learns of the typo. Pass all of "
        "self.kwargs on: the call raises a TypeError, which fails the job"
    ):
        assert "Somebody says: with a typo" not in log


@pytest.mark.todo("4.3")
def test_each_job_has_an_instance(server: AppServer) -> None:
    """What a task keeps on self is seen by no other job."""
    for what in ("breakfast", "lunch", "dinner"):
        server.post("probe_remembers", what=what)
        log = server.logged(f"Remembered until {what}: ")
        with server.likely(
            "jobs share one instance of the task, and with it what each of them keeps "
            "on self, so create an instance for each job"
        ):
            assert rest(log, f"Remembered until {what}: ") == what


@pytest.mark.todo("4.3")
def test_an_async_run_is_awaited_on_the_loop(server: AppServer) -> None:
    """An `async def run` runs on the worker's loop, even if a decorator hides it."""
    for kind in ("asynchronous", "disguised"):
        server.post(f"probe_{kind}")
        cause = "an `async def run` has to be awaited: await run(**self.kwargs)"
        if kind == "disguised":
            cause = "behind a decorator, an `async def` may look like a plain function "
            cause += "that returns a coroutine. If inspect.isawaitable(result), await "
            cause += "the result"
        with server.likely(cause):
            log = server.logged(f"A task that is {kind} runs in ")
        with server.likely(
            "a coroutine ran in a thread, but it belongs on the worker's loop, which "
            "all the other things of asyncio are on"
        ):
            assert rest(log, f"A task that is {kind} runs in ") == "the main thread."


@pytest.mark.todo("4.3")
def test_a_plain_run_runs_in_a_thread(server: AppServer) -> None:
    """A plain `def run` runs in a daemon thread, which doesn't hold up the stop."""
    server.post("probe_plain")
    log = server.logged("A task that is plain runs in ")
    cause = "a plain run was called on the event loop, which meanwhile does nothing "
    cause += "else. Give it to in_thread()"
    if "a thread that isn't a daemon" in log:
        cause = "Python waits for this thread before it exits, as it does for those of "
        cause += "asyncio.to_thread() and of executors. Use in_thread()"
    with server.likely(cause):
        assert rest(log, "A task that is plain runs in ") == "a daemon thread."


@pytest.mark.todo("4.3")
def test_computing_holds_up_nothing(server: AppServer) -> None:
    """While a task computes, every server answers and the worker runs other jobs."""
    release = server.data / "computed"
    try:
        server.post("probe_computes", until=str(release))
        with server.likely(
            "a plain run never begins, so perhaps earlier ones haven't given their "
            "slot back, which `async with _slots:` does"
        ):
            server.logged("The computation begins.")
        server.each_server("/v1/info")
        server.post("hello", name="Margaret", seconds=0)
        server.did += ", while another task computed"
        with server.likely(
            "a plain run was called on the event loop, which meanwhile does nothing "
            "else. Give it to in_thread()"
        ):
            server.logged("Goodbye, Margaret.")
    finally:
        release.touch()
    server.logged("The computation ends.")


@pytest.mark.todo("4.3")
def test_eight_blocking_tasks_run_at_a_time(server: AppServer) -> None:
    """Of 20 blocking jobs 8 run, and only those are logged as started."""
    release = server.data / "waited"
    try:
        for _ in range(20):
            server.post("probe_waits", until=str(release))
        server.did = "POST 20 jobs whose task blocks, then one whose task is async"
        with server.likely(
            "each blocking task needs a thread and one of 8 _slots, and has to give "
            "its slot back at the end, which `async with` does"
        ):
            server.logged("Waiting at once: 8.")
        # The worker takes jobs in their order, so all 20 have had their turn then.
        server.post("probe_says", text="that I need no slot")
        with server.likely(
            "an async task costs no thread, so it doesn't wait for one of the _slots"
        ):
            log = server.logged("Somebody says: that I need no slot")
        server.did = "POST 20 jobs whose task blocks, until the test lets them go"
        with server.likely(
            "self._started() was called before the job had one of the _slots, or no "
            "slot was taken at all: `async with _slots:`, and all the rest within it"
        ):
            assert log.count("started: probe_waits") == 8
    finally:
        release.touch()
    server.until(
        lambda: server.logged("").count("One has waited.") == 20,
        "all 20 of them end",
    )
    with server.likely(
        "a slot was given back too early. Await in_thread() within `async with _slots:`"
    ):
        assert "Waiting at once: 9." not in server.logged("")


@pytest.mark.todo("4.3")
def test_a_blocked_loop_does_not_hold_up_the_stop(start: StartServer) -> None:
    """A task that blocks the worker's loop doesn't keep the app from exiting."""
    server = start()
    server.worker()
    server.post("probe_blocks")
    server.logged("The loop is blocked.")
    server.signal(signal.SIGINT, to_group=True)
    server.did += ", while a task blocked the event loop"
    assert server.ended() == 0
    server.nothing_left()


@pytest.mark.todo("4.4")
def test_success_is_an_outcome(server: AppServer) -> None:
    """A job that ends is logged as succeeded with its result, even an empty one."""
    for task, kwargs, result in (
        ("hello", {"name": "Ada", "seconds": 0}, "'Hello, Ada.'}"),
        ("word_count", {"text": "a b a"}, "{'words': 3, "),
        ("primes", {"below": 1000}, "168}"),
        ("primes", {"below": 0}, "0}"),
        ("probe_says", {"text": ""}, "''}"),
        ("probe_remembers", {"what": "nothing"}, "None}"),
    ):
        uid = server.post(task, **kwargs)
        with server.likely(
            "the check looks for the line that the lesson asks for at the end of "
            "execute(), which is logged whatever the result is"
        ):
            line = server.outcome(uid)
        cause = 'the outcome of a success is {"result": result}, whatever it is'
        if "'error': {" in line:
            cause = "there was an exception before the task could return its result"
        if "'result': None" in line:
            cause = "the result is lost. Does _call() return it on every path?"
        with server.likely(cause):
            assert "succeeded: {'result': " + result in line
    with server.likely("a success was logged as an error as well"):
        assert " ERROR: " not in server.logged("")


@pytest.mark.todo("4.4")
@pytest.mark.parametrize("task", ["probe_raises", "probe_raises_in_thread"])
def test_a_task_that_raises_is_failed(server: AppServer, task: str) -> None:
    """A task that raises, whatever it raises, has failed, and the worker goes on."""
    worker = server.worker().pid
    for kind in ("ValueError", "SystemExit", "KeyboardInterrupt", "CancelledError"):
        uid = server.post(task, kind=kind)
        server.did += f", a task that raises {kind}"
        cause = "execute() let the exception of the task out"
        if kind != "ValueError":
            cause = f"{kind} isn't an Exception but a BaseException, so catch that"
        with server.likely(cause):
            line = server.outcome(uid)
        with server.likely("a job whose task raised an exception has failed"):
            assert "failed: " in line
        cause = 'the outcome of a failure is {"error": describe(error)}'
        if "Interrupted" in line:
            cause = "a task may raise CancelledError itself. Whether the scheduler has "
            cause += "interrupted the job is in self.interrupted"
        with server.likely(cause):
            assert f"'type': '{kind}'" in line
            assert "'message': 'on purpose'" in line
        with server.likely(
            "the exception was raised again after it was logged, and ended the worker"
        ):
            line = server.outcome(server.post("probe_says", text="still here"))
            assert "succeeded: " in line
            assert server.worker().pid == worker


@pytest.mark.todo("4.4")
def test_a_call_that_fails_is_failed(server: AppServer) -> None:
    """A task that can't be called as the job asks has failed, and says why."""
    for task, kwargs, error in (
        ("word_count", {"txt": "a"}, "argument 'txt'"),
        ("word_count", {}, "argument: 'text'"),
        ("hello", {"seconds": "soon"}, "'type': 'TypeError'"),
        ("probe_unfinished", {}, "abstract"),
        ("probe_raises_in_thread", {"kind": "StopIteration"}, "StopIteration"),
    ):
        with server.likely("all of self._call() belongs in the try"):
            line = server.outcome(server.post(task, **kwargs))
        assert "failed: " in line
        with server.likely("the outcome doesn't show the error that the call raised"):
            assert error in line


@pytest.mark.todo("4.4")
def test_an_error_has_a_message(server: AppServer) -> None:
    """An exception without a text, or one that can't be shown, still has a message."""
    for kind in ("KeyError", "Unprintable"):
        with server.likely(
            "str(error) itself may raise an exception, so use describe(), which is "
            "prepared for that"
        ):
            line = server.outcome(server.post("probe_raises", kind=kind))
        assert "failed: " in line
        with server.likely(
            "the text of an exception may be empty, so use describe(), which knows"
        ):
            assert f"'type': '{kind}'" in line
            assert "'message': ''" not in line


@pytest.mark.todo("4.4")
def test_the_log_explains_a_failure(server: AppServer) -> None:
    """The log has the traceback of an error, even of one in a thread."""
    server.outcome(server.post("probe_raises", kind="KeyError"))
    server.outcome(server.post("probe_raises_in_thread", kind="ValueError"))
    # The outcome of a job may be in the log before its error, but this one isn't.
    server.outcome(server.post("probe_says", text="a later one"))
    log = server.logged("")
    with server.likely(
        "the outcome alone doesn't say where a task failed, so log the exception "
        "with its traceback: logger.error(..., exc_info=error)"
    ):
        assert "Traceback" in log
        assert 'saje_probe_tasks.py", line' in log
    with server.likely("a failure in a thread has a traceback as well"):
        assert "ValueError: on purpose" in log


@pytest.mark.todo("4.4")
def test_a_task_that_cancels_itself_is_not_interrupted(server: AppServer) -> None:
    """A task whose TaskGroup fails, or that cancels itself, keeps its own error."""
    for task, error in (
        ("probe_failing_group", "ExceptionGroup"),
        ("probe_cancels_itself", "CancelledError"),
    ):
        with server.likely("CancelledError is a BaseException, so catch that"):
            line = server.outcome(server.post(task))
        assert "failed: " in line
        with server.likely(
            "the scheduler has interrupted this job only if self.interrupted is true. "
            "Neither a CancelledError nor asyncio's cancelling() tells who cancelled"
        ):
            assert f"'type': '{error}'" in line


@pytest.mark.todo("4.4")
def test_a_stop_has_outcomes(start: StartServer) -> None:
    """At a stop, a job may end; any that outlasts the drain fails: Interrupted."""
    server = start()
    server.worker()
    never = str(server.data / "never")
    # One more than there are slots.
    blocking = [server.post("probe_waits", until=never) for _ in range(9)]
    short = server.post("hello", seconds=0.3)
    long = server.post("hello", name="Methuselah", seconds=600)
    with server.likely(
        "the blocking jobs before this one keep it from running, which is about TODO "
        "4.3 and not about the stop"
    ):
        server.logged("Hello, Methuselah.")
    server.signal_all(signal.SIGTERM)  # as systemd sends it
    server.did += ", while jobs of 0.3 s and 600 s ran, 8 blocked and a ninth waited "
    server.did += f"for its slot. The drain is {server.drain} s"
    # Sanic's own Manager dies of it, which may cost the main process its 0.
    assert server.ended() in (0, 1)
    server.nothing_left()
    with server.likely("a job that ends within the drain is a job like any other"):
        assert "succeeded: " in server.outcome(short)
    with server.likely(
        "once the scheduler has set self.interrupted, the error to describe is "
        "Interrupted()"
    ):
        for uid in (long, *blocking):
            line = server.outcome(uid)
            assert "failed: " in line
            assert "'type': 'Interrupted'" in line


@pytest.mark.todo("4.4")
def test_an_unknown_task_is_failed(server: AppServer) -> None:
    """A job of a task that the worker doesn't have has failed, and says which."""
    uid = str(uuid.uuid4())
    server.send({"task": "nonesuch", "uid": uid, "kwargs": {}})
    with server.likely("all of self._call() belongs in the try"):
        line = server.outcome(uid)
    assert "failed: " in line
    assert "nonesuch" in line
