"""Step 12: jobs that are cancelled, requests that come twice, and periodic tasks."""

import json
import re
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import psutil
import pytest
from app_process import ANSWER
from app_server import AppServer, Reply

SETTINGS = {"SAJE_WORKERS": 2, "SAJE_TICKS": 1}

SETUP = """
import asyncio
import os
import time
from pathlib import Path
import saje.scheduler
from saje.model import JobState, NewJob, Outcome, encode, new_uid
from saje.periodic import latest_slot
from saje.schema import connect
from saje.sqlite import SLOTS_KEPT, SQLiteBackend
from saje.wake import Bell, new_tokens
from saje_probe_cancelling import *
from saje_probe_parts import became, connection, log_to
from saje_probe_scheduler import make_scheduler, running
from saje_probe_store import named
path = Path(folder) / "jobs.db"
other = connect(path, "normal")  # beside the one that is tested

def select(columns, table="jobs ORDER BY seq"):
    return other.execute(f"SELECT {columns} FROM {table}").fetchall()

def open_backend(**values):
    backend = SQLiteBackend(path, "normal", **values)
    # Several of these write at once, which may take a while on a busy machine.
    connection(backend).execute("PRAGMA busy_timeout = 20000")
    return backend

def new(task="a task", **values):
    return NewJob(new_uid(), task, "{}", **values)
"""
"""What the calls of these tests begin with."""


def call(server: AppServer, folder: Path, source: str, **names: Any) -> Any:
    """Run some calls in one of the servers.

    Args:
        server: The app.
        folder: Where the database is. It is created if there is none yet.
        source: The calls, which return what JSON can hold.
        **names: Values for the calls.

    Returns:
        What the calls return.
    """
    names = {"folder": str(folder)} | names
    body = {"setup": SETUP, "source": dedent(source), "names": names}
    reply = server.request("POST", "/probe/call", body)
    server.did = f"these calls, in a server:\n{dedent(source).strip()}"
    assert reply.json["raised"] is None
    return reply.json["returned"]


