"""Step 09: tries that are repeated, later and later, and work that is ended in time."""

from pathlib import Path
from uuid import uuid4

import pytest
from app_server import AppServer, Call

SETUP = """
import threading
from contextlib import closing
import ujson
from saje.job import Job
from saje.retry import Retry
from saje.schema import APPLICATION_ID, MIGRATIONS
from saje.threads import in_thread, interrupt
from saje_probe_scheduler import *
from saje_probe_sqlite import *
other, clock = Beside(folder), Clock()
put, rows, backend = other.put, other.rows, other.open(clock=clock)

def names(claims):
    return [claim.task for claim in claims]

def new_claim(task, attempt=1, tries=0, **kwargs):
    return Claim(1, new_uid(), task, ujson.dumps(kwargs), attempt, tries)

async def execute(task, **kwargs):
    outcome = await Job(new_claim(task, **kwargs)).execute()
    error = ujson.loads(outcome.error or "{}")
    message = error.get("message", ujson.loads(outcome.result or "null"))
    return outcome.state, error.get("type"), message

def pauses(tries, values):
    # Some of so many random pauses are in the lowest fifth, and some in the highest.
    return [Retry(tries=100, **values).pause(tries) for _ in range(300)]

def ended(claim, state, **values):
    values = {"error": '{"type":"E","message":"m"}', "finished_at": clock.now} | values
    return Outcome(claim.seq, claim.attempt, state, **values)
"""
"""What the calls of these tests begin with."""


@pytest.mark.todo("9.1")
def test_the_pauses_grow(server: AppServer, call: Call) -> None:
    """The first pause lasts up to `first` seconds, and each further one longer."""
    values = {"first": 0.5, "factor": 3.0}
    source = "return [max(pauses(tries, values)) for tries in (1, 2, 3, 4)]"
    found = call(source, values=values)
    server.did += f"\nwith {values}"
    most = [0.5, 1.5, 4.5, 13.5]
    cause = "the longest pause is `first` after the first try, and each further one is "
    cause += "`factor` times as long as the one before it"
    if max(found) == 0:
        cause = "without a pause, a service that is overloaded never recovers"
    elif found[0] > most[0]:
        cause = "the first pause is too long. After the first try `first` isn't "
        cause += "multiplied yet, so the exponent of `factor` is tries - 1"
    with server.likely(cause):
        for tries in (1, 2, 3, 4):
            longest = found[tries - 1]
            got = f"pauses of up to {longest:.3g} s after {tries} tries"
            assert 0.8 * most[tries - 1] < longest <= most[tries - 1], got


@pytest.mark.todo("9.1")
def test_the_pauses_are_random(server: AppServer, call: Call) -> None:
    """Jobs that fail at the same moment come back at different times.

    After 60 tries the pause would be longer than the universe exists, so `longest`
    limits it.
    """
    source = """
    found = [pauses(tries, values) for tries in (1, 5, 60)]
    return [(min(all), max(all), len(set(all))) for all in found]
    """
    values = {"first": 1.0, "factor": 2.0, "longest": 20.0}
    found = call(source, values=values)
    server.did += f"\nwith {values}, so up to 1 s, 16 s and 20 s"
    for most, (least, longest, different) in zip((1, 16, 20), found, strict=True):
        with server.likely("min() keeps the pause below `longest`"):
            assert longest <= most
        cause = "all jobs that failed together come back together, and overload the "
        cause += "service again. random.uniform() picks any time up to the longest one"
        if most == 20:
            cause = "min() around the random number makes nearly all pauses equal. "
            cause += "Limit the time first, and pick a random one up to that"
        with server.likely(cause):
            assert different > 100, f"{different} different pauses of 300"
        with server.likely(
            "use all of the time from 0 on, so that the jobs are as far apart as they "
            "can be: random.uniform(0, ...)"
        ):
            assert least < 0.2 * most
            assert longest > 0.8 * most


