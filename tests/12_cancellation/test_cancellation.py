"""Step 12: jobs that are cancelled, requests that come twice, and periodic tasks."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from app_server import AppServer, Call, Reply

SETTINGS = {"SAJE_WORKERS": 2, "SAJE_TICKS": 1}

SETUP = """
import os
from unittest.mock import Mock
from saje.job import Job
from saje.model import encode
from saje.periodic import latest_slot
from saje.sqlite import SLOTS_KEPT
from saje_probe_scheduler import *
from saje_probe_sqlite import *
from saje_probe_tasks import Ends
other, clock = Beside(folder), Clock()
put, rows, backend = other.put, other.rows, other.open(clock=clock)

def slots():
    sql = "SELECT task, slot FROM slots ORDER BY task, slot"
    return other.db.execute(sql).fetchall()

def new(task="a task", **values):
    return NewJob(new_uid(), task, "{}", **values)

def new_job(number=1, **kwargs):  # which a worker has claimed for the second time
    return Job(Claim(number, new_uid(), "probe_ends", encode(kwargs), 2))

async def end(way, cancelled=True, interrupted=False):
    job = new_job(way=way)
    Ends.began.clear()
    task = asyncio.create_task(job.execute())
    await became(lambda: Ends.began)
    job.cancelled, job.interrupted = cancelled, interrupted
    task.cancel()
    await asyncio.wait([task], timeout=20)
    (result,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(result, BaseException):
        return repr(result)
    return result and [result.state, result.error, result.result, result.attempt]
"""
"""What the calls of these tests begin with."""


def delete(server: AppServer, uid: str) -> Reply:
    """Ask the app to cancel a job."""
    return server.request("DELETE", f"/v1/job/{uid}")


def said(reply: Reply) -> tuple[int, str | None]:
    """Return the status of an answer, and the state that it names, if it does."""
    return reply.status, reply.json.get("state")


def submit(server: AppServer, key: str | None = None, **job: Any) -> Reply:
    """POST a job, possibly with an Idempotency-Key."""
    headers = {} if key is None else {"idempotency-key": key}
    body = {"task": "probe_says", "kwargs": {"text": "submitted"}} | job
    return server.request("POST", "/v1/job", body, headers=headers)


# 12.1: the store


@pytest.mark.todo("12.1")
def test_a_job_that_waits_is_cancelled_at_once(server: AppServer, call: Call) -> None:
    """A job that waits is cancelled at once, and no worker ever gets it."""
    source = """
    uids = [await backend.add(new(delay=delay)) for delay in (0, 50, 0)]
    clock.now = 1007.0
    states = [await backend.cancel(uid) for uid in uids[:2]]
    clock.now = 2000.0
    waiting = backend.waiting()
    _, claims, _ = await backend.turn([], "probe", 9)
    found = rows("state, finished_at, started_at, attempt")
    return states, found[:2], waiting, [claim.seq for claim in claims]
    """
    states, rows, waiting, claimed = call(source)
    server.did += "\nso two of three jobs are cancelled, one of them a delayed one"
    with server.likely(
        "return the state in which the job was before, so read it before the UPDATE"
    ):
        assert states == ["queued", "queued"]
    with server.likely(
        "nobody works on a job that is queued, so it doesn't need to wait for anybody: "
        "it is cancelled now"
    ):
        assert [row[0] for row in rows] == ["cancelled", "cancelled"]
        assert (waiting, claimed) == (1, [3])
    with server.likely(
        "a job that is cancelled has ended, and its finished_at is clock(). Without "
        "it the job would never be pruned"
    ):
        assert [row[1] for row in rows] == [1007.0, 1007.0]
    assert [row[2:] for row in rows] == [[None, 0], [None, 0]]


@pytest.mark.todo("12.1")
def test_a_running_job_is_marked(server: AppServer, call: Call) -> None:
    """A running job goes on for now, and its worker can see that it is to end."""
    source = """
    uids = [await backend.add(new()) for _ in range(3)]
    _, (claim,), _ = await backend.turn([], "one", 1)
    await backend.turn([], "two", 1)
    before = backend.cancelling("one")
    states = [await backend.cancel(uids[0]) for _ in range(2)]
    marked = backend.cancelling("one"), backend.cancelling("two")
    marks = rows("state, finished_at")
    (recorded,), _, _ = await backend.turn([succeeded(claim)], "one", 0)
    after = rows("state")[0][0], backend.cancelling("one")
    return before, states, marked, marks, recorded, after
    """
    before, states, marked, rows, recorded, after = call(source)
    server.did += "\nwhere the first job runs in the worker `one`"
    assert before == []
    with server.likely(
        "its worker has to end it, so the job is still running until then"
    ):
        assert states == ["running", "running"]
        assert rows[0] == ["running", None]
    with server.likely(
        "set `cancel` to 1, because that is how the worker learns of the wish"
    ):
        assert marked == [[1], []]
    with server.likely("only the job with this uid is to be cancelled"):
        assert [row[0] for row in rows] == ["running", "running", "queued"]
    with server.likely(
        "the job was faster than its worker's look, so it has ended as if nobody had "
        "asked"
    ):
        assert (recorded, after) == (True, ["succeeded", []])


@pytest.mark.todo("12.1")
def test_a_job_that_has_ended_stays_as_it_is(server: AppServer, call: Call) -> None:
    """Cancelling changes nothing about a job that has ended, or that isn't there."""
    source = """
    ends = ["succeeded", "failed", "dead", "cancelled"]
    jobs = [put(state, state=state, finished_at=5.0) for state in ends]
    wanted = [*jobs[:2], new_uid(), put("waits"), *jobs[2:]]
    states = await asyncio.gather(*(backend.cancel(uid) for uid in wanted))
    return states, rows("state, finished_at, cancel")[:4]
    """
    states, rows = call(source)
    server.did += "\nthe third of which is unknown, and the fourth of which waits"
    ended = ["succeeded", "failed", "dead", "cancelled"]
    with server.likely(
        "there is a result for each uid, in their order: the state in which the job "
        "was, or None if there is no such job"
    ):
        assert states == ["succeeded", "failed", None, "queued", "dead", "cancelled"]
    with server.likely(
        "a job that has ended keeps its state and its time, so change only those that "
        "are queued or running"
    ):
        assert rows == [[state, 5.0, 0] for state in ended]


@pytest.mark.todo("12.1")
@pytest.mark.parametrize("way", ["handed_back", "tried_again", "worker_died", "stop"])
def test_a_marked_job_does_not_wait_again(
    server: AppServer, call: Call, way: str
) -> None:
    """If a job is to be cancelled and would wait again, it is cancelled instead."""
    source = """
    uid = await backend.add(new())
    _, (claim,), _ = await backend.turn([], "probe", 1)
    await backend.cancel(uid)
    error = '{"type": "ValueError", "message": "on purpose"}'
    failed = Outcome(claim.seq, claim.attempt, JobState.QUEUED, error=error)
    ways = {
        "handed_back": lambda: backend.release([claim]),
        "tried_again": lambda: backend.turn([failed], "probe", 0),
        "worker_died": lambda: backend.reap(["probe"]),
        "stop": lambda: backend.recover(),
    }
    await ways[way]()
    details = await backend.fetch(uid)
    return details.state, details.started_at and details.finished_at
    """
    state, times = call(source, way=way)
    server.did += f"\nwith way = {way!r}"
    with server.likely(
        "it waits again, because nothing in its row says that somebody has asked to "
        "cancel it. Set `cancel` to 1"
    ):
        assert state == "cancelled"
    assert times, "it ran and has ended, so it has a started_at and a finished_at"


@pytest.mark.todo("12.1")
def test_delete_cancels_a_job_that_waits(server: AppServer) -> None:
    """DELETE answers 202 for a job that waits, 409 for one that has ended, or 404."""
    uid = submit(server, delay=3600).json["uid"]
    reply = delete(server, uid)
    with server.likely("cancel() returns the state in which the job was before"):
        assert said(reply) == (202, "cancelled"), reply
        assert reply.json["uid"] == uid
    details = server.details(uid, ended=False)
    with server.likely("a job that is queued is cancelled at once"):
        assert details["state"] == "cancelled"
        assert details["finished_at"], details
    again = delete(server, uid)
    with server.likely("the second time, the job was `cancelled` before"):
        assert again.status == 409, again
        assert "cancelled already" in again.json["message"]
    listed = server.get("/v1/job?state=cancelled").json["jobs"]
    assert uid in [job["uid"] for job in listed]
    ended = server.post("probe_says", text="nothing to cancel")
    server.details(ended)
    assert delete(server, ended).status == 409
    assert server.details(ended)["state"] == "succeeded"
    with server.likely("for a uid that nobody knows, the state is None"):
        assert delete(server, str(uuid4())).status == 404
    assert server.request("POST", f"/v1/job/{uid}/retry").status == 409


# 12.2: the worker


@pytest.mark.todo("12.2")
def test_a_worker_cancels_the_jobs_that_are_marked(
    server: AppServer, call: Call
) -> None:
    """A worker cancels those of its jobs that somebody wants to end, each once."""
    source = """
    backend = FakeBackend(unwanted=[2, 4, 99])
    scheduler = make_scheduler(backend, Bell(new_tokens()))
    jobs = {Mock(["cancel"]): new_job(number) for number in (1, 2, 3, 4)}
    scheduler.jobs.update(jobs)
    for _ in range(3):
        scheduler._cancel()
    marked = [job.claim.seq for job in jobs.values() if job.cancelled]
    interrupted = [job.claim.seq for job in jobs.values() if job.interrupted]
    cancels = [task.cancel.call_count for task in jobs]
    return backend.events, marked, interrupted, cancels
    """
    asked, marked, interrupted, cancels = call(source)
    server.did += "\nwhere this worker has jobs 1 to 4, and looks three times"
    with server.likely("ask self.backend.cancelling() for the jobs of self.worker"):
        assert asked == [["cancelling", "probe"]] * 3
    with server.likely("cancel the asyncio task of each job, and of no others"):
        assert [count > 0 for count in cancels] == [False, True, False, True]
    with server.likely(
        "`interrupted` is for a job that has to run again, in another worker. This one "
        "has to end, so mark it as `cancelled`"
    ):
        assert interrupted == []
    with server.likely(
        "a CancelledError doesn't say who has cancelled the job, so set job.cancelled "
        "for each of them"
    ):
        assert marked == [2, 4]
    with server.likely(
        "the worker looks several times a second, so a job that takes a while to tidy "
        "up is cancelled once more. Skip those that are marked as cancelled already"
    ):
        assert cancels == [0, 1, 0, 1]


# 12.3: the outcome


@pytest.mark.todo("12.3")
@pytest.mark.parametrize("way", ["CancelledError", "its thread", "another error"])
def test_a_cancelled_job_has_an_outcome(
    server: AppServer, call: Call, way: str
) -> None:
    """A job that was cancelled ends as that, and neither as failed nor with an error.

    It makes no difference how the task ends then. But one that returns its result has
    succeeded, one that was interrupted as well is handed back, and one that nobody has
    cancelled has failed.
    """
    source = """
    events = []
    with log_to(events):
        outcome = await end(way)
    logged = [event for event in events if "did not succeed" in event]
    result = await end("a result")
    both = await end("CancelledError", interrupted=True)
    nobody = await end("CancelledError", cancelled=False)
    return outcome, logged, result, both, nobody and nobody[0]
    """
    outcome, logged, result, both, nobody = call(source, way=way)
    server.did += f"\nwith way = {way!r}"
    cause = "if self.cancelled is set, return an Outcome with JobState.CANCELLED"
    if outcome is None:
        cause = "None means that the job is handed back. This one has an outcome"
    elif "Error" in outcome:
        cause = "the exception ends here. Return an Outcome, and don't raise it again"
    elif way == "another error" and outcome[0] != "cancelled":
        cause = "while it tidied up, the task has raised another exception, but it was "
        cause += "cancelled nevertheless. Look at self.cancelled, not at the exception"
    with server.likely(cause):
        assert outcome is not None
        assert outcome[0] == "cancelled"
    with server.likely(
        "somebody wanted this, so it isn't an error: the outcome has none, and its "
        "attempt is claim.attempt"
    ):
        assert outcome[1:] == [None, None, 2]
    with server.likely("somebody wanted this, so don't log it as an error"):
        assert logged == []
    with server.likely(
        "the task has returned a result in spite of it, so the job has succeeded"
    ):
        assert (result[0], result[2]) == ("succeeded", '"it was over anyway"')
    with server.likely(
        "a job that was interrupted belongs to another worker by now, or is handed "
        "back. The store then knows that it is to be cancelled"
    ):
        assert both is None
    with server.likely("a task may cancel itself, and then it has failed"):
        assert nobody == "failed"


@pytest.mark.todo("12.3")
def test_a_job_is_cancelled_before_it_begins(server: AppServer, call: Call) -> None:
    """A job that is cancelled between its claim and its first line has an outcome."""
    source = """
    scheduler = make_scheduler(FakeBackend(unwanted=[1]), Bell(new_tokens()))
    scheduler._start(new_job(way="CancelledError").claim)
    scheduler._cancel()
    if not any(job.cancelled for job in scheduler.jobs.values()):
        return "nobody has cancelled it"
    Ends.began.clear()
    await became(lambda: Ends.began or not scheduler.jobs, 20)
    scheduler._cancel()
    await became(lambda: not scheduler.jobs, 20)
    return [outcome.state for _, outcome in scheduler.ended]
    """
    states = call(source)
    with server.likely("if self.cancelled is set, the outcome is JobState.CANCELLED"):
        assert states == ["cancelled"]


@pytest.mark.todo("12.3")
def test_a_running_job_is_cancelled(server: AppServer, tmp_path: Path) -> None:
    """DELETE ends a running job, whether it waits or computes."""
    gate = tmp_path / "gate"
    uids = [
        server.post("hello", name="Ada", seconds=3600),
        server.post("probe_computes", until=str(gate)),
    ]
    try:
        for uid in uids:
            server.running(uid)
            reply = delete(server, uid)
            assert said(reply) == (202, "cancelling"), reply
            details = server.details(uid)
            with server.likely(
                "if self.cancelled is set, the outcome is JobState.CANCELLED"
            ):
                assert details["state"] == "cancelled"
            with server.likely("somebody wanted this, so it isn't an error"):
                assert (details["result"], details["error"]) == (None, None)
                assert details["failures"] == []
            times = details["started_at"], details["finished_at"]
            assert all(times), times
            assert times[0] < times[1], times
            assert delete(server, uid).status == 409
    finally:
        gate.touch()
    log = server.logged("")
    assert "Goodbye, Ada." not in log
    with server.likely("somebody wanted this, so don't log it as an error"):
        assert "did not succeed" not in log
    server.details(server.post("probe_says", text="the workers go on"))


# 12.4: keys


@pytest.mark.todo("12.4")
def test_a_key_is_recognized(server: AppServer, call: Call) -> None:
    """Two jobs with one key and one digest are one, and a job without a key is new."""
    source = """
    jobs = [new(key=key, digest=digest) for key, digest in pairs]
    added = [
        (await asyncio.gather(backend.add(job), return_exceptions=True))[0]
        for job in jobs
    ]
    uids = [job.uid for job in jobs]
    found = [uids.index(a) if a in uids else named([a])[0] for a in added]
    return found, [key for key, in rows("key")]
    """
    pairs = [
        ("click", "A"),
        ("click", "A"),
        ("other", "A"),
        ("click", "B"),
        (None, None),
        (None, None),
        ("click", "A"),
    ]
    found, keys = call(source, pairs=pairs)
    server.did += f"\nwith these pairs of a key and a digest: {pairs}"
    expected = [0, 0, 2, "KeyConflict", 4, 5, 0]
    cause = "the same key and the same digest are the same job, so return the uid of "
    cause += "the one that is there: UUID(bytes=...)"
    if found[1] == 1:
        cause = "the second one got its own uid, although it wasn't stored. Return the "
        cause += "uid of the job that is there"
    elif found[1] == "KeyConflict":
        cause = "compare the digest in the row with job.digest: they are equal here"
    elif found[2] == 0:
        cause = "look for the job with this key. Its digest alone says nothing"
    elif found[3] == 0:
        cause = "somebody asks for another job with the same key, and would never "
        cause += "learn that it doesn't run. Compare the digests"
    with server.likely(cause):
        assert found == expected
    assert keys == ["click", "other", None, None]


@pytest.mark.todo("12.4")
def test_a_key_outlives_its_job(server: AppServer, call: Call) -> None:
    """A key is known for as long as its job is stored, even with a full backlog."""
    source = """
    backend = other.open(clock=clock, backlog=1)
    found = []
    async def add():
        job = new(key="click", digest="A")
        (uid,) = await asyncio.gather(backend.add(job), return_exceptions=True)
        known = "known" if hasattr(uid, "bytes") else repr(uid)
        found.append("stored" if uid == job.uid else known)
    await add()
    others = await asyncio.gather(backend.add(new()), return_exceptions=True)
    await add()
    _, (claim,), _ = await backend.turn([], "probe", 1)
    await add()
    outcome = Outcome(claim.seq, claim.attempt, JobState.FAILED, finished_at=1001.0)
    await backend.turn([outcome], "probe", 0)
    await add()
    await backend.prune(1002.0)
    await add()
    return found, named(others)
    """
    found, others = call(source)
    server.did += "\nwith a backlog of one job, which waits, runs, ends, and is pruned"
    assert others == ["BacklogFull"]
    with server.likely(
        "a client that didn't get the answer asks again, however far the job has come "
        "meanwhile. So look for the key alone, and not for a state"
    ):
        assert found == ["stored", "known", "known", "known", "stored"]


@pytest.mark.todo("12.4")
def test_a_button_that_is_clicked_fifty_times(server: AppServer) -> None:
    """50 POSTs with one key, ten at a time, are one job, and get its uid."""
    key, text = str(uuid4()), f"clicked {uuid4()}"
    with ThreadPoolExecutor(10) as pool:
        clicks = [
            pool.submit(submit, server, key, kwargs={"text": text}) for _ in range(50)
        ]
        answers = [click.result() for click in clicks]
    server.did += ", fifty times, ten at a time"
    with server.likely(
        "a request for a job that is there already is answered like the first one"
    ):
        assert Counter(answer.status for answer in answers) == {202: 50}
        assert len({answer.json["uid"] for answer in answers}) == 1
    uid = answers[0].json["uid"]
    assert {answer.headers["location"] for answer in answers} == {f"/v1/job/{uid}"}
    assert server.details(uid)["state"] == "succeeded"
    assert submit(server, key, kwargs={"text": text}).json["uid"] == uid
    assert server.select("SELECT count(*) FROM jobs WHERE key = ?", key) == [(1,)]
    assert server.output().count(f"Somebody says: {text}\n") == 1


@pytest.mark.todo("12.4")
def test_the_same_job_in_other_words(server: AppServer) -> None:
    """A request with the same key may name its kwargs in another order, or a 0."""
    key, ways = str(uuid4()), ({"delay": 3600}, {"delay": 3600.0, "priority": 0})
    kwargs: dict[str, Any] = {"name": "Ada", "seconds": 0}
    orders = kwargs, dict(reversed(kwargs.items()))
    answers = [
        submit(server, key, task="hello", kwargs=order, **way)
        for order, way in zip(orders, ways, strict=True)
    ]
    with server.likely("both ask for the same job, so their digests are equal"):
        assert [answer.status for answer in answers] == [202, 202], answers
        assert answers[0].json == answers[1].json


# 12.5: the answer to a key that was used


@pytest.mark.todo("12.5")
@pytest.mark.parametrize(
    "change",
    [
        {"kwargs": {"text": "changed"}},
        {"task": "hello", "kwargs": {}},
        {"delay": 7200},
        {"delay": 0, "priority": 60},
    ],
    ids=["kwargs", "task", "delay", "priority"],
)
def test_a_key_of_another_job_is_422(server: AppServer, change: dict[str, Any]) -> None:
    """A key that came with another job is a 422 in words, and nothing is stored."""
    key = str(uuid4())
    first = submit(server, key, delay=3600)
    assert first.status == 202, first
    again = submit(server, key, **({"delay": 3600} | change))
    server.did += f"\nafter a job that differs in {sorted(change)}"
    cause = "catch KeyConflict, and raise KeyReused, which is a 422"
    if again.status == 409:
        cause = "409 says that the job's state is in the way. Here the request itself "
        cause += "has to change, so raise KeyReused, which is a 422"
    elif again.status == 202:
        cause = "the client hears 202, although the job that it asks for isn't stored"
    with server.likely(cause):
        assert again.status == 422, again
    with server.likely("say in the message that the client has to use another key"):
        assert "key" in again.json["message"].lower(), again
    with server.likely("the client's mistake isn't ours, so there is no traceback"):
        assert "Traceback" not in server.logged("")
    same = submit(server, key, delay=3600)
    assert (same.status, same.json) == (202, first.json)
    assert server.select("SELECT count(*) FROM jobs WHERE key = ?", key) == [(1,)]
    for unusable in ("", "k" * 256):
        assert submit(server, unusable).status == 400


# 12.6: a head start


@pytest.mark.todo("12.6")
def test_a_head_start_is_a_place_in_the_line(server: AppServer, call: Call) -> None:
    """A job with a head start is placed as if it had come so many seconds earlier."""
    source = """
    await backend.add(new("has waited for long"))
    clock.now = 1100.0
    await backend.add(new("just came"))
    await backend.add(new("a minute", priority=60))
    await backend.add(new("an hour", priority=3600))
    await backend.add(new("later", delay=30))
    times = rows("task, run_at, submitted_at")
    _, claims, _ = await backend.turn([], "probe", 9)
    return times, [claim.task for claim in claims]
    """
    times, claimed = call(source)
    server.did += "\nwhere the first job has come 100 seconds before the others"
    run_at = {task: at for task, at, _ in times}
    cause = "the line is sorted by run_at, and a job that came earlier has a smaller "
    cause += "one: subtract job.priority"
    if run_at["a minute"] > 1100:
        cause = "the head start makes the job run later. Subtract job.priority"
    elif run_at["later"] != 1130:
        cause = "a delay counts as before: now + job.delay - job.priority"
    with server.likely(cause):
        assert claimed == ["an hour", "has waited for long", "a minute", "just came"]
    assert (run_at["a minute"], run_at["later"]) == (1040, 1130)
    with server.likely(
        "submitted_at is when the job really came, which people read. Only run_at "
        "changes"
    ):
        assert [at for _, _, at in times] == [1000] + [1100] * 4


@pytest.mark.todo("12.6")
def test_post_takes_a_priority(server: AppServer) -> None:
    """POST takes a "priority" in seconds, but not together with a "delay"."""
    reply = submit(server, priority=60)
    assert reply.status == 202, reply
    sql = "SELECT submitted_at - run_at FROM jobs WHERE uid = ?"
    ((start,),) = server.select(sql, UUID(reply.json["uid"]).bytes)
    with server.likely("the head start is job.priority seconds: subtract it"):
        assert round(start, 3) == 60
    assert server.details(reply.json["uid"])["state"] == "succeeded"
    for value in (-1, "high", True, None, 86_401):
        refused = submit(server, priority=value)
        assert refused.status == 400, refused
    assert submit(server, priority=1, delay=1).status == 400


# 12.7: slots


def at(text: str) -> float:
    """Return a time of UTC in 2026, in seconds since 1970."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC).timestamp()


def written(seconds: float | None) -> str | None:
    """Return a time of UTC in words."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ")