def select(server: AppServer, sql: str, *values: Any) -> list[Any]:
    """Return what a statement finds in the app's database."""
    with closing(sqlite3.connect(server.db, timeout=20)) as db:
        return db.execute(sql, values).fetchall()


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
def test_a_job_that_waits_is_cancelled_at_once(
    server: AppServer, tmp_path: Path
) -> None:
    """A job that waits is cancelled at once, and no worker ever gets it."""
    source = """
    now = 1000.0
    backend = open_backend(clock=lambda: now)
    uids = [await backend.add(new(delay=delay)) for delay in (0, 50, 0)]
    now = 1007.0
    states = [await backend.cancel(uid) for uid in uids[:2]]
    now = 2000.0
    waiting = backend.waiting()
    _, claims, _ = await backend.turn([], "probe", 9)
    rows = select("state, finished_at, started_at, attempt")
    return states, rows[:2], waiting, [claim.seq for claim in claims]
    """
    states, rows, waiting, claimed = call(server, tmp_path, source)
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
def test_a_running_job_is_marked(server: AppServer, tmp_path: Path) -> None:
    """A running job goes on for now, and its worker can see that it is to end."""
    source = """
    backend = open_backend()
    uids = [await backend.add(new()) for _ in range(3)]
    _, (claim,), _ = await backend.turn([], "one", 1)
    await backend.turn([], "two", 1)
    before = backend.cancelling("one")
    states = [await backend.cancel(uids[0]) for _ in range(2)]
    marked = backend.cancelling("one"), backend.cancelling("two")
    rows = select("state, finished_at")
    outcome = Outcome(claim.seq, claim.attempt, JobState.SUCCEEDED, "7")
    (recorded,), _, _ = await backend.turn([outcome], "one", 0)
    after = select("state")[0][0], backend.cancelling("one")
    return before, states, marked, rows, recorded, after
    """
    before, states, marked, rows, recorded, after = call(server, tmp_path, source)
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
def test_a_job_that_has_ended_stays_as_it_is(server: AppServer, tmp_path: Path) -> None:
    """Cancelling changes nothing about a job that has ended, or that isn't there."""
    source = """
    backend = open_backend()
    ends = ["succeeded", "failed", "dead", "cancelled"]
    uids = [await backend.add(new()) for _ in ends]
    for uid, state in zip(uids, ends):
        sql = "UPDATE jobs SET state = ?, finished_at = 5.0 WHERE uid = ?"
        other.execute(sql, (state, uid.bytes))
    unknown, waits = new_uid(), await backend.add(new())
    wanted = [*uids[:2], unknown, waits, *uids[2:]]
    states = await asyncio.gather(*(backend.cancel(uid) for uid in wanted))
    return states, select("state, finished_at, cancel")[:4]
    """
    states, rows = call(server, tmp_path, source)
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
    server: AppServer, tmp_path: Path, way: str
) -> None:
    """If a job is to be cancelled and would wait again, it is cancelled instead."""
    source = """
    backend = open_backend()
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
    state, times = call(server, tmp_path, source, way=way)
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


@pytest.mark.todo("12.1")
def test_a_kill_brings_no_cancelled_job_back(server: AppServer) -> None:
    """If a worker is killed before it has looked, its cancelled job doesn't run again.

    The worker is suspended meanwhile, so that it can't look.
    """
    uid = server.post("hello", name="Nobody", seconds=3600)
    server.running(uid)
    (worker,) = select(server, "SELECT worker FROM jobs WHERE uid = ?", bytes_of(uid))
    process = psutil.Process(int(re.findall(r"\[(\d+)\]", worker[0])[0]))
    ready = server.output().count("SAJE worker ready")

    def suspended() -> bool:
        # A process that is suspended in the middle of a commit locks the others out.
        process.suspend()
        with closing(sqlite3.connect(server.db, timeout=0.5)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                process.resume()
                return False
            return True

    try:
        server.until(suspended, "a worker that is suspended between two commits")
        reply = delete(server, uid)
    finally:
        process.kill()
        server.until(
            lambda: server.output().count("SAJE worker ready") > ready,
            "another worker in place of the one that was killed",
        )
    with server.likely("the job is running, so its state was `running`"):
        assert said(reply) == (202, "cancelling"), reply
    details = server.details(uid)
    server.did += "\nand kill -9 of its worker right after that"
    with server.likely("set `cancel` to 1, so that it can't wait again"):
        assert (details["state"], details["attempts"]) == ("cancelled", 1)


def bytes_of(uid: str) -> bytes:
    """Return a uid as the database has it."""
    return bytes.fromhex(uid.replace("-", ""))


# 12.2: the worker


@pytest.mark.todo("12.2")
def test_a_worker_cancels_the_jobs_that_are_marked(
    server: AppServer, tmp_path: Path
) -> None:
    """A worker cancels those of its jobs that somebody wants to end, each once."""
    source = """
    backend = CancellingBackend([2, 4, 99])
    scheduler = make_scheduler(backend, Bell(new_tokens()))
    jobs = {FakeTask(): new_job(number) for number in (1, 2, 3, 4)}
    scheduler.jobs.update(jobs)
    for _ in range(3):
        scheduler._cancel()
    marked = [job.claim.seq for job in jobs.values() if job.cancelled]
    interrupted = [job.claim.seq for job in jobs.values() if job.interrupted]
    return backend.asked, marked, interrupted, [task.cancels for task in jobs]
    """
    asked, marked, interrupted, cancels = call(server, tmp_path, source)
    server.did += "\nwhere this worker has jobs 1 to 4, and looks three times"
    with server.likely("ask self.backend.cancelling() for the jobs of self.worker"):
        assert asked == ["probe"] * 3
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


@pytest.mark.todo("12.2")
def test_a_running_job_can_tidy_up(server: AppServer) -> None:
    """A running job gets one CancelledError, and then all the time it needs."""
    uid = server.post("probe_tidies")
    server.running(uid)
    reply = delete(server, uid)
    with server.likely("the job is running, so its state was `running`"):
        assert said(reply) == (202, "cancelling"), reply
    with server.likely("mark each of these jobs as cancelled, and cancel its task"):
        server.logged("It begins to tidy up.", 5)
    # On a busy machine it may be over by now.
    assert said(delete(server, uid)) in [(202, "cancelling"), (409, None)]
    server.did += "\nwhile the job tidies up, which takes a second"
    server.until(
        lambda: server.details(uid, ended=False)["state"] != "running",
        "the end of the job",
    )
    log = server.output()[server.begun :]
    with server.likely(
        "the worker looks several times a second, so the job was cancelled again while "
        "it tidied up. Skip those that are marked as cancelled already"
    ):
        assert "It was disturbed." not in log
        assert log.count("It is tidy.") == 1


# 12.3: the outcome

END = """
async def end(way, cancelled=True, interrupted=False):
    job = new_job(kwargs=encode({"way": way}))
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