@pytest.mark.todo("9.2")
def test_a_try_is_repeated_until_none_is_left(server: AppServer, call: Call) -> None:
    """With tries left, a job is queued again, with a pause. After them it is dead."""
    source = """
    found = []
    for tries in range(3):
        claim = new_claim("probe_tries", 7 + tries, tries, kind="ConnectionError")
        outcome = await Job(claim).execute()
        found.append((outcome.state, outcome.pause, outcome.attempt, outcome.error))
    return found
    """
    found = call(source)
    server.did += "\nof a task with three tries, whose job was handed back six times"
    states = [state for state, *_ in found]
    cause = "a ConnectionError is worth another try for this task, so the job is "
    cause += "QUEUED again while `tries` is smaller than retry.tries"
    if states == ["dead"] * 3:
        cause = "a job that was handed back, or whose worker was killed, has not "
        cause += "failed by that. Count its `tries`, and not the attempts of its claim"
    elif states == ["queued"] * 3:
        cause = "it has had three tries, this one included, and gets one more"
    elif states[:2] == ["queued"] * 2:
        cause = "a job that has had all of its tries is DEAD, so that people can tell "
        cause += "it from one that was not worth another try"
    elif states[0] == "queued":
        cause = "it is given up too early. `tries` includes this one already"
    with server.likely(cause):
        assert states == ["queued", "queued", "dead"]
    with server.likely(
        "the pause is what retry.pause(tries) says, where `tries` includes this one. "
        "Keep it in the outcome, for the backend"
    ):
        assert [pause for _, pause, *_ in found[:2]] == [100, 200]
    with server.likely("the outcome has the attempt of the claim"):
        assert [attempt for _, _, attempt, _ in found] == [7, 8, 9]
    with server.likely("the outcome has the error, however the job goes on"):
        assert all("on purpose" in (error or "") for *_, error in found)


@pytest.mark.todo("9.2")
def test_only_some_errors_are_worth_another_try(server: AppServer, call: Call) -> None:
    """An error that would only come again makes the job fail at once."""
    source = """
    errors = "ConnectionResetError", "ValueError", "SystemExit"
    found = {kind: (await execute("probe_tries", kind=kind))[0] for kind in errors}
    found["a wrong argument"] = (await execute("probe_tries", unknown="argument"))[0]
    once = await execute("probe_raises", kind="ConnectionError")
    found["a ConnectionError, with a single try"] = once[0]
    found["an unknown task"] = (await execute("probe_that_nobody_has_defined"))[0]
    return found
    """
    others = call(source)
    first = others.pop("ConnectionResetError")
    server.did += "\nwhere probe_tries has on=(ConnectionError,)"
    with server.likely("retry.worth(error) says whether another try makes sense"):
        assert first == "queued", "after a ConnectionResetError"
    with server.likely(
        "this error is none of retry.on, or the task has a single try, so the job "
        "has failed. It isn't tried again, and it isn't dead, which a job is that has "
        "had all of its tries: see retry.worth(error)"
    ):
        for error, state in others.items():
            assert state == "failed", f"the job is {state} after {error}"


@pytest.mark.todo("9.2")
def test_a_flaky_task_succeeds(server: AppServer) -> None:
    """A flaky task succeeds on its third try, and its job keeps both errors."""
    uid = server.post("flaky")
    details = server.details(uid)
    with server.likely(
        "it was given up after its first error. Set the state of the outcome to QUEUED "
        "while there are tries left"
    ):
        assert details["state"] == "succeeded", details
    assert details["result"] == "try 3 worked"
    assert details["attempts"] == 3
    with server.likely("each outcome has its error, also if the job is queued again"):
        errors = [(e["type"], e["attempt"]) for e in details["failures"]]
        assert errors == [("ConnectionError", 1), ("ConnectionError", 2)]
        assert details["error"] is None


@pytest.mark.todo("9.2")
def test_a_hopeless_job_is_dead(server: AppServer) -> None:
    """A job that fails too often is dead, and one that can't succeed has failed."""
    dead, wrong = server.post("flaky", failures=99), server.post("flaky", failures="x")
    details = server.details(dead)
    with server.likely("after three tries none is left, so the job is DEAD"):
        assert (details["state"], details["attempts"]) == ("dead", 3), details
    assert len(details["failures"]) == 3
    with server.likely("a dead job shows its last error"):
        assert details["error"]["message"].startswith("try 3"), details
        assert details["finished_at"], details
    listed = server.get("/v1/job?state=dead&limit=1").json["jobs"]
    assert listed == [details]
    details = server.details(wrong)
    with server.likely("a TypeError would only come again, so the job has failed"):
        assert (details["state"], details["attempts"]) == ("failed", 1), details
        assert details["error"]["type"] == "TypeError", details


