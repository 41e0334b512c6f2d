"""Step 10: leases, by which a worker holds its jobs for as long as it lives."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from app_server import AppServer, Call

from workshop.core.pace import slowness

LEASE = round(slowness(), 1)
"""Seconds, as few as the app allows. A slow machine needs more, because its workers
would lose their leases all the time."""
SETTINGS = {"SAJE_WORKERS": 2, "SAJE_CONCURRENCY": 4, "SAJE_LEASE": LEASE}

SETUP = """
from saje.sqlite import beat, dismiss, reap
from saje_probe_scheduler import *
from saje_probe_sqlite import *
other, monotonic, tokens = Beside(folder), Clock(), new_tokens()
put, rows, db = other.put, other.rows, other.db
backend = other.open(monotonic=monotonic)

def leases():
    return dict(db.execute("SELECT name, alive_until FROM workers"))

def make(**answers):  # a worker, on a backend that notes what it does
    scheduler = make_scheduler(FakeBackend(**answers), Bell(tokens))
    scheduler._give_up = lambda: scheduler.backend.note("give up")
    return scheduler

async def beat_once(**answers):
    scheduler = make(**answers)
    await scheduler._beat()
    return scheduler.backend.events
"""
"""What the calls of these tests begin with."""


@pytest.mark.todo("10.1")
def test_a_beat_extends_a_lease(server: AppServer, call: Call) -> None:
    """The first beat begins a lease, and each further one extends it from now on.

    If nobody has ended a lease that is over, its worker keeps it, and its jobs.
    """
    source = """
    first = beat(db, [("a", 15), ("b", 30)], monotonic), leases()
    put("job", state="running", worker="a")
    monotonic.now += 100  # seconds
    later = beat(db, [("c", 7), ("a", 15)], monotonic), leases()
    return *first, *later, rows()
    """
    first, begun, found, left, jobs = call(source)
    server.did += "\nwith monotonic() at 1000, and then at 1100"
    with server.likely("a worker that has no row needs one: INSERT INTO workers"):
        assert begun.keys() == {"a", "b"}
    cause = "a lease ends `lease` seconds from now, and now is monotonic()"
    if begun["a"] > 1_000_000:
        cause = "that is the time of the wall clock, which somebody can set forward, "
        cause += "so that all leases are over at once. Use monotonic()"
    with server.likely(cause):
        assert begun == {"a": 1015, "b": 1030}
    with server.likely("UPDATE the row of this worker, and of no other"):
        assert left == {"a": 1115, "b": 1030, "c": 1107}
    with server.likely(
        "return for each beat whether its worker's row was there before, however late "
        "the beat is, because nobody has taken the jobs. The rowcount of the UPDATE "
        "says so"
    ):
        assert (first, found) == ([False, False], [False, True])
        assert jobs == [["job", "running"]]


@pytest.mark.todo("10.1")
def test_what_was_claimed_without_a_lease(server: AppServer, call: Call) -> None:
    """A worker that had lost its lease gives up what it has claimed since then."""
    source = """
    await backend.beat("b", 15)
    put("another's", state="running", worker="b", attempt=1)
    put("ended", state="succeeded", worker="a", attempt=1, result='"kept"')
    await backend.add(NewJob(new_uid(), "claimed", "{}"))
    claims, _ = await claim(backend, 1, "a")
    found = await backend.beat("a", 15)
    between = rows("task, state, attempt, started_at IS NULL, result")
    late = await finish(backend, succeeded(claims[0]))
    again, _ = await claim(backend, 1, "a")
    held = await backend.beat("a", 15)
    return found, between, late, [c.attempt for c in again], held, rows()
    """
    found, between, late, again, held, after = call(source)
    with server.likely("return whether the row was there before"):
        assert (found, held) == (False, True)
    cause = "the worker is about to give this job up, because beat() returns False. "
    cause += "But it stays 'running' and has a worker that is alive, so nobody ever "
    cause += "runs it. If there was no row, queue this worker's running jobs again"
    with server.likely(cause):
        assert between[2][:2] == ["claimed", "queued"]
    with server.likely("queue only this worker's own jobs, and only if they run"):
        assert between[0] == ["another's", "running", 1, 1, None], between[0]
        assert between[1] == ["ended", "succeeded", 1, 1, '"kept"'], between[1]
    with server.likely("it hasn't started, so use FRESH. Leave its attempt as it is"):
        _, _, attempt, not_started, _ = between[2]
        assert (attempt, bool(not_started)) == (1, True)
    assert (late, again) == (False, [2])
    with server.likely("a worker whose row is there keeps its jobs"):
        assert after[2] == ["claimed", "running"]


@pytest.mark.todo("10.2")
def test_a_dismissed_worker_has_no_lease(server: AppServer, call: Call) -> None:
    """The leases of the workers that are dismissed end, and no others."""
    source = """
    beat(db, [(name, 15) for name in ("a", "it's b", "c", "d")], monotonic)
    before = sorted(leases())
    returned = dismiss(db, ["it's b", "d", "unknown"])
    return before, returned, sorted(leases())
    """
    before, returned, left = call(source)
    with server.likely("there are no leases. Do the tests of TODO 10.1 pass?"):
        assert before == ["a", "c", "d", "it's b"]
    cause = "the others would take these workers to be alive for 15 seconds. Remove "
    cause += "the rows: DELETE FROM workers WHERE name = ?"
    if not left:
        cause = "the leases of all workers have ended, so everybody's jobs would be "
        cause += "taken. Remove only the rows of these workers: WHERE name = ?"
    with server.likely(cause):
        assert left == ["a", "c"]
    assert returned == [None] * 3


@pytest.mark.todo("10.2")
def test_a_worker_that_stops_has_no_lease(server: AppServer, call: Call) -> None:
    """A worker that stops ends its lease, and only its own."""
    source = """
    for name in ("probe", "another"):
        await backend.beat(name, 15)
    before = sorted(leases())
    scheduler = make_scheduler(backend, Bell(tokens))
    run = asyncio.create_task(scheduler.run())
    await became(lambda: scheduler._loop)
    scheduler.stop()
    await asyncio.wait_for(run, 20)
    return before, sorted(leases())
    """
    before, left = call(source)
    server.did += "\nwhere the worker is called probe"
    with server.likely("there are no leases. Do the tests of TODO 10.1 pass?"):
        assert before == ["another", "probe"]
    with server.likely("run() calls dismiss() at its end, which removes the row"):
        assert left == ["another"]


@pytest.mark.todo("10.3")
def test_the_jobs_of_a_dead_worker_wait_again(server: AppServer, call: Call) -> None:
    """When a lease is over, its worker's jobs wait again, and all others stay."""
    source = """
    for name in ("a", "b"):
        await backend.beat(name, 15)
    for task in ("a's first", "a's second", "b's"):
        await backend.add(NewJob(new_uid(), task, "{}"))
    old, _ = await claim(backend, 2, "a")
    await claim(backend, 1, "b")
    monotonic.now += 10
    await backend.beat("b", 15)
    early = await backend.reap(), rows(), sorted(leases())
    monotonic.now += 6
    found = [await backend.reap(), await backend.reap()]
    between = rows("task, state, attempt, started_at IS NULL")
    left = sorted(leases())
    again, _ = await claim(backend, 2, "b")
    taken = [(c.task, c.attempt) for c in again]
    late = [await finish(backend, succeeded(c)) for c in (*old, *again)]
    return early, found, between, left, taken, late
    """
    early, found, between, left, taken, late = call(source)
    server.did += "\nwhere the lease of a is over after 15 s, and that of b isn't"
    with server.likely("there are no leases. Do the tests of TODO 10.1 pass?"):
        assert early[2] == ["a", "b"]
    with server.likely(
        "both workers have a row and are alive, so their jobs have to stay. A lease is "
        "over only when alive_until is less than monotonic()"
    ):
        assert early[0] == 0
        assert " ".join(state for _, state in early[1]) == "running running running"
    with server.likely("the lease of a is over, so remove its row, and no other"):
        assert left == ["b"]
    with server.likely(
        "queue those jobs again that are running, and whose worker has no row"
    ):
        assert " ".join(row[1] for row in between) == "queued queued running"
    cause = "return how many jobs wait again: the rowcount of the UPDATE"
    if found == [0, 2]:
        cause = "the first call has only removed the row, and its jobs wait for the "
        cause += "next call. First the DELETE, then the UPDATE"
    elif found == [2, 2]:
        cause = "the second call has changed the same jobs once more, although they "
        cause += "wait already, and it would also let jobs that have ended run again. "
        cause += "Take only what is running"
    with server.likely(cause):
        assert found == [2, 0]
    with server.likely(
        "the attempt only grows, at a claim, because the late result of the old worker "
        "is refused by it"
    ):
        assert [row[2] for row in between] == [1, 1, 1]
    with server.likely("a job that waits hasn't started, so use FRESH"):
        assert [row[3] for row in between] == [1, 1, 0]
    assert taken == [["a's first", 2], ["a's second", 2]]
    with server.likely("the results of a come too late, and those of b count"):
        assert late == [False, False, True, True]