@pytest.mark.todo("12.3")
@pytest.mark.parametrize("way", ["CancelledError", "its thread", "another error"])
def test_a_cancelled_job_has_an_outcome(
    server: AppServer, tmp_path: Path, way: str
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
    outcome, logged, result, both, nobody = call(
        server, tmp_path, END + dedent(source), way=way
    )
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
def test_a_job_is_cancelled_before_it_begins(server: AppServer, tmp_path: Path) -> None:
    """A job that is cancelled between its claim and its first line has an outcome."""
    source = """
    scheduler = make_scheduler(CancellingBackend([1]), Bell(new_tokens()))
    scheduler._start(new_job(kwargs='{"way": "CancelledError"}').claim)
    scheduler._cancel()
    if not any(job.cancelled for job in scheduler.jobs.values()):
        return "nobody has cancelled it"
    Ends.began.clear()
    await became(lambda: Ends.began or not scheduler.jobs, 20)
    scheduler._cancel()
    await became(lambda: not scheduler.jobs, 20)
    return [outcome.state for _, outcome in scheduler.ended]
    """
    states = call(server, tmp_path, source)
    with server.likely("if self.cancelled is set, the outcome is JobState.CANCELLED"):
        assert states == ["cancelled"]


@pytest.mark.todo("12.3")
def test_cancelled_or_as_it_would_have(server: AppServer, tmp_path: Path) -> None:
    """Whenever a job is cancelled, it ends cancelled or as it would have, never both.

    60 jobs run, 8 at a time, and each is cancelled at another moment: while it waits,
    while it runs, while it ends, and after that.
    """
    source = """
    backend, look, events = open_backend(), saje.scheduler.CANCEL, []
    numbers, said = range(60), {}
    Naps.ended.clear()
    uids = []
    for number in numbers:
        kwargs = encode({"number": number, "naps": 1 + number % 5})
        uids.append(await backend.add(NewJob(new_uid(), "probe_naps", kwargs)))
    async def cancel(number):
        await became(lambda: len(Naps.ended) >= number // 2, patience)
        await asyncio.sleep(number % 7 * NAP / 4)
        said[number] = await backend.cancel(uids[number])
    def over():
        return not {"queued", "running"} & {state for state, in select("state")}
    scheduler = make_scheduler(backend, Bell(new_tokens()), concurrency=8)
    saje.scheduler.CANCEL = NAP / 2
    try:
        with log_to(events):
            async with running(scheduler):
                await asyncio.gather(*map(cancel, numbers[1::2]))
                ended = await became(over, patience)
    finally:
        saje.scheduler.CANCEL = look
    rows = select("state, result IS NOT NULL, error, finished_at IS NOT NULL, attempt")
    jobs = [
        [*row, said.get(number), Naps.ended.get(number)]
        for number, row in zip(numbers, rows)
    ]
    return ended, jobs
    """
    patience = 10 * server.slowness
    ended, jobs = call(server, tmp_path, source, patience=patience)
    server.did = "60 jobs in a scheduler, every other of which is cancelled"
    with server.likely("a job that was cancelled has no outcome, so it runs forever"):
        assert ended, Counter(job[0] for job in jobs)
    with server.likely("cancel() returns the state in which the job was before"):
        assert {job[5] for job in jobs[1::2]} <= {"queued", "running", "succeeded"}
    right: dict[str | None, set[tuple[str, int, str | None]]] = {
        # What cancel() said: (state, has a result, what the task did)
        None: {("succeeded", 1, "slept")},
        "queued": {("cancelled", 0, None)},
        "running": {("cancelled", 0, "tidied up"), ("succeeded", 1, "slept")},
        "succeeded": {("succeeded", 1, "slept")},
    }
    with server.likely(
        "if self.cancelled is set, the outcome is JobState.CANCELLED, and no error"
    ):
        states = Counter(job[0] for job in jobs)
        assert states.keys() <= {"succeeded", "cancelled"}, states
        assert [job[2] for job in jobs] == [None] * len(jobs)
    wrong = [
        (number, said, state, result, did)
        for number, (state, result, _, _, _, said, did) in enumerate(jobs)
        if (state, result, did) not in right[said]
    ]
    with server.likely("a job has one end: it is cancelled, or it has a result"):
        assert wrong == []
    assert all(job[3] for job in jobs), "a job has ended without a finished_at"
    assert {job[4] for job in jobs} <= {0, 1}, "a job has run twice"


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
    log = server.output()[server.begun :]
    assert "Goodbye, Ada." not in log
    with server.likely("somebody wanted this, so don't log it as an error"):
        assert "did not succeed" not in log
    server.details(server.post("probe_says", text="the workers go on"))


# 12.4: keys


@pytest.mark.todo("12.4")
def test_a_key_is_recognized(server: AppServer, tmp_path: Path) -> None:
    """Two jobs with one key and one digest are one, and a job without a key is new."""
    source = """
    backend = open_backend()
    jobs = [new(key=key, digest=digest) for key, digest in pairs]
    added = [
        (await asyncio.gather(backend.add(job), return_exceptions=True))[0]
        for job in jobs
    ]
    uids = [job.uid for job in jobs]
    found = [uids.index(a) if a in uids else named([a])[0] for a in added]
    return found, [key for key, in select("key")]
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
    found, keys = call(server, tmp_path, source, pairs=pairs)
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
def test_a_key_outlives_its_job(server: AppServer, tmp_path: Path) -> None:
    """A key is known for as long as its job is stored, even with a full backlog."""
    source = """
    now = 1000.0
    backend = open_backend(backlog=1, clock=lambda: now)
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
    found, others = call(server, tmp_path, source)
    server.did += "\nwith a backlog of one job, which waits, runs, ends, and is pruned"
    assert others == ["BacklogFull"]
    with server.likely(
        "a client that didn't get the answer asks again, however far the job has come "
        "meanwhile. So look for the key alone, and not for a state"
    ):
        assert found == ["stored", "known", "known", "known", "stored"]


@pytest.mark.todo("12.4")
def test_a_key_that_comes_twice_at_once(server: AppServer, tmp_path: Path) -> None:
    """Requests with one key that come in together make one job, and so do servers."""
    source = """
    backend = open_backend()
    jobs = [new(key=f"click {number % 2}", digest="A") for number in range(20)]
    jobs += [new() for _ in range(5)]
    adding = (backend.add(job) for job in jobs)
    uids = await asyncio.gather(*adding, return_exceptions=True)
    return [str(uid) for uid in uids], select("count(*), count(key)")
    """
    call(server, tmp_path, "return select('1')")  # creates the database
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(call, server, tmp_path, source) for _ in range(4)]
        results = [calls.result() for calls in made]
    server.did += "\nfour times at once"
    uids = [uid for found, _ in results for uid in found[:20]]
    with server.likely("each of them gets the uid of the job that is there"):
        assert len(set(uids)) == 2, sorted(set(uids))[:5]
    assert max(rows for _, rows in results) == [[22, 2]]