@pytest.mark.todo("12.7")
@pytest.mark.parametrize(
    ("every", "cron", "looks", "slot"),
    [
        (60, None, ["03-05 12:00", "03-05 12:00:59.999"], "03-05 12:00"),
        (2.5, None, ["03-05 12:00:02.500001", "03-05 12:00:04.9"], "03-05 12:00:02.5"),
        (86_400, None, ["03-05 00:00", "03-05 23:59:59.9"], "03-05 00:00"),
        (None, "*/15 * * * *", ["03-05 12:15", "03-05 12:29:59.9"], "03-05 12:15"),
        (None, "30 3 * * *", ["03-05 03:30:01", "03-06 03:29:59.9"], "03-05 03:30"),
        (None, "0 9 * * MON", ["03-05 12:00"], "03-02 09:00"),
    ],
    ids=["minute", "fraction", "day", "quarter", "night", "monday"],
)
def test_all_workers_find_the_same_slot(
    server: AppServer,
    call: Call,
    every: float | None,
    cron: str | None,
    looks: list[str],
    slot: str,
) -> None:
    """Workers that look a bit earlier or later find the same slot, to the bit.

    The clock of this server is 5:45 hours ahead of UTC, as in Nepal, which shows
    whether the app uses UTC.
    """
    source = """
    def find(now, every=every, cron=cron):
        return latest_slot(type("Due", (), {"every": every, "cron": cron}), now)
    zone = os.environ.get("TZ")
    try:
        if hasattr(time, "tzset"):  # Windows has none
            os.environ["TZ"] = "NPT-5:45"
            time.tzset()
        return [find(now) for now in nows], find(nows[0], None, None)
    finally:
        os.environ.pop("TZ", None)
        if zone is not None:
            os.environ["TZ"] = zone
        if hasattr(time, "tzset"):
            time.tzset()
    """
    nows, due = [at(look) for look in looks], at(slot)
    found, never = call(source, every=every, cron=cron, nows=nows)
    server.did = f"latest_slot() of a task with {every = }, {cron = }, at {looks}"
    with server.likely("a task without `every` and `cron` isn't periodic: None"):
        assert never is None
    cause = "the slots of `every` are the multiples of that many seconds, and "
    cause += "`now // every * every` is the latest one"
    if None in found:
        cause = "a task with `every` is due at its multiples, and one with `cron` at "
        cause += "the times that CronSim finds"
    elif every and len(set(found)) > 1:
        cause = "each worker finds another time, so each of them would make a job. "
        cause += "Round down to the last multiple of `every`"
    elif cron and any(one > now for one, now in zip(found, nows, strict=True)):
        cause = "this slot is still to come. Search backwards: reverse=True"
    elif cron and any(abs(due - one) % 86_400 > 3600 for one in found):
        cause = "the expression means UTC. Give datetime.fromtimestamp() the zone"
    elif cron:
        cause = "CronSim finds only times before the one it starts at, so start at "
        cause += "the end of this minute to find a slot that is due right now"
    with server.likely(cause):
        assert [written(one) for one in found] == [written(due)] * len(nows)
        assert found == [due] * len(nows)