@pytest.mark.todo("10.3")
def test_only_running_jobs_are_taken(server: AppServer, call: Call) -> None:
    """If a worker has no row, its running jobs wait again. What has ended stays."""
    source = """
    beat(db, [("alive", 15)], monotonic)
    for state in JobState:
        put(f"gone, {state}", state=state, worker="gone", result='"kept"')
    put("alive, running", state="running", worker="alive")
    before = rows("task, state, result, error")
    return reap(db, [(), (), ()], monotonic), before, rows("task, state, result, error")
    """
    found, before, after = call(source)
    server.did += "\nso there are three calls of reap() in one batch"
    states = {task: state for task, state, *_ in after}
    with server.likely(
        "a worker that has no row isn't alive, whether its lease was over just now or "
        "long ago: worker NOT IN (SELECT name FROM workers)"
    ):
        assert states["gone, running"] == "queued"
    with server.likely("this worker has a row, so it is alive and runs the job"):
        assert states["alive, running"] == "running"
    with server.likely("a job that has ended must not run again: state = 'running'"):
        for old, new in zip(before, after, strict=True):
            assert new == old or old[0] == "gone, running"
    with server.likely(
        "there is a result for each of the calls. The first of them gets the rowcount, "
        "and what it has taken can't be taken once more, so the others get 0"
    ):
        assert sorted(found) == [0, 0, 1]