@pytest.mark.todo("9.3")
def test_only_jobs_that_are_due_are_claimed(server: AppServer, call: Call) -> None:
    """A job isn't claimed before its time has come, although others are."""
    source = """
    for name, delay in delays.items():
        await backend.add(NewJob(new_uid(), name, "{}", delay))
    found = []
    for clock.now in (1000.0, 1000.4, 1001.0, 1060.0):
        _, claims, _ = await backend.turn([], "probe", 10)
        found.append(names(claims))
    return found
    """
    delays = {"an hour": 3600, "now": 0, "a second": 1, "half": 0.4, "also now": 0}
    found = call(source, delays=delays)
    server.did += f"\nwith these delays, in seconds: {delays}"
    cause = "jobs that aren't due have to wait, even if there are free slots, and "
    cause += "others that are due come after them: AND run_at <= :now"
    if not found[0] or "half" not in found[1]:
        cause = "a job is due as soon as its run_at is reached, so <= and not <"
    with server.likely(cause):
        expected = ["now", "also now"], ["half"], ["a second"], []
        for seconds, claimed, due in zip((0, 0.4, 1, 60), found, expected, strict=True):
            assert claimed == due, f"claimed after {seconds} s: {claimed}, due: {due}"


@pytest.mark.todo("9.3")
def test_the_oldest_due_job_is_first(server: AppServer, call: Call) -> None:
    """Jobs are claimed in the order of run_at, and of seq where that is equal."""
    source = """
    old = Path(folder) / "old"
    old.mkdir()
    with closing(sqlite3.connect(old / "jobs.db", isolation_level=None)) as db:
        db.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        columns = "uid, task, kwargs, state, submitted_at"
        values = "randomblob(16), 'old', '{}', 'queued', 7.0"
        db.execute(f"INSERT INTO jobs ({columns}) VALUES ({values})")
    beside, found = Beside(old), []
    backend = beside.open()
    for name, run_at in {"c": 9.0, "d": 9.0, "b": 8.0, "a": 5.0, "e": 9.0}.items():
        beside.put(name, run_at=run_at)
    for _ in range(4):
        _, claims, _ = await backend.turn([], "probe", 2)
        found += names(claims)
    return found
    """
    found = call(source)
    server.did += "\nwith two free slots, and a file that step 08 has left"
    with server.likely(
        "run_at is the place in the line. A job that waits for its second try "
        "shouldn't get ahead of one that has been due for longer: ORDER BY run_at, seq"
    ):
        assert " ".join(found) == "a old b c d e"


@pytest.mark.todo("9.3")
def test_a_delayed_job_waits(server: AppServer) -> None:
    """POST with a delay is 202, and the job waits while later ones run."""
    job = {"task": "word_count", "kwargs": {"text": "late"}}
    reply = server.request("POST", "/v1/job", {**job, "delay": 3600})
    assert reply.status == 202, reply
    late = str(reply.json["uid"])
    reply = server.request("POST", "/v1/job", {**job, "delay": 0.2})
    assert server.details(str(reply.json["uid"]))["state"] == "succeeded"
    server.details(server.post("word_count", text="at once"))
    details = server.details(late, ended=False)
    server.did = f"POST of {job} with a delay of an hour, and then of two others"
    with server.likely("a job is claimed before it is due: AND run_at <= :now"):
        assert (details["state"], details["attempts"]) == ("queued", 0), details
    for delay in (-1, "60", None, True, [1], 366 * 86_400 + 1):
        reply = server.request("POST", "/v1/job", {**job, "delay": delay})
        with server.likely("read_job() was given, and has been changed"):
            assert reply.status == 400, reply
            assert '"delay" must be seconds' in reply.json["message"]