@pytest.mark.todo("12.4")
def test_a_button_that_is_clicked_fifty_times(server: AppServer) -> None:
    """50 POSTs with one key over 10 connections are one job, and get its uid."""
    key, text = str(uuid4()), f"clicked {uuid4()}"
    body = json.dumps({"task": "probe_says", "kwargs": {"text": text}})
    headers = {"content-type": "application/json", "idempotency-key": key}

    def click(times: int) -> list[tuple[int, Any, str | None]]:
        limit = ANSWER * server.slowness
        answers = []
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=limit)) as http:
            for _ in range(times):
                http.request("POST", "/v1/job", body, headers)
                response = http.getresponse()
                location = response.headers["location"]
                uid = json.load(response).get("uid")
                answers.append((response.status, uid, location))
        return answers

    with ThreadPoolExecutor(10) as pool:
        answers = [answer for some in pool.map(click, [5] * 10) for answer in some]
    server.did = f"50 POSTs of {body} with Idempotency-Key: {key}"
    with server.likely(
        "a request for a job that is there already is answered like the first one"
    ):
        assert Counter(status for status, _, _ in answers) == {202: 50}
        assert len({uid for _, uid, _ in answers}) == 1
    uid = answers[0][1]
    assert {location for _, _, location in answers} == {f"/v1/job/{uid}"}
    assert server.details(uid)["state"] == "succeeded"
    assert submit(server, key, kwargs={"text": text}).json["uid"] == uid
    assert select(server, "SELECT count(*) FROM jobs WHERE key = ?", key) == [(1,)]
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
        assert "Traceback" not in server.output()[server.begun :]
    same = submit(server, key, delay=3600)
    assert (same.status, same.json) == (202, first.json)
    assert select(server, "SELECT count(*) FROM jobs WHERE key = ?", key) == [(1,)]
    for unusable in ("", "k" * 256):
        assert submit(server, unusable).status == 400