# 12.8: one job for a slot

FIRST_SLOT = (
    "a task that has no slots yet is new, and its app has only been there for a part "
    "of the time. So its first slot is stored without a job"
)
"""The likely cause if the first slot of a task makes a job."""


@pytest.mark.todo("12.8")
def test_a_slot_is_one_job(server: AppServer, call: Call) -> None:
    """However many workers see a slot, it makes one job. The first slot makes none."""
    source = """
    backends = [other.open(clock=clock) for _ in range(3)]
    made = []
    for task, slot in (("a", 600.0), ("a", 1200.0), ("b", 1200.0), ("a", 1200.0)):
        adding = (backend.add_slot(new(task), slot) for backend in backends)
        made.append((await asyncio.gather(*adding)).count(True))
    return made, rows("task, kwargs, state, submitted_at, run_at"), slots()
    """
    made, rows, slots = call(source)
    server.did += "\nby three workers at once: slots 600 and 1200 of the task a, slot "
    server.did += "1200 of b, and once more slot 1200 of a"
    cause = "write down each slot, so that nobody else makes a job for it: INSERT OR "
    cause += "IGNORE"
    if ["a", 1200.0] in slots and ["a", 600.0] not in slots:
        cause = "the row of slot 600 was deleted too early. Keep the slot before this "
        cause += "one, and those of the last SLOTS_KEPT seconds"
    with server.likely(cause):
        assert slots == [["a", 600.0], ["a", 1200.0], ["b", 1200.0]]
    cause = "make a job only if you could insert the slot, and return True only then"
    if made[0] or made[2]:
        cause = FIRST_SLOT
    elif not made[1]:
        cause = "the task has a slot already, so this one gets a job"
    with server.likely(cause):
        assert made == [0, 1, 0, 0]
        assert len(rows) == 1
    with server.likely("INSERT takes job_row(job, clock())"):
        assert rows == [["a", "{}", "queued", 1000.0, 1000.0]]