@pytest.mark.todo("10.4")
def test_a_beat_and_then_a_reap(server: AppServer, call: Call) -> None:
    """A worker extends its own lease, and then it takes the jobs of others."""
    events = call("return await beat_once()")
    server.did = "_beat(), of a worker called probe whose lease lasts 15 s"
    with server.likely("the lease isn't extended: await self.backend.beat(...)"):
        assert ["beat", "probe", 15] in events
    with server.likely(
        "nobody takes back what a dead worker has left: await self.backend.reap()"
    ):
        assert ["reap"] in events
    with server.likely(
        "if a worker reaps first and its own lease is over, it takes back its own jobs"
    ):
        assert events.index(["beat", "probe", 15]) < events.index(["reap"])
    with server.likely(
        "beat() has returned True, so the worker has its lease, and keeps its jobs"
    ):
        assert ["give up"] not in events
    assert events == [["beat", "probe", 15], ["reap"]]


@pytest.mark.todo("10.4")
def test_a_lost_lease_is_noticed_at_once(server: AppServer, call: Call) -> None:
    """A worker that has lost its lease gives up its jobs, before it does more."""
    events = call("return await beat_once(held=False)")
    server.did = "_beat(), when backend.beat() returns False"
    with server.likely(
        "the lease is gone, so others have the jobs: if beat() returns False, call "
        "self._give_up()"
    ):
        assert ["give up"] in events
    with server.likely(
        "while reap() waits for the store, a turn may claim new jobs under the new "
        "lease. They are ours, and you would give them up as well. So call _give_up() "
        "before reap()"
    ):
        assert " ".join(event[0] for event in events) == "beat give up reap"