# 12.6: a head start


@pytest.mark.todo("12.6")
def test_a_head_start_is_a_place_in_the_line(server: AppServer, tmp_path: Path) -> None:
    """A job with a head start is placed as if it had come so many seconds earlier."""
    source = """
    now = 1000.0
    backend = open_backend(clock=lambda: now)
    await backend.add(new("has waited for long"))
    now = 1100.0
    await backend.add(new("just came"))
    await backend.add(new("a minute", priority=60))
    await backend.add(new("an hour", priority=3600))
    await backend.add(new("later", delay=30))
    times = select("task, run_at, submitted_at")
    _, claims, _ = await backend.turn([], "probe", 9)
    return times, [claim.task for claim in claims]
    """
    times, claimed = call(server, tmp_path, source)
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
    ((start,),) = select(server, sql, bytes_of(reply.json["uid"]))
    with server.likely("the head start is job.priority seconds: subtract it"):
        assert round(start, 3) == 60
    assert server.details(reply.json["uid"])["state"] == "succeeded"
    for value in (-1, "high", True, None, 86_401):
        refused = submit(server, priority=value)
        assert refused.status == 400, refused
    assert submit(server, priority=1, delay=1).status == 400


# 12.7: slots


def at(text: str) -> float:
    """Return a time of UTC in seconds since 1970."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.todo("12.7")
@pytest.mark.parametrize(
    ("every", "cron", "looks", "slot"),
    [
        (60, None, ["12:00:00", "12:00:08.3", "12:00:59.999"], "12:00:00"),
        (2.5, None, ["12:00:02.500001", "12:00:04.9"], "12:00:02.5"),
        (86_400, None, ["00:00:00", "12:00:07", "23:59:59.9"], "00:00:00"),
        (None, "* * * * *", ["12:00:00", "12:00:08.3", "12:00:59.999"], "12:00:00"),
        (None, "*/15 * * * *", ["12:15:00", "12:16:00", "12:29:59.9"], "12:15:00"),
        (None, "30 3 * * *", ["03:30:00", "03:30:01", "23:59:59"], "03:30:00"),
    ],
    ids=["minute", "fraction", "day", "cron_minute", "cron_quarter", "cron_night"],
)
def test_all_workers_find_the_same_slot(
    server: AppServer,
    tmp_path: Path,
    every: float | None,
    cron: str | None,
    looks: list[str],
    slot: str,
) -> None:
    """Workers that look a bit earlier or later find the same slot, to the bit."""
    nows = [at(f"2026-03-05 {look}") for look in looks]
    found = find_slots(server, tmp_path, every, cron, nows)
    check_slots(server, found, nows, at(f"2026-03-05 {slot}"))


@pytest.mark.todo("12.7")
@pytest.mark.parametrize(
    ("cron", "now", "slot"),
    [
        ("30 3 * * *", "2026-03-05 03:29:59.9", "2026-03-04 03:30"),
        ("0 9 * * MON", "2026-03-05 12:00", "2026-03-02 09:00"),
        ("0 0 1 1 *", "2026-03-05 12:00", "2026-01-01 00:00"),
        ("0 0 29 2 *", "2026-03-05 12:00", "2024-02-29 00:00"),
    ],
    ids=["yesterday", "monday", "new_year", "leap_day"],
)
def test_a_slot_may_be_long_ago(
    server: AppServer, tmp_path: Path, cron: str, now: str, slot: str
) -> None:
    """The latest slot may be of another day, month or year."""
    found = find_slots(server, tmp_path, None, cron, [at(now)])
    check_slots(server, found, [at(now)], at(slot))


def find_slots(
    server: AppServer,
    folder: Path,
    every: float | None,
    cron: str | None,
    nows: list[float],
) -> list[float | None]:
    """Return what latest_slot() finds at some times, on a computer in Nepal.

    Its clock is 5:45 hours ahead of UTC, which shows whether the app uses UTC.
    """
    source = """
    def task(every, cron):
        return type("Due", (), {"every": every, "cron": cron})
    zone = os.environ.get("TZ")
    try:
        if hasattr(time, "tzset"):  # Windows has none
            os.environ["TZ"] = "NPT-5:45"
            time.tzset()
        found = named([latest_slot(task(every, cron), now) for now in nows])
        return found, latest_slot(task(None, None), nows[0])
    finally:
        os.environ.pop("TZ", None)
        if zone is not None:
            os.environ["TZ"] = zone
        if hasattr(time, "tzset"):
            time.tzset()
    """
    found, never = call(server, folder, source, every=every, cron=cron, nows=nows)
    looks = [datetime.fromtimestamp(now, UTC).isoformat(" ") for now in nows]
    server.did = f"latest_slot() of a task with every = {every}, cron = {cron!r}, at "
    server.did += ", ".join(looks)
    with server.likely("a task without `every` and `cron` isn't periodic: None"):
        assert never is None
    slots: list[float | None] = found
    return slots


def check_slots(
    server: AppServer, found: list[float | None], nows: list[float], slot: float
) -> None:
    """Expect that a slot was found, and name the likely cause if it was not."""
    cause = "the slots of `every` are the multiples of that many seconds, and "
    cause += "`now // every * every` is the latest one"
    if "cron = '" in server.did:
        cause = "CronSim searches backwards from the end of this minute, and next() "
        cause += "takes the first time that it finds"
        late = [now - (one or 0) for now, one in zip(nows, found, strict=True)]
        if None in found:
            cause = "a task with `cron` is due at the times that CronSim finds"
        elif min(late) < 0:
            cause = "this slot is still to come. Search backwards: reverse=True"
        elif any(abs(slot - (one or 0)) % 86_400 > 3600 for one in found):
            cause = "the expression means UTC. Give datetime.fromtimestamp() the zone"
        elif nows[0] == slot != found[0]:
            cause = "CronSim finds only times before the one it starts at, so start at "
            cause += "the end of this minute to find a slot that is due right now"
    elif len(set(found)) > 1:
        cause = "each worker finds another time, so each of them would make a job. "
        cause += "Round down to the last multiple of `every`"
    first_wrong = next((one for one in found if one != slot), slot)
    with server.likely(cause):
        assert written(first_wrong) == written(slot)
        assert found == [slot] * len(nows)


def written(seconds: float | None) -> str | None:
    """Return a time of UTC in words that pytest shows in full."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(" ")