@pytest.mark.todo("12.8")
def test_old_slots_are_removed(server: AppServer, call: Call) -> None:
    """A new slot removes those of its task that are SLOTS_KEPT older, and no others."""
    source = """
    await backend.add_slot(new("other"), 0.0)
    for day in range(8):
        await backend.add_slot(new("daily"), day * 86400.0)
    return slots(), SLOTS_KEPT
    """
    slots, kept = call(source)
    days = [slot / 86_400 for task, slot in slots if task == "daily"]
    with server.likely(
        "with a slot a second the table would never stop growing. Remove those slots "
        "of the task that are SLOTS_KEPT older than this one"
    ):
        assert days[:1] != [0]
    with server.likely(
        "the clock may be set back, so keep the slots of the last SLOTS_KEPT seconds"
    ):
        assert days == [float(day) for day in range(8) if (7 - day) * 86400 <= kept]
    with server.likely("another task's slots don't belong to this task"):
        assert ["other", 0.0] in slots


@pytest.mark.todo("12.8")
def test_the_slot_before_is_kept(server: AppServer, call: Call) -> None:
    """A weekly task doesn't run twice if the clock is set back by a second."""
    source = """
    weeks, made = 7 * 86400.0, []
    for week in (1, 2, 3, 2, 3, 2):  # after the third it is set back, twice
        made.append(await backend.add_slot(new("weekly"), week * weeks))
    return made
    """
    made = call(source)
    server.did += "\nwhere the clock is set back right after the third week has begun"
    cause = "the slot of the week before is due again, and nothing says that its job "
    cause += "was made. Keep the slot before this one, however old it is"
    if made[0]:
        cause = FIRST_SLOT
    with server.likely(cause):
        assert made == [False, True, True, False, False, False]