@pytest.mark.todo("10.4")
def test_jobs_that_were_taken_are_announced(server: AppServer, call: Call) -> None:
    """A worker that takes jobs back says so, and rings for one that is idle."""
    source = """
    found = []
    for taken in (3, 0):
        lines = []
        with log_to(lines):
            events = await beat_once(taken=taken)
        found.append((tokens.acquire(block=False), lines))
    return events, found
    """
    events, found = call(source)
    server.did = "_beat(), when reap() returns 3, and then when it returns 0"
    (rang, lines), (rang_again, more) = found
    with server.likely("take jobs back: await self.backend.reap()"):
        assert ["reap"] in events
    with server.likely(
        "three jobs wait again, and the other workers don't know, so an idle one waits "
        "for up to a second: self.bell.ring()"
    ):
        assert rang, "nobody rang"
    with server.likely("say in the log how many jobs were taken"):
        assert any("3" in line for line in lines), lines
    with server.likely("nothing was taken, so there is nothing to say, or to ring for"):
        assert not rang_again, "a ring for nothing wakes a worker at each beat"
        assert more == []


@pytest.mark.todo("10.4")
@pytest.mark.parametrize("error", ["beat", "reap"])
def test_a_beat_that_fails(server: AppServer, call: Call, error: str) -> None:
    """While the store can't be used, a worker says so, and goes on with its jobs."""
    source = """
    scheduler, lines, raised = make(error=error), [], None
    events = scheduler.backend.events
    with log_to(lines):
        try:
            await scheduler._beat()
        except OSError as found:
            raised = str(found)
    first, scheduler.backend.error = events[:], None
    await scheduler._beat()
    return first, raised, lines, events[len(first):], tokens.acquire(block=False)
    """
    found = call(source, error=error)
    first, raised, lines, later, rang = found
    server.did = f"_beat(), while backend.{error}() raises OSError, and then once more"
    with server.likely("call beat() and reap() of self.backend"):
        assert [error] == [event[0] for event in first if event[0] == error]
    with server.likely(
        "an exception ends the task that repeats the beats, so the worker would lose "
        "its lease although it is alive. Catch OSError, log it, and return"
    ):
        assert raised is None
    with server.likely("log that the lease was not extended, and why"):
        assert any("lease" in line and "gone" in line for line in lines), lines
    with server.likely(
        "nobody knows whether the lease is gone, so keep the jobs until beat() says so"
    ):
        assert ["give up"] not in first
    assert later == [["beat", "probe", 15], ["reap"]]
    assert not rang


@pytest.mark.todo("10.4")
def test_a_worker_beats_again_and_again(server: AppServer, call: Call) -> None:
    """A worker beats before it claims a job, and then several times in each lease."""
    source = """
    backend = FakeBackend(error="reap")
    scheduler = make_scheduler(backend, Bell(tokens), lease=0.06)
    def beats():
        return [event for event in backend.events if event[0] == "beat"]
    async with running(scheduler) as run:
        await became(lambda: backend.looks or run.done())
        first = len(beats())
        backend.error = None
        enough = lambda: len(beats()) > 4 or run.done()
        return first, first and await became(enough, 20) and not run.done()
    """
    first, often = call(source)
    server.did = "a worker whose lease is short, and whose first reap() fails"
    with server.likely(
        "_beat() has to call self.backend.beat(self.worker, self.lease)"
    ):
        assert first, "the worker has looked for jobs, and has no lease"
    with server.likely(
        "a beat that fails must not be the last one, so don't let the OSError out"
    ):
        assert often, "after that, there were no more beats"


def held(server: AppServer, uid: str) -> tuple[psutil.Process, int]:
    """Wait until a job runs in a worker that has a lease.

    Returns:
        The process of the worker, and the number of the attempt.
    """
    sql = "SELECT worker, attempt FROM jobs JOIN workers ON worker = name "
    sql += "WHERE uid = ? AND state = 'running'"
    server.running(uid)
    with server.likely(
        "this worker has no lease, because its beats do nothing: _beat() has to call "
        "beat() of the backend"
    ):
        found = server.until(
            lambda: server.select(sql, UUID(uid).bytes),
            "a job that runs in a worker that has a lease",
            2,
        )
    worker, attempt = found[0]
    pid = re.search(r"\[(\d+)\]", worker)
    assert pid, f"the worker's name has no pid: {worker}"
    return psutil.Process(int(pid[1])), attempt