# 12.8: one job for a slot

FIRST_SLOT = (
    "a task that has no slots yet is new, and its app has only been there for a part "
    "of the time. So its first slot is stored without a job"
)
"""The likely cause if the first slot of a task makes a job."""


@pytest.mark.todo("12.8")
def test_a_slot_is_one_job(server: AppServer, tmp_path: Path) -> None:
    """However many workers see a slot, it makes one job. The first slot makes none."""
    source = """
    backends = [open_backend(clock=lambda: 5000.0) for _ in range(3)]
    made = []
    for task, slot in (("a", 600.0), ("a", 1200.0), ("b", 1200.0), ("a", 1200.0)):
        adding = (backend.add_slot(new(task), slot) for backend in backends)
        made.append((await asyncio.gather(*adding)).count(True))
    rows = select("task, kwargs, state, submitted_at, run_at")
    return made, rows, select("task, slot", "slots ORDER BY task, slot")
    """
    made, rows, slots = call(server, tmp_path, source)
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
        assert rows == [["a", "{}", "queued", 5000.0, 5000.0]]


@pytest.mark.todo("12.8")
def test_old_slots_are_removed(server: AppServer, tmp_path: Path) -> None:
    """A new slot removes those of its task that are SLOTS_KEPT older, and no others."""
    source = """
    backend = open_backend()
    await backend.add_slot(new("other"), 0.0)
    for day in range(8):
        await backend.add_slot(new("daily"), day * 86400.0)
    return select("task, slot / 86400", "slots ORDER BY task, slot"), SLOTS_KEPT
    """
    slots, kept = call(server, tmp_path, source)
    days = [day for task, day in slots if task == "daily"]
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
def test_the_slot_before_is_kept(server: AppServer, tmp_path: Path) -> None:
    """A weekly task doesn't run twice if the clock is set back by a second."""
    source = """
    backend, weeks, made = open_backend(), 7 * 86400.0, []
    for week in (1, 2, 3, 2, 3, 2):  # after the third it is set back, twice
        made.append(await backend.add_slot(new("weekly"), week * weeks))
    return made
    """
    made = call(server, tmp_path, source)
    server.did += "\nwhere the clock is set back right after the third week has begun"
    cause = "the slot of the week before is due again, and nothing says that its job "
    cause += "was made. Keep the slot before this one, however old it is"
    if made[0]:
        cause = FIRST_SLOT
    with server.likely(cause):
        assert made == [False, True, True, False, False, False]