@pytest.mark.todo("12.8")
def test_a_periodic_task_runs(server: AppServer, call: Call) -> None:
    """Two workers that know a task which is due each second make one job a slot."""
    # Without it the workers can't do it, and to wait for them takes much longer.
    source = """
    return [await backend.add_slot(new(), slot) for slot in (0.0, 1.0)]
    """
    made = call(source)
    cause = "insert the slot, and if that is a new one, its job"
    with server.likely(FIRST_SLOT if made[0] else cause):
        assert made == [False, True]
    sql = """
        SELECT (SELECT count(*) FROM slots WHERE task = 'probe_ticks'), count(*),
            sum(state = 'succeeded')
        FROM jobs WHERE task = 'probe_ticks'
    """
    server.did = "two workers that know a task with every = 1"
    server.until(
        lambda: (server.select(sql)[0][2] or 0) > 1, "two jobs that have succeeded"
    )
    slots, jobs, _ = server.select(sql)[0]
    cause = "each slot but the first one of a task has one job"
    if jobs > slots:
        cause += ". If slots are missing, their rows were deleted too early"
    with server.likely(cause):
        assert jobs == slots - 1
    for values in ("every = 0.5", "every, cron = 60, '* * * * *'", "cron = 'daily'"):
        source = f"class Due(Task):\n    name = 'due'\n    {values}"
        defined = server.request("POST", "/probe/define", {"source": source})
        assert defined.json == {"raised": "TypeError", "changed": {}}, values