@pytest.mark.todo("9.4")
def test_a_turn_says_when_the_next_job_is_due(server: AppServer, call: Call) -> None:
    """A turn returns the seconds until another job is due, 0 for now, inf for never."""
    source = """
    found = {}
    async def look(name, free=1):
        found[name] = (await backend.turn([], "probe", free))[2]
        if found[name] == inf:
            found[name] = "inf"
    for state in ("running", "succeeded", "failed", "dead"):
        put("not waiting", state=state, run_at=1001.0)
    await look("nothing waits")
    put("in an hour", run_at=4600.0)
    put("in 2.5 s", run_at=1002.5)
    await look("the next one in 2.5 s")
    put("due", run_at=995.0)
    put("due", run_at=999.0)
    await look("one is claimed, the next one is due")
    await look("the last one is claimed, the next one in 2.5 s")
    clock.now = 1002.5
    await look("it is claimed, the next one in 3597.5 s")
    return found
    """
    with server.likely(
        "min() of no rows is None, which isn't a number. Return inf if no job waits"
    ):
        found = call(source)
    cause = "if no job waits, there is nothing to wake up for: inf"
    if found["nothing waits"] == 1:
        cause = "jobs that run or have ended don't wait: WHERE state = 'queued'"
    with server.likely(cause):
        assert found["nothing waits"] == "inf"
    next_at = found["the next one in 2.5 s"]
    cause = "the worker would find the next job too late, because it doesn't know when "
    cause += "to look. That is in the earliest run_at of the jobs that are queued"
    if next_at == 1002.5:
        cause = "the worker has to know how long to sleep, so subtract the time of now"
    elif next_at == 3600:
        cause = "that is the last one of those that wait. min() is the next one"
    elif next_at == 0:
        cause = "a worker that need not wait looks again at once, and again. Return "
        cause += "the seconds until the next job is due"
    with server.likely(cause):
        assert next_at == 2.5
        assert found["the last one is claimed, the next one in 2.5 s"] == 2.5
        assert found["it is claimed, the next one in 3597.5 s"] == 3597.5
    with server.likely("more jobs are due than were claimed, so don't wait: 0"):
        assert found["one is claimed, the next one is due"] == 0


@pytest.mark.todo("9.4")
def test_a_worker_wakes_up_when_a_job_is_due(server: AppServer, call: Call) -> None:
    """A worker sleeps until the next job is due, although nobody rings then."""
    source = """
    waits = []
    class Sleeper(Scheduler):
        async def _wait(self, seconds):
            waits.append(seconds)
            clock.now = 1000.3
            await super()._wait(seconds)
    await backend.add(NewJob(new_uid(), "probe_says", '{"text": "here"}', delay=0.3))
    scheduler, tick = make_scheduler(backend, Bell(new_tokens())), saje.scheduler.TICK
    scheduler.__class__, saje.scheduler.TICK = Sleeper, 3600
    try:
        async with running(scheduler):
            await became(lambda: waits, 20)
            if waits[0] > 1:
                return waits[0], rows()
            await became(lambda: rows("state") == [("succeeded",)], 20)
            return waits[0], rows()
    finally:
        saje.scheduler.TICK = tick
    """
    wait, rows = call(source)
    server.did += "\nwith a TICK of an hour"
    with server.likely(
        "the worker sleeps until the next tick, because the turn didn't say that a job "
        "is due before that"
    ):
        assert 0.29 < wait < 0.31, f"it sleeps {wait} s, and the job is due in 0.3 s"
    assert rows == [["probe_says", "succeeded"]]


@pytest.mark.todo("9.5")
def test_a_job_waits_until_its_pause_is_over(server: AppServer, call: Call) -> None:
    """A job that is tried again looks new, keeps its errors, and waits for a while."""
    source = """
    found = []
    uid = put("again", run_at=1.0)
    for attempt in (1, 2):
        _, claims, _ = await backend.turn([], "probe", 5)
        outcomes = [ended(claim, JobState.QUEUED, pause=30.0) for claim in claims]
        recorded, early, wait = await backend.turn(outcomes, "probe", 5)
        details = (await backend.fetch(uid)).to_dict()
        [[run_at]] = rows("run_at")
        clock.now += 29.0
        early += (await backend.turn([], "probe", 5))[1]
        found.append((recorded, names(early), run_at, details))
        clock.now += 1.0
    _, claims, _ = await backend.turn([], "probe", 5)
    return found, [(claim.attempt, claim.tries) for claim in claims]
    """
    found, claimed = call(source)
    server.did += "\nwith a clock that begins at 1000, and a pause of 30 s each time"
    for count, (recorded, early, run_at, details) in enumerate(found, 1):
        assert recorded == [True]
        cause = "the next try doesn't wait for its pause. It is due at now + "
        cause += "outcome.pause, which is its run_at"
        if run_at == 30:
            cause = "run_at is a time, so add the pause to `now`"
        with server.likely(cause):
            assert early == [], "it was claimed before its pause was over"
            assert run_at == 1000 + 30 * count
        with server.likely(
            "the job waits, so it has neither started nor finished, and has no error. "
            "One with a finished_at would even be pruned. FRESH clears all of that"
        ):
            assert details["state"] == "queued"
            assert details["started_at"] is details["finished_at"] is None
            assert details["error"] is None
        with server.likely("the failures are kept, and the attempts count"):
            failures = [{"type": "E", "message": "m"} | {"attempt": n} for n in (1, 2)]
            assert details["failures"] == failures[:count]
            assert details["attempts"] == count
    with server.likely("when its pause is over, the job is due"):
        assert claimed == [[3, 2]]