@pytest.mark.todo("12.8")
def test_a_week_with_three_workers(server: AppServer, tmp_path: Path) -> None:
    """Three workers make one job a slot, through restarts and a clock that goes back.

    A week is simulated. The clock is set back by an hour right after the nightly slot,
    right after the weekly one, and on an afternoon.
    """
    source = """
    class Hourly: every, cron = 3600.0, None
    class Nightly: every, cron = None, "0 3 * * *"
    class Weekly: every, cron = None, "0 0 * * MON"
    tasks = {"hourly": Hourly, "nightly": Nightly, "weekly": Weekly}
    made, now, back = [], begin, set(backs)

    async def look(worker, late):
        backend, stored = worker
        for name, task in tasks.items():
            slot = latest_slot(task, now + late)
            if slot != stored.get(name):
                if await backend.add_slot(new(name), slot):
                    made.append([name, slot])
                stored[name] = slot

    def start():
        return open_backend(clock=lambda: now), {}

    workers, looks = [start() for _ in range(3)], 0
    while now <= end:
        lates = 0.0, 0.7, 1.4  # they don't look at the same moment
        await asyncio.gather(*map(look, workers, lates))
        looks += 1
        if looks % 25 == 0:
            workers[looks // 25 % 3] = start()
        if looks % 120 == 0:  # the whole app
            workers = [start() for _ in workers]
        now += 1200
        if now in back:
            back.remove(now)
            now -= 3600
    return made, [task for task, in select("task")], sorted(back)
    """
    begin, end = at("2026-03-05 12:10"), at("2026-03-12 12:10")
    backs = ["2026-03-07 03:10", "2026-03-09 00:10", "2026-03-10 15:30"]
    names = {"begin": begin, "end": end, "backs": [at(text) for text in backs]}
    made, rows, left = call(server, tmp_path, source, **names)
    server.did = "three workers, a simulated week, and a clock that is set back by an "
    server.did += "hour at " + ", ".join(backs)
    assert left == [], "the test has not set the clock back"
    due = {"hourly": 3600.0, "nightly": 86_400.0, "weekly": 7 * 86_400.0}
    first = {
        "hourly": at("2026-03-05 13:00"),
        "nightly": at("2026-03-06 03:00"),
        "weekly": at("2026-03-09 00:00"),
    }
    expected = []
    for name, seconds in due.items():
        slot = first[name]
        while slot <= end:
            expected.append([name, slot])
            slot += seconds
    found = Counter((name, slot) for name, slot in made)
    twice = sorted(name for (name, _), count in found.items() if count > 1)
    cause = "a slot whose job was made is in the table, so INSERT OR IGNORE says that "
    cause += "it is there, after a restart as well. Or was its row deleted too early?"
    with server.likely(cause):
        assert twice == [], "these tasks had two jobs for a slot"
    begun = any(slot < first[name] for name, slot in made)
    cause = "each slot after the first one of a task gets a job"
    with server.likely(FIRST_SLOT if begun else cause):
        assert sorted(made) == sorted(expected)
        assert Counter(rows) == Counter(name for name, _ in expected)


