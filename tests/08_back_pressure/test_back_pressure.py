"""Step 08: commits for many jobs at a time, a backlog with an end, and a clean-up."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from app_server import AppServer, Call

BACKLOG = 3
SETTINGS = {"SAJE_BACKLOG": BACKLOG, "SAJE_CONCURRENCY": 1, "SAJE_KEEP": 1}

SETUP = """
import saje.sqlite
from saje.sqlite import add
from saje.store import LARGEST
from saje_probe_sqlite import *
from saje_probe_store import *
other = Beside(folder)
path, put, rows, version = other.path, other.put, other.rows, other.version

def new_jobs(*names):
    return [NewJob(new_uid(), name, "{}") for name in names]

async def prune(bite):
    saje.sqlite.BITE, backend = bite, other.open()
    traced = trace(backend._store._db)
    try:
        await asyncio.wait_for(backend.prune(1000.0), 10)
    except TimeoutError:
        return "endless"
    return traced("BEGIN")
"""
"""What the calls of these tests begin with. Only workers prune, not servers."""


@pytest.mark.todo("8.1")
@pytest.mark.parametrize("waiting", [3, 1200], ids=["few", "many"])
def test_a_batch_is_all_that_waits(server: AppServer, call: Call, waiting: int) -> None:
    """A batch has all requests that wait, in their order, up to LARGEST of them."""
    source = """
    store, batches = Store.__new__(Store), []
    store._requests = FakeRequests(range(waiting))
    while store._requests.items:
        batches.append(store._wait())
    return batches, store._requests.waits, LARGEST
    """
    batches, waits, largest = call(source, waiting=waiting)
    server.did += f"\nwith {waiting} requests that wait"
    with server.likely(
        "if only some requests are there, commit them. Those that come later go into "
        "the next batch, so take the others with get_nowait(), which doesn't wait"
    ):
        assert waits == 0, f"waited {waits} times although there was a request"
    sizes = [len(batch) for batch in batches]
    with server.likely(
        "one transaction must not hold up the other processes for long, so take no "
        "more than LARGEST requests at once"
    ):
        assert max(sizes) <= largest
    with server.likely("take all requests that are there by now, up to LARGEST"):
        assert sizes == ([3] if waiting == 3 else [500, 500, 200])
    with server.likely("the first request comes first"):
        assert [item for batch in batches for item in batch] == [*range(waiting)]


@pytest.mark.todo("8.2")
def test_a_batch_is_one_transaction(server: AppServer, call: Call) -> None:
    """A batch is one transaction, and requests in a row for a function are one call."""
    source = """
    db = connect(path, "normal")
    traced = trace(db)
    pairs = [(insert, "a"), (insert, "b"), (count, "c"), (count, "d"), (insert, "e")]
    results = named(commit(db, *pairs))
    return traced("BEGIN IMMEDIATE"), traced("COMMIT"), written, results, rows("task")
    """
    begun, committed, written, results, rows = call(source)
    with server.likely(
        "a commit costs the same for one request as for all of them, so begin before "
        "the loop, and commit after it"
    ):
        assert (begun, committed) == (1, 1)
    runs = [["insert", ["a", "b"]], ["count", ["c", "d"]], ["insert", ["e"]]]
    with server.likely(
        "groupby(batch, lambda request: request.write) yields the function, and the "
        "requests in a row that have it. Their order has to stay as it is"
    ):
        assert written == runs
    with server.likely("there is a result for each request, in the order of the batch"):
        expected = ["inserted a", "inserted b", "counted c", "counted d", "inserted e"]
        assert results == expected
    assert rows == [["a"], ["b"], ["e"]]


@pytest.mark.todo("8.2")
@pytest.mark.parametrize("bad", ["a", "raises"], ids=["taken", "raises"])
def test_one_bad_request_fails_alone(server: AppServer, call: Call, bad: str) -> None:
    """If one request of a batch fails, the others are committed nevertheless."""
    source = """
    db = connect(path, "normal")
    names = ["a", "b", bad, "c"]
    results = named(commit(db, *((insert, name) for name in names)))
    return results, rows("task"), named(commit(db, (insert, "later")))
    """
    results, rows, later = call(source, bad=bad)
    server.did += f"\nwith bad = {bad!r}, {'which is taken' if bad == 'a' else 'a bug'}"
    error = "ValueError" if bad == "a" else "RuntimeError"
    with server.likely(
        "_commit() tries each request alone after a batch has failed. That works only "
        "if nothing of the batch is left, so ROLLBACK, and let the exception out"
    ):
        assert results == ["inserted a", "inserted b", error, "inserted c"]
        assert rows == [["a"], ["b"], ["c"]]
    with server.likely("the transaction of the request that failed is still open"):
        assert later == ["inserted later"]


@pytest.mark.todo("8.2")
def test_a_batch_that_cannot_be_written(server: AppServer, call: Call) -> None:
    """If the disk is full or locked, each caller hears it, and nothing is stored."""
    source = """
    db = connect(path, "normal")
    db.execute("PRAGMA max_page_count = 12")
    results = commit(db, (insert, "a"), (insert, "large"), (insert, "b"))
    left = rows("task")
    db.execute("PRAGMA max_page_count = 1073741823")
    db.execute("PRAGMA busy_timeout = 0")
    other.db.execute("BEGIN IMMEDIATE")
    locked = named(commit(db, (insert, "c"), (count, "d")))
    other.db.execute("ROLLBACK")
    later = named(commit(db, (insert, "later")))
    return [repr(result) for result in results], left, locked, later
    """
    results, left, locked, later = call(source)
    server.did += "\non a disk that has no room for the large one"
    with server.likely(
        "a part of the batch is stored, although its callers hear that it isn't. Undo "
        "all of the batch: ROLLBACK"
    ):
        assert left == []
    with server.likely(
        "a full disk makes SQLite roll back by itself. Another ROLLBACK is an error "
        "then, which hides the first one: see self._db.in_transaction"
    ):
        full = "the database can't be written: database or disk is full"
        assert results == [repr(OSError(full))] * 3
    with server.likely("another process writes, so the BEGIN itself fails. Let it out"):
        assert locked == ["OSError"] * 2
        assert later == ["inserted later"]


@pytest.mark.todo("8.2")
def test_each_caller_gets_its_own_result(server: AppServer, call: Call) -> None:
    """Each caller gets its own result or exception, and may be cancelled."""
    source = """
    store = SlowStore(connect(path, "normal"))
    first = asyncio.create_task(store.do(count, "first"))
    await became(store.began.is_set)
    others = [asyncio.create_task(store.do(count, n)) for n in ("bad", "gone", "good")]
    await asyncio.sleep(0)
    others[1].cancel()
    await asyncio.sleep(0)
    store.gate.set()
    both = asyncio.gather(first, *others, return_exceptions=True)
    results = named(await asyncio.wait_for(both, 10))
    return written, results, await store.do(count, "last")
    """
    written, results, last = call(source)
    with server.likely("requests for one function are one call of it, as a list"):
        assert written[:2] == [["count", ["first"]], ["count", ["bad", "gone", "good"]]]
    expected = ["counted first", "ValueError", "CancelledError", "counted good"]
    with server.likely("there is a result for each request, in the order of the batch"):
        assert results == expected
        assert last == "counted last"


@pytest.mark.todo("8.3")
def test_the_backlog_is_filled_to_its_end(server: AppServer, call: Call) -> None:
    """Jobs are accepted while there is room, which a claim makes again."""
    source = """
    for state in ("queued", "running", "failed", "queued", "succeeded", "running"):
        put("old", state=state)
    def accepted(batch, results):
        pairs = zip(batch, named(results), strict=True)
        return [result == job.uid or result for job, result in pairs]
    db, found, jobs = connect(path, "normal"), [], new_jobs(*"abcdefgh")
    for batch in (jobs[:5], jobs[5:6]):
        found.append(accepted(batch, add(db, batch, 4)))
    other.db.execute("UPDATE jobs SET state = 'running' WHERE seq = 1")  # a claim
    found.append(accepted(jobs[6:], add(db, jobs[6:], 4)))
    return found, [task for task, state in rows() if state == "queued"]
    """
    found, queued = call(source)
    server.did += "\nso two jobs wait, and the backlog has room for four"
    full = "BacklogFull"
    with server.likely(
        "accept the first jobs while there is room: backlog - waiting of them. The "
        "jobs of this batch count as well. Each further one gets a BacklogFull() as "
        "its result, in the same order"
    ):
        assert found[0] == [True, True, full, full, full]
    with server.likely("the backlog is full, so this job is refused"):
        assert found[1] == [full]
    with server.likely("only jobs that are queued count, so a claim makes room"):
        assert found[2] == [True, full]
    with server.likely("insert the jobs that are accepted, and no others"):
        assert queued == ["old", "a", "b", "g"]


@pytest.mark.todo("8.3")
def test_the_backlog_is_exact(server: AppServer, call: Call) -> None:
    """However many jobs come at once from several servers, the backlog holds."""
    source = """
    backend = other.open(backlog=backlog)
    adding = (backend.add(job) for job in new_jobs(*["hello"] * 50))
    results = await asyncio.gather(*adding, return_exceptions=True)
    return [name for name in named(results) if isinstance(name, str)], len(rows())
    """
    backlog = 70
    call("return rows()")  # creates the database
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(call, source, backlog=backlog) for _ in range(4)]
    refused = [name for calls in made for name in calls.result()[0]]
    server.did += f"\nfour times at once, so 200 jobs, with a backlog of {backlog}"
    with server.likely(
        "count inside of add(), which is in the transaction, where nobody else can add "
        "a job. A number that was read before may be wrong by now"
    ):
        assert max(calls.result()[1] for calls in made) == backlog
        assert refused == ["BacklogFull"] * (200 - backlog)


@pytest.mark.todo("8.4")
def test_a_full_backlog_is_503(server: AppServer, tmp_path: Path) -> None:
    """POST answers 503 in words and stores nothing, until there is room again."""
    gate, job = tmp_path / "gate", {"task": "probe_says", "kwargs": {"text": "over"}}
    busy = server.post("probe_waits", until=str(gate))
    try:
        server.running(busy)
        for _ in range(BACKLOG):
            server.post("probe_says", text="waited")
        reply = server.request("POST", "/v1/job", job)
        server.did += f"\nwhile {BACKLOG} jobs wait, with SANIC_SAJE_BACKLOG={BACKLOG}"
        with server.likely(
            "catch BacklogFull, and raise ServiceUnavailable, which is a 503. (A 429 "
            "would mean that this client sends too much, but it's the app that is busy)"
        ):
            assert reply.status == 503, reply
        with server.likely(
            "without a Retry-After the client doesn't know when to try again. It is a "
            'header with a number of seconds: headers={"Retry-After": "1"}'
        ):
            assert "retry-after" in reply.headers, f"only {sorted(reply.headers)}"
            assert int(reply.headers["retry-after"]) > 0
        with server.likely("say in the message what has happened, and what to do"):
            assert reply.json["message"] != "Service Unavailable", reply
        with server.likely("a job that was refused must not be in the database"):
            sql = "SELECT count(*) FROM jobs WHERE state = 'queued'"
            assert server.select(sql) == [(BACKLOG,)]
    finally:
        gate.touch()
    server.until(
        lambda: server.request("POST", "/v1/job", job).status == 202,
        "a job is accepted again",
    )
    log = server.logged("")
    with server.likely("it isn't our mistake, so no traceback: quiet=True"):
        assert "Traceback" not in log, f"a traceback in the log:\n{log[-500:]}"
    refusal = server.refusal("SAJE_BACKLOG", "0")
    assert str(refusal).startswith("SAJE_BACKLOG must be a whole number"), refusal


@pytest.mark.todo("8.5")
def test_a_turn_is_one_transaction(server: AppServer, call: Call) -> None:
    """A turn records and claims in one transaction, and an idle one writes nothing."""
    source = """
    backend = other.open()
    for task in "abcde":
        put(task)
    await backend.turn([], "probe", 3)
    traced = trace(backend._store._db)
    # The seq and the attempt of each. The second one isn't of the latest attempt.
    ended = [(1, 1), (2, 0), (3, 1)]
    outcomes = [Outcome(*which, JobState.SUCCEEDED, "7") for which in ended]
    recorded, claims, more = await backend.turn(outcomes, "probe", 5)
    commits, names, before = traced("COMMIT"), [c.task for c in claims], version()
    await backend.turn([], "probe", 5)
    return commits, recorded, names, rows(), version() == before
    """
    commits, recorded, names, rows, same = call(source)
    with server.likely(
        "each commit waits for the disk, so one request has to do for both: the "
        "outcomes, the worker and the free slots are its item"
    ):
        assert commits == 1, f"{commits} commits"
    with server.likely("turn() returns a list with one tuple for each of its items"):
        assert recorded == [True, False, True]
        assert names == ["d", "e"]
    states = ["succeeded", "running", "succeeded", "running", "running"]
    assert rows == [[task, state] for task, state in zip("abcde", states, strict=True)]
    assert same, "a turn without anything to do has changed the database"


@pytest.mark.todo("8.6")
def test_only_old_jobs_that_have_ended_are_pruned(
    server: AppServer, call: Call
) -> None:
    """A job goes if it ended before the time. All others stay, however old they are."""
    source = """
    put("old", state="succeeded", finished_at=999.0)
    put("queued")
    put("running", state="running", started_at=2.0)
    put("ended late", state="succeeded", finished_at=1001.0)
    put("handed back", started_at=None)
    put("failed", state="failed", finished_at=2.0)
    put("new", state="succeeded", submitted_at=1001.0, finished_at=1002.0)
    await prune(500)
    left, before = rows("task"), version()
    await prune(500)
    return [task for task, in left], version() == before
    """
    left, same = call(source)
    with server.likely("a job that ended before the time has to go, failed or not"):
        assert not {"old", "failed"} & set(left)
    with server.likely(
        "jobs that wait or run have no finished_at, and have to stay, however long ago "
        "they were submitted"
    ):
        assert {"queued", "running", "handed back"} <= set(left)
    with server.likely("what counts is when the job ended: finished_at"):
        assert {"ended late", "new"} <= set(left)
    assert same, "there was nothing to prune, and yet the database has changed"


@pytest.mark.todo("8.6")
def test_jobs_are_pruned_in_small_bites(server: AppServer, call: Call) -> None:
    """Each transaction looks at the next BITE rows, until none is left."""
    source = """
    for number in range(35):
        state = "queued" if number < 12 else "succeeded"
        put(state, state=state, finished_at=2.0 if number >= 12 else None)
    return await prune(10), [task for task, in rows("task")]
    """
    bites, left = call(source)
    server.did += "\nwith a BITE of 10, 12 jobs that wait, and 23 old ones after them"
    with server.likely(
        "it never comes to an end. Return the seq of the last row, so that the next "
        "bite goes on after it, or None if there are no more rows"
    ):
        assert bites != "endless"
    with server.likely(
        "go on after the last row that you looked at, even if you deleted none of them"
    ):
        assert left == ["queued"] * 12
    with server.likely(
        "a long transaction holds up the others, so LIMIT a bite to BITE rows"
    ):
        assert 4 <= bites <= 5, f"{bites} bites"


@pytest.mark.todo("8.6")
def test_pruning_stops_at_new_jobs(server: AppServer, call: Call) -> None:
    """Beyond a row that was submitted after the time, there is nothing to look for."""
    source = """
    for number in range(40):
        new = {"submitted_at": 1001.0 + number, "finished_at": 2000.0}
        put("job", state="succeeded", **(new if number >= 10 else {"finished_at": 2.0}))
    return await prune(10), len(rows())
    """
    bites, left = call(source)
    server.did += "\nwith a BITE of 10, 10 old jobs, and 30 new ones after them"
    with server.likely("the old jobs have to go"):
        assert left == 30
    with server.likely(
        "with a million new jobs, each pruning would read them all. Stop at a bite "
        "whose last row was submitted after the time"
    ):
        assert bites <= 2, f"{bites} bites"


@pytest.mark.todo("8.6")
def test_an_old_job_is_forgotten(server: AppServer) -> None:
    """SAJE_KEEP seconds after its end, a job is unknown."""
    uid = server.post("probe_says", text="soon forgotten")
    server.outcome(uid)
    server.did = f"GET /v1/job/{uid}, again and again, with SANIC_SAJE_KEEP=1"
    with server.likely("prune() deletes the jobs that ended before the time"):
        server.until(
            lambda: server.http.get(f"/v1/job/{uid}").status_code == 404,
            "404 some time after the job has ended",
        )
    refusal = server.refusal("SAJE_KEEP", "long")
    assert str(refusal).startswith("SAJE_KEEP must be seconds"), refusal