@pytest.mark.todo("9.5")
def test_only_our_own_job_is_put_back(server: AppServer, call: Call) -> None:
    """A job that has ended, or that others run by now, isn't put back."""
    source = """
    for name in ("again", "late", "done", "dead"):
        put(name, run_at=1.0)
    _, claims, _ = await backend.turn([], "probe", 5)
    sql = "UPDATE jobs SET attempt = 2, started_at = 5.0 WHERE task = 'late'"
    other.db.execute(sql)
    recorded, _, _ = await backend.turn(
        [
            ended(claims[0], JobState.QUEUED, pause=30.0),
            ended(claims[1], JobState.QUEUED, pause=30.0),
            ended(claims[2], JobState.SUCCEEDED, error=None, result="7"),
            ended(claims[3], JobState.DEAD),
        ],
        "probe",
        0,
    )
    columns = "task, state, run_at, started_at, finished_at, error IS NULL, tries"
    return recorded, {name: values for name, *values in rows(columns)}
    """
    recorded, rows = call(source)
    with server.likely("only the job that is queued again gets a new run_at"):
        assert rows["again"] == ["queued", 1030, None, None, 1, 1]
    with server.likely(
        "the outcome came too late, because the job was claimed again since. Whatever "
        "runs now has to stay as it is, so look at done.rowcount first"
    ):
        assert rows["late"] == ["running", 1, 5, None, 1, 0]
    with server.likely(
        "these jobs have ended, so they don't wait, and keep when they ended and why: "
        "only an outcome that is QUEUED puts its job back"
    ):
        assert rows["done"] == ["succeeded", 1, 1000, 1000, 1, 0]
        assert rows["dead"] == ["dead", 1, 1000, 1000, 0, 1]
    assert recorded == [True, False, True, True]


@pytest.mark.todo("9.6")
@pytest.mark.parametrize(
    "task", ["probe_endless", "probe_endless_decorated", "probe_loops"]
)
def test_work_that_takes_too_long_is_interrupted(
    server: AppServer, call: Call, task: str
) -> None:
    """If a try takes longer than its limit, its job ends, and the error says so."""
    state, kind, message = call("return await execute(task)", task=task)
    server.did += f"\nwith the task {task}, which has a limit of 0.05 s"
    cause = "the work goes on after its limit. Await it inside of "
    cause += "asyncio.timeout(limit)"
    if task == "probe_endless_decorated":
        cause = "`run` has returned at once, and what it has returned takes its time. "
        cause += "So the limit has to hold for both lines that await"
    elif task == "probe_loops":
        cause = "the limit holds for tasks in a thread as well"
    with server.likely(cause):
        assert message != "nobody has interrupted it"
    with server.likely("a task whose time is up has raised a TimeoutError"):
        assert kind == "TimeoutError", f"{state}: {kind}: {message}"
    with server.likely(
        "the TimeoutError of asyncio has no message, so nobody can tell what happened. "
        "Raise one that says that the task took too long"
    ):
        assert message not in ("", "TimeoutError()")