@pytest.mark.todo("12.8")
def test_a_periodic_task_runs(server: AppServer, tmp_path: Path) -> None:
    """Two workers run a task that is due each second, and go on after a kill -9."""
    sql = """
        SELECT (SELECT count(*) FROM slots WHERE task = 'probe_ticks'), count(*),
            sum(state = 'succeeded')
        FROM jobs WHERE task = 'probe_ticks'
    """

    def ran() -> int:
        return int(select(server, sql)[0][2] or 0)

    # The workers can do it only if this is so, and to wait for them takes much longer.
    source = """
    backend = open_backend()
    return [await backend.add_slot(new(), slot) for slot in (0.0, 1.0)]
    """
    made = call(server, tmp_path, source)
    cause = "insert the slot, and if that is a new one, its job"
    with server.likely(FIRST_SLOT if made[0] else cause):
        assert made == [False, True]
        server.did = "two workers that know a task with every = 1"
        server.until(lambda: ran() > 0, "a job of the task that has succeeded", 5)
    workers = server.info()["workers"].items()
    pid = next(w["pid"] for name, w in workers if "SajeWorker" in name)
    before, ready = ran(), server.output().count("SAJE worker ready")
    psutil.Process(pid).kill()
    server.did += f", and kill -9 {pid}"
    server.until(
        lambda: server.output().count("SAJE worker ready") > ready,
        "another worker in place of the one that was killed",
    )
    server.until(lambda: ran() > before + 1, "two more jobs of the task")
    slots, jobs, _ = select(server, sql)[0]
    cause = "each slot but the first one of a task has one job"
    if jobs > slots:
        cause += ". If slots are missing, their rows were deleted too early"
    with server.likely(cause):
        assert jobs == slots - 1
    for values in ("every = 0.5", "every, cron = 60, '* * * * *'", "cron = 'daily'"):
        source = f"class Due(Task):\n    name = 'due'\n    {values}"
        defined = server.request("POST", "/probe/define", {"source": source})
        assert defined.json == {"raised": "TypeError", "changed": {}}, values