@pytest.mark.todo("10.5")
def test_jobs_that_are_given_up_are_interrupted(server: AppServer, call: Call) -> None:
    """A worker that gives up its jobs interrupts all of them, and records nothing."""
    source = """
    lines, jobs = [], [long_job(), long_job(), long_job()]
    backend = FakeBackend((jobs, False))
    scheduler = make_scheduler(backend, Bell(tokens), concurrency=4)
    async with running(scheduler):
        await became(lambda: len(scheduler.jobs) == 3)
        await asyncio.sleep(0)  # now each of them has begun
        tasks = list(scheduler.jobs)
        with log_to(lines):
            scheduler._give_up()
            asked = sum(task.cancelling() for task in tasks)
            if asked:
                await became(lambda: not scheduler.jobs)
            left = len(scheduler.jobs)
            await scheduler._turn()
    recorded = [event for event in backend.events if event[0] == "record"]
    return asked, left, recorded, [line for line in lines if "succeed" in line]
    """
    asked, left, recorded, failed = call(source)
    server.did += "\nwhere three jobs run, each of them for an hour"
    with server.likely(
        "others run these jobs by now, so their results here would be refused. Cancel "
        "each task"
    ):
        assert asked, "no task was cancelled"
    with server.likely("cancel all of the tasks, each of the keys of self.jobs"):
        assert (asked, left) == (3, 0)
    with server.likely(
        "for a job that was cancelled without a mark, execute() returns the outcome "
        "'failed'. So set job.interrupted, as the drain does"
    ):
        assert (recorded, failed) == ([], [])


@contextmanager
def paused(server: AppServer, worker: psutil.Process) -> Iterator[None]:
    """Stop a process, but not in the middle of a transaction, and let it go on."""

    def stopped() -> bool:
        worker.suspend()
        server.until(
            lambda: worker.status() == psutil.STATUS_STOPPED, "the worker is stopped"
        )
        try:
            with closing(sqlite3.connect(server.db, isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
                db.execute("ROLLBACK")
        except sqlite3.OperationalError:  # the worker holds the lock
            worker.resume()
            return False
        return True

    try:
        server.until(stopped, "the worker is stopped between two transactions")
        yield
    finally:
        worker.resume()


@pytest.mark.todo("10.5")
def test_a_worker_that_was_stopped(server: AppServer, tmp_path: Path) -> None:
    """A worker that was stopped for too long interrupts its job when it goes on."""
    gate = tmp_path / "gate"
    uid = server.post("probe_stays", until=str(gate))
    try:
        worker, attempt = held(server, uid)
        with paused(server, worker):
            server.did = "kill -STOP of a worker that runs a job, for longer than its "
            server.did += f"lease of {LEASE} s"
            with server.likely("the other worker has to take the job: see _beat()"):
                server.until(
                    lambda: server.details(uid, ended=False)["attempts"] > attempt,
                    "another attempt at the job",
                )
        server.did += ", and then kill -CONT"
        with server.likely(
            "the job runs in another worker by now, and the first one goes on with it "
            "anyway. Cancel the tasks of all jobs in _give_up()"
        ):
            server.logged(f"It was interrupted in {worker.pid}.")
    finally:
        gate.touch()
    details = server.details(uid)
    with server.likely(
        "the first worker has recorded an outcome for the job that it gave up. Set "
        "job.interrupted before the task ends"
    ):
        assert (details["state"], details["failures"]) == ("succeeded", [])
    assert details["result"] != worker.pid, "the result is that of the first worker"
    for value in ("0", "long"):
        refusal = server.refusal("SAJE_LEASE", value)
        assert str(refusal).startswith("SAJE_LEASE must be seconds"), refusal