@pytest.mark.todo("9.6")
def test_a_task_that_is_in_time_goes_on_as_before(
    server: AppServer, call: Call
) -> None:
    """Work that ends in time keeps its result, or a TimeoutError of its own."""
    source = """
    long = await execute("probe_endless")
    own = await execute("probe_punctual", message="the mail server is slow")
    return long, own, await execute("probe_punctual")
    """
    long, own, punctual = call(source)
    with server.likely(
        "interrupt the work when its time is up: asyncio.timeout(limit)"
    ):
        assert long[1] == "TimeoutError", long
    with server.likely(
        "this task had an hour, and it raised a TimeoutError of its own, which isn't "
        "about our limit. timer.expired() tells the two apart, so raise it as it is"
    ):
        assert own == ["failed", "TimeoutError", "the mail server is slow"]
    cause = "a task that is done in time isn't interrupted"
    if punctual == ["succeeded", None, None]:
        cause = "the job has lost the result of its task, so return it"
    with server.likely(cause):
        assert punctual == ["succeeded", None, "in time"]


@pytest.mark.todo("9.6")
def test_a_try_that_takes_too_long_is_repeated(server: AppServer) -> None:
    """A try that took too long has failed, so it is tried again like any other."""
    details = server.details(server.post("probe_endless"))
    with server.likely(
        "each try has a limit of 0.05 s, and the task needs much longer"
    ):
        assert details["state"] == "dead", details
    kinds = [failure["type"] for failure in details["failures"]]
    assert kinds == ["TimeoutError"] * 2
    assert details["error"]["message"] != "TimeoutError()", details
    details = server.details(server.post("word_count", text="a b"))
    assert details["state"] == "succeeded", "a task without a limit was interrupted"


@pytest.mark.todo("9.7")
def test_a_thread_is_interrupted(server: AppServer, call: Call) -> None:
    """An interrupted thread ends at its next step, and no other thread does."""
    source = """
    go, ends = threading.Event(), {}
    def loop(name):
        try:
            while not go.is_set():
                try:
                    time.sleep(0.001)
                except Exception as error:  # as many loops have it
                    ends["swallowed"] = type(error).__name__
            ends[name] = "ended by itself"
        except BaseException as error:
            ends[name] = type(error).__name__
    threads = {name: threading.Thread(target=loop, args=[name]) for name in "ab"}
    for thread in threads.values():
        thread.start()
    try:
        interrupt(threads["a"])
    finally:
        go.set()
    await became(lambda: threads.keys() <= ends.keys(), 20)
    return ends
    """
    with server.likely(
        "if it is an ArgumentError, ctypes doesn't know what to make of a value. Pass "
        "the ident as a ctypes.c_ulong, and the class as a ctypes.py_object"
    ):
        ends = call(source)
    with server.likely(
        "the other thread has done nothing wrong. It is the thread's own ident that "
        "says which one to interrupt"
    ):
        assert ends["b"] == "ended by itself"
    cause = "the thread goes on. Pass its ident as a ctypes.c_ulong, because ctypes "
    cause += "cuts a plain int off, and then Python finds no such thread"
    if ends.get("swallowed") in ("SystemError", "TypeError"):
        cause = "Python takes the class, Interrupted, and not an instance of it"
    elif "swallowed" in ends:
        cause = "the task took it for one of those errors that a loop survives, so it "
        cause += "has to be Interrupted, which isn't an Exception but a BaseException"
    elif ends["a"] != "ended by itself":
        cause = "raise Interrupted, which tells everybody why it ends"
    with server.likely(cause):
        assert ends["a"] == "Interrupted"


@pytest.mark.todo("9.7")
def test_a_call_is_interrupted_if_nobody_waits(server: AppServer, call: Call) -> None:
    """If nobody waits for a blocking call any more, it is interrupted and tidies up."""
    source = """
    began, go, events = threading.Event(), threading.Event(), []
    def work():
        began.set()
        try:
            while not go.is_set():
                time.sleep(0.001)
            events.append("ended by itself")
        finally:
            events.append("tidied up")
    waiting = asyncio.create_task(in_thread(work))
    await became(began.is_set, 20)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=20)
    go.set()
    await became(lambda: "tidied up" in events, 20)
    return events, waiting.cancelled(), await in_thread(lambda: "still works")
    """
    events, cancelled, after = call(source)
    with server.likely(
        "the thread goes on, although nobody wants its result any more. Let Python "
        "raise Interrupted in it"
    ):
        assert events == ["tidied up"]
    assert cancelled, "whoever waited for the call was cancelled"
    assert after == "still works"


@pytest.mark.todo("9.8")
def test_a_failed_job_is_queued_again(server: AppServer, call: Call) -> None:
    """A job that is failed or dead waits again, due now, and with all of its tries."""
    source = """
    uids, more = {}, {"attempt": 3, "tries": 3}
    more |= {"started_at": 2.0, "finished_at": 3.0, "error": '{"type":"E"}'}
    more |= {"run_at": 2.0, "failures": '[{"type":"E","attempt":3}]'}
    for state in ("failed", "queued", "dead", "running", "succeeded"):
        uids[state] = put(state, state=state, **more)
    uids["unknown"] = new_uid()
    before = {name: values for name, *values in rows("task, *")}
    retried = await asyncio.gather(*map(backend.retry, uids.values()))
    after = {name: values for name, *values in rows("task, *")}
    same = [name for name in after if after[name] == before[name]]
    columns = "task, state, attempt, tries, run_at, started_at, finished_at, error"
    found = {name: values for name, *values in rows(columns)}
    details = (await backend.fetch(uids["dead"])).to_dict()
    _, claims, _ = await backend.turn([], "probe", 1000)
    tries = [claim.tries for claim in claims if claim.task == "dead"]
    return dict(zip(uids, retried)), same, found, details, tries
    """
    retried, same, found, details, tries = call(source)
    server.did += "\nwith a job in each state, and a clock that says 1000"
    with server.likely("a job that is failed or dead is queued again: rowcount is 1"):
        assert (retried["failed"], retried["dead"]) == (True, True), retried
    with server.likely(
        "only a job that is failed or dead is queued again. Others wait, run or have "
        "succeeded, so running them once more would do harm: AND state IN (...)"
    ):
        assert " ".join(same) == "queued running succeeded"
    with server.likely("the result for each job is whether its own row was changed"):
        expected = {name: name in ("failed", "dead") for name in retried}
        assert retried == expected, retried
    for name in ("failed", "dead"):
        state, attempt, left, run_at, started_at, finished_at, error = found[name]
        assert state == "queued"
        with server.likely(
            "it has all of its tries again, or it would be dead at once"
        ):
            assert left == 0, f"tries = {left}"
        with server.likely(
            "the attempts go on counting. If they began again, a late outcome of an "
            "old attempt could be taken for one of the new attempt"
        ):
            assert attempt == 3
        with server.likely("it is due now, and not before those that wait: run_at"):
            assert run_at == 1000
        with server.likely("a job that waits is FRESH"):
            assert started_at is finished_at is error is None
    with server.likely("what has gone wrong until now stays in the failures"):
        assert details["failures"] == [{"type": "E", "attempt": 3}]
    assert tries == [0]


@pytest.mark.todo("9.8")
def test_a_job_is_retried_by_hand(server: AppServer, tmp_path: Path) -> None:
    """POST /v1/job/<uid>/retry is 202, and the job runs again with all of its tries."""
    needs = tmp_path / "what-it-needs"
    uid = server.post("probe_recovers", needs=str(needs))
    assert server.details(uid)["state"] == "dead"
    for attempts in (4, 5):
        reply = server.request("POST", f"/v1/job/{uid}/retry")
        with server.likely("a dead job can be retried: retry() returns True for it"):
            assert reply.status == 202, reply
        assert reply.json == {"uid": uid, "task": "probe_recovers"}
        details = server.details(uid)
        with server.likely("it has two tries again, and its attempts go on counting"):
            assert details["attempts"] == attempts, details
        if attempts == 4:
            assert details["state"] == "dead", details
            needs.touch()
    assert details["state"] == "succeeded", details
    assert [failure["attempt"] for failure in details["failures"]] == [1, 2, 3, 4]
    reply = server.request("POST", f"/v1/job/{uid}/retry")
    with server.likely("a job that has succeeded must not run again"):
        assert reply.status == 409, reply
        assert "succeeded" in reply.json["message"], reply
    assert server.details(uid) == details
    reply = server.request("POST", f"/v1/job/{uuid4()}/retry")
    assert reply.status == 404, reply
