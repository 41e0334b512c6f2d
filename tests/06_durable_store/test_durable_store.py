"""Step 06: jobs in a database, which outlive every process."""

import json
import signal
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from app_server import AppServer, Call, StartServer

SETUP = """
import builtins
from saje_probe_sqlite import *
other = Beside(folder)
put, backend = other.put, other.open()

def rows():
    names = "seq, uid, task, kwargs, state, attempt, worker, submitted_at, "
    names += "started_at, finished_at, result, error"
    found = other.rows(names.replace("uid", "lower(hex(uid))"))
    return [dict(zip(names.split(", "), row)) for row in found]
"""
"""What the calls of these tests begin with: a backend, and a connection beside it."""


def stored(server: AppServer) -> int:
    """Return how many jobs are in the app's database."""
    return int(server.select("SELECT count(*) FROM jobs")[0][0])


def on_disk(server: AppServer, uid: str) -> tuple[str, int]:
    """Return the state and the attempt of a job, which must be committed."""
    sql = "SELECT state, attempt FROM jobs WHERE uid = ?"
    found = server.select(sql, uuid.UUID(uid).bytes)
    with server.likely("202 was sent although the row isn't committed"):
        assert found, "no row"
    return tuple(found[0])


@pytest.mark.todo("6.1")
def test_a_write_is_committed(server: AppServer, call: Call) -> None:
    """Others see all of a write once it has returned, and nothing of it before."""
    source = """
    seen = []
    def writing(db):
        for _ in range(2):
            put(db=db)
            seen.append(len(rows()))
        return "what the function returns"
    returned = await write(backend, writing)
    return seen, len(rows()), returned
    """
    seen, after, returned = call(source)
    with server.likely("without a BEGIN, each statement commits itself"):
        assert seen == [0, 0]
    with server.likely(
        "the caller believes that the changes are stored, and nobody else sees them. "
        "COMMIT once the function has returned"
    ):
        assert after == 2
    with server.likely("_commit() returns what the function has returned"):
        assert returned == "what the function returns"


@pytest.mark.todo("6.1")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("RuntimeError", "RuntimeError: on purpose"),
        ("SystemExit", "SystemExit: on purpose"),
        ("a full disk", "OSError: the database can't be written: database or disk is"),
    ],
    ids=["error", "exit", "full"],
)
def test_a_write_is_all_or_nothing(
    server: AppServer, call: Call, kind: str, expected: str
) -> None:
    """If a write raises, nothing of it is left, and the next write works."""
    source = """
    put()
    def fail(db):
        put(db=db)
        if kind == "a full disk":
            put(db=db, kwargs="x" * 100_000)
        raise getattr(builtins, kind)("on purpose")
    async def attempt(function):
        try:
            with limited(backend, kind) if kind in LIMITS else nullcontext():
                await write(backend, function)
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
    raised = await attempt(fail)
    left = len(rows())
    return raised, left, await attempt(lambda db: put(db=db)), len(rows())
    """
    raised, left, again, after = call(source, kind=kind)
    server.did += f"\nwith kind = {kind!r}"
    with server.likely(
        "half of the changes stay. If the function raises anything, even SystemExit, "
        "undo what it has changed: ROLLBACK"
    ):
        assert left == 1, f"{left} rows, of which the first was there before"
    with server.likely(
        "the write that failed has left its transaction open. Whatever is raised needs "
        "a ROLLBACK, and `except Exception` misses SystemExit, for example"
    ):
        assert again is None
        assert after == 2
    with server.likely(
        "whoever called must hear what went wrong, so let the exception out after the "
        "ROLLBACK. If the disk is full, SQLite has rolled back already, and a second "
        "ROLLBACK is an error that hides the first: see self._db.in_transaction"
    ):
        assert str(raised).startswith(expected)


@pytest.mark.todo("6.1")
def test_nobody_writes_in_between(server: AppServer, call: Call) -> None:
    """While a function first reads and then writes, no other process can write."""
    source = """
    between = []
    other.db.execute("PRAGMA busy_timeout = 0")
    def reads_then_writes(db):
        found = db.execute("SELECT * FROM jobs").fetchall()
        try:
            put()
        except sqlite3.OperationalError as error:
            between.append(str(error))
        put(f"after {found}", db)
    raised = None
    try:
        await write(backend, reads_then_writes)
    except OSError as error:
        raised = str(error)
    return raised, between
    """
    raised, between = call(source)
    with server.likely(
        "another process wrote in between, so what the function had read was no longer "
        "true, and SQLite refuses such a write. BEGIN IMMEDIATE lets the others wait"
    ):
        assert raised is None
        assert between == ["database is locked"]


@pytest.mark.todo("6.2")
def test_a_job_is_a_row(server: AppServer, call: Call) -> None:
    """A new job is a queued row with exactly the values that it was given."""
    source = """
    before = time.time()
    returned = [await backend.add(NewJob(uuid4(), text, text)) for text in texts]
    times = [before, *(row["submitted_at"] for row in rows()), time.time()]
    return rows(), [uid and uid.hex for uid in returned], times == sorted(times)
    """
    texts = [
        '{"name":"Ada"}',
        """{"text": "it's \\"quoted\\", ümläute, \U0001f600"}""",
        """{"name": "'); DROP TABLE jobs; --"}""",
    ]
    found, returned, in_order = call(source, texts=texts)
    with server.likely("add() must INSERT a row for each job"):
        assert len(found) == len(texts)
    with server.likely("store the task and the kwargs exactly as the job has them"):
        assert [row["task"] for row in found] == texts
        assert [row["kwargs"] for row in found] == texts
    with server.likely("the uid is stored as 16 bytes, job.uid.bytes, and returned"):
        assert [row["uid"] for row in found] == returned
    with server.likely("a new job is queued, and nobody has claimed it yet"):
        for row in found:
            assert (row["state"], row["attempt"]) == ("queued", 0)
            assert row["started_at"] is row["finished_at"] is row["worker"] is None
    with server.likely("submitted_at is time.time(), when the job is added"):
        assert in_order, [row["submitted_at"] for row in found]


@pytest.mark.todo("6.2")
def test_a_uid_that_is_taken_is_refused(server: AppServer, call: Call) -> None:
    """A second job with the uid of another is a ValueError, and changes nothing."""
    source = """
    uid, raised = uuid4(), None
    await backend.add(NewJob(uid, "first", "{}"))
    try:
        await backend.add(NewJob(uid, "second", "{}"))
    except ValueError:
        raised = "ValueError"
    return raised, [row["task"] for row in rows()]
    """
    raised, tasks = call(source)
    with server.likely(
        "the client believes that its job was stored, and it wasn't, or it took the "
        "place of another job. Use a plain INSERT, which raises IntegrityError"
    ):
        assert (raised, tasks) == ("ValueError", ["first"])


@pytest.mark.todo("6.3")
def test_the_oldest_are_claimed(server: AppServer, call: Call) -> None:
    """claim() takes the oldest queued jobs, as many as are wanted, and no others."""
    source = """
    for number, state in enumerate(states):
        put(state=state, attempt=4, task=f"task {number}", kwargs=f'{{"n":{number}}}')
    before, began = rows(), time.time()
    claims = []
    for free in (2, 0, 10, 10):
        found = (await claim(backend, free, f"worker {free}"))[0]
        claims.append([(c.seq, c.uid.hex, c.task, c.kwargs, c.attempt) for c in found])
        if free == 2:
            between = rows()
    return claims, before, between, rows(), began, time.time()
    """
    states = ["succeeded", *["queued"] * 3, "running", "queued", "queued", "failed"]
    found = call(source, states=states)
    server.did += f"\nwith rows in these states: {', '.join(states)}"
    claims, before, between, after, began, end = found
    claimed = [[number for number, *_ in found] for found in claims]
    with server.likely(
        "the oldest job is the one with the smallest seq. Claim only what is queued, "
        "ORDER BY seq, and return the claims in this order"
    ):
        assert claimed[0], "no claims"
        assert claimed[0][:2] == [2, 3]
    with server.likely("claim no more than `free` jobs: LIMIT"):
        assert claimed[:2] == [[2, 3], []]
    with server.likely("queued jobs that nobody has claimed yet stay as they are"):
        assert [before[0], *before[3:]] == [between[0], *between[3:]]
    with server.likely("what is claimed isn't queued any more, so it is claimed once"):
        assert claimed[2:] == [[4, 6, 7], []]
    for worker, found in (("worker 2", claims[0]), ("worker 10", claims[2])):
        for seq, *values in found:
            row = after[seq - 1]
            with server.likely(
                "a Claim has the values of its row, and counts the attempt, or nobody "
                "could tell this run of a job from an earlier one: attempt + 1"
            ):
                assert values == [row["uid"], row["task"], row["kwargs"], 5]
            with server.likely("the row says that it is running, and the attempt"):
                assert (row["state"], row["attempt"]) == ("running", 5)
            with server.likely("note in the row who has claimed it, and when"):
                assert row["worker"] == worker
                assert began <= (row["started_at"] or 0) <= end


FINISH = """
put(state="running", attempt=1)
put(state=state, attempt=2, worker="w", started_at=5.0)
before = rows()
returned, rest = [], []
for seq, attempt, end, result, error in outcomes:
    outcome = Outcome(seq, attempt, JobState(end), result, error, 7.5)
    returned.append(await finish(backend, outcome))
    rest.append(rows())
return before, returned, rest
"""


@pytest.mark.todo("6.4")
@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_an_outcome_is_recorded(server: AppServer, call: Call, end: str) -> None:
    """The outcome of a running job is in its row, and a second one isn't."""
    error = '{"type": "ValueError", "message": "it\'s \\"7\\""}'
    values = ('["ü", 1]', None) if end == "succeeded" else (None, error)
    outcomes = [[2, 2, end, *values], [2, 2, "failed", None, '"another"']]
    names = {"state": "running", "outcomes": outcomes}
    before, returned, rest = call(FINISH, **names)
    server.did += f"\nwith outcomes = {outcomes}"
    with server.likely("finish() returns whether it has changed the row: rowcount"):
        assert returned[0] is True
    with server.likely("the UPDATE concerns one job: WHERE seq = :seq"):
        assert rest[0][0] == before[0]
    changed = {"state": end, "result": values[0], "error": values[1]}
    with server.likely("record state, result, error and finished_at of the outcome"):
        assert rest[0][1] == before[1] | changed | {"finished_at": 7.5}
    with server.likely("a job that has ended keeps its outcome: state = 'running'"):
        assert rest[1] == rest[0]
        assert returned[1] is False


@pytest.mark.todo("6.4")
@pytest.mark.parametrize(
    ("state", "seq", "attempt", "cause"),
    [
        ("running", 2, 1, "it is that of an earlier attempt, so compare the attempt"),
        ("queued", 2, 2, "the job waits for its next attempt, so it isn't running"),
        ("running", 99, 1, "there is no such job, so nothing was recorded"),
    ],
    ids=["earlier", "queued", "unknown"],
)
def test_a_late_outcome_is_refused(
    server: AppServer, call: Call, state: str, seq: int, attempt: int, cause: str
) -> None:
    """An outcome that comes too late returns False, and changes nothing."""
    outcomes = [[seq, attempt, "succeeded", '"late"', None]]
    outcomes.append([1, 1, "succeeded", '"in time"', None])
    names = {"state": state, "outcomes": outcomes}
    before, returned, rest = call(FINISH, **names)
    server.did += f"\nwith a row that is {state}, and outcomes = {outcomes}"
    with server.likely(f"this outcome must not be recorded: {cause}"):
        assert rest[0] == before
        assert returned[0] is False
    with server.likely("the outcome of another job is in time, so it is recorded"):
        assert returned[1] is True


@pytest.mark.todo("6.5")
def test_what_was_running_is_queued_again(server: AppServer, call: Call) -> None:
    """recover() queues what was running, leaves the rest alone, and keeps the order."""
    source = """
    for state in ("running", "queued", "succeeded", "running", "failed"):
        put(state=state, attempt=1, result='"kept"', worker="w", started_at=9.0)
    before = rows()
    counts = [await backend.recover(), await backend.recover()]
    after = rows()
    claims = (await claim(backend, 10, "worker"))[0]
    return before, counts, after, [(claim.seq, claim.attempt) for claim in claims]
    """
    before, counts, after, claims = call(source)
    states = [row["state"] for row in after]
    with server.likely(
        "a job that was running when the app died is queued, so that it runs again, "
        "and one that has ended stays as it is: WHERE state = 'running'"
    ):
        assert states == ["queued", "queued", "succeeded", "queued", "failed"]
    with server.likely("only the running ones change, and they keep their attempt"):
        for number in (1, 2, 4):
            assert after[number] == before[number]
        assert [row["attempt"] for row in after] == [1] * 5
    with server.likely("a job that is queued hasn't started: started_at is NULL"):
        assert [after[0]["started_at"], after[3]["started_at"]] == [None, None]
    with server.likely("recover() returns how many jobs were running: the rowcount"):
        assert counts == [2, 0]
    with server.likely(
        "a job that runs again has its place in the order, and another attempt"
    ):
        assert claims == [[1, 2], [2, 2], [4, 2]]


@pytest.mark.todo("6.6")
@pytest.mark.parametrize("state", [None, "queued", "failed"])
def test_pages_follow_each_other(
    server: AppServer, call: Call, state: str | None
) -> None:
    """Page by page, each job is listed once, even if new jobs arrive meanwhile."""
    source = """
    for number in range(10):
        values = {"state": states[number % 2], "started_at": float(number)}
        put(uid=UUID(int=number).bytes, **values)
    pages, after = [], None
    for _ in range(20):
        jobs, after = await backend.page(state and JobState(state), 3, after)
        pages.append([job.to_dict() for job in jobs])
        put(task="a new one", state=states[0])
        if after is None:
            break
    return pages, after
    """
    states = [state or "queued", "queued" if state == "failed" else "failed"]
    pages, after = call(source, states=states, state=state)
    server.did += f"\nwith state = {state!r}, states = {states}"
    numbers = range(8, -1, -2) if state else range(9, -1, -1)
    expected = [str(uuid.UUID(int=number)) for number in numbers]
    listed = [job["uid"] for page in pages for job in page]
    with server.likely("list the jobs in this state, or all if it is None: WHERE"):
        assert pages[0], "no jobs"
        assert {job["state"] for job in pages[0]} == set(states[: 1 if state else 2])
    with server.likely("the newest job has the largest seq: ORDER BY, and LIMIT"):
        assert [job["uid"] for job in pages[0]] == expected[:3]
    with server.likely("the cursor after a whole page is the seq of its last job"):
        assert len(pages) > 1, f"{listed}, and then {after}"
    with server.likely(
        "the next page begins right below the cursor: seq < ?. Rows that are skipped "
        "by their number move when a new job comes in"
    ):
        assert listed[: len(expected)] == expected
    with server.likely("the last page has the cursor None, so that a client stops"):
        assert after is None
        assert listed == expected
    with server.likely("a page that isn't full is the last one, so its cursor is None"):
        assert [len(page) for page in pages[:-1]] == [3] * (len(pages) - 1)
    with server.likely("details() makes the details from the COLUMNS of a row"):
        oldest = pages[-1][-1] if pages[-1] else pages[-2][-1]
        assert oldest["task"] == "hello"
        assert oldest["started_at"] == "1970-01-01T00:00:00.000000+00:00"


@pytest.mark.todo("6.7")
def test_202_means_committed(server: AppServer) -> None:
    """As soon as POST has answered 202, another program sees the job in the file."""
    uid = server.post("word_count", text="a b a")
    on_disk(server, uid)
    sql = "SELECT task, kwargs FROM jobs WHERE uid = ?"
    ((task, kwargs),) = server.select(sql, uuid.UUID(uid).bytes)
    assert (task, json.loads(kwargs)) == ("word_count", {"text": "a b a"})
    with server.likely("the worker and the servers need the same store, open_backend"):
        assert server.details(uid)["result"]["words"] == 3
    assert on_disk(server, uid) == ("succeeded", 1)
    before = stored(server)
    for kwargs in (b'{"name": NaN}', b'"Ada"'):
        body = b'{"task": "hello", "kwargs": %b}' % kwargs
        assert server.request("POST", "/v1/job", body).status == 400
    assert stored(server) == before, "a job that was refused is in the database"


@pytest.mark.todo("6.7")
def test_jobs_are_listed(server: AppServer) -> None:
    """GET /v1/job lists jobs, newest first, by state and page by page."""
    uids = [server.post("hello", seconds=0) for _ in range(3)]
    uids.append(server.post("probe_raises", kind="ValueError"))
    for uid in uids:
        server.details(uid)
    details, query = server.details(uids[3]), "limit=2"
    for expected in (uids[:1:-1], uids[1::-1]):
        reply = server.get(f"/v1/job?{query}")
        assert reply.status == 200, reply
        assert [job["uid"] for job in reply.json["jobs"]] == expected
        query = f"limit=2&after={reply.json['next']}"
    failed = server.get("/v1/job?state=failed&limit=1")
    assert failed.json["jobs"] == [details]
    assert server.get("/v1/job?after=1").json == {"jobs": [], "next": None}


@pytest.mark.todo("6.7")
def test_a_bad_query_is_refused(server: AppServer) -> None:
    """A query that can't be used is 400, and the message names the parameter."""
    assert server.get("/v1/job").status == 200
    for query in (
        *("state=paused", "state=", "limit=0", "limit=101", "limit=-1", "limit=many"),
        *("limit=", "after=x", "after=-1", "after=1.5", f"after={10**30}", "page=2"),
    ):
        reply = server.get(f"/v1/job?{query}")
        with server.likely("read_page() was given, and has been changed"):
            assert reply.status == 400, reply
            assert query.partition("=")[0] in reply.json["message"]


SYNCHRONOUS = """
from sanic import Sanic
backend = Sanic.get_app().ctx.saje.backend
if not isinstance(backend, SQLiteBackend):
    return None
return connection(backend).execute("PRAGMA synchronous").fetchone()[0]
"""
"""What the connection of a server has: 1 for normal, 2 for full."""


@pytest.mark.todo("6.7")
def test_sync_is_set(server: AppServer, call: Call) -> None:
    """SAJE_SYNC is "full" by default, and a value that isn't known is refused."""
    with server.likely("each server opens a SQLiteBackend, with the file and `sync`"):
        assert call(SYNCHRONOUS) == 2
    refusal = server.refusal("SAJE_SYNC", "fast")
    with server.likely("the check in create_saje() was given, and has been changed"):
        assert str(refusal).startswith("SAJE_SYNC must be"), refusal


@pytest.mark.todo("6.7")
def test_no_accepted_job_is_lost(
    start: StartServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9, what was queued or running runs again, and Ctrl+C fails no job."""
    server = start()
    release = server.data / "the-one-waited"
    ended = server.post("hello", name="Ada", seconds=0)
    before = server.details(ended)
    on_disk(server, ended)
    lost = [server.post("probe_waits", until=str(release))]
    server.running(lost[0])
    # From step 11 on, a worker that is killed alone loses its job at once.
    server.worker().suspend()
    lost += [server.post("hello", name=str(n), seconds=0) for n in range(3)]
    server.kill()
    monkeypatch.setenv("SANIC_SAJE_SYNC", "normal")
    again = start(after=server)
    with again.likely("open_backend passes `sync` on to the SQLiteBackend"):
        assert call(SYNCHRONOUS) == 1
    with again.likely("the file of the last run is opened again, and recover() called"):
        assert "Jobs that run again after the last stop: 1" in again.output()
        again.running(lost[0])
    release.touch()
    with again.likely("a job that was accepted runs after the next start"):
        for uid in lost:
            assert again.details(uid)["state"] == "succeeded"
    assert on_disk(again, lost[0])[1] == 2
    assert again.details(ended) == before
    late = again.post("hello", seconds=600)
    again.running(late)
    again.signal(signal.SIGINT, to_group=True)
    again.did = "Ctrl+C, while a job of 600 s ran"
    again.ended_well()
    with again.likely("a job that was interrupted has no outcome, so it runs again"):
        assert on_disk(again, late)[0] in ("running", "queued")


@pytest.mark.todo("6.7")
@pytest.mark.parametrize("kind", ["another file", "damaged", "foreign", "newer"])
def test_a_file_that_cannot_be_used_is_left_alone(
    server: AppServer, call: Call, tmp_path: Path, kind: str
) -> None:
    """A file that isn't ours, or is damaged, stops the start in words, unchanged."""
    source = """
    import functools
    import saje.creator
    try:
        await saje.creator.take_over(file, functools.partial(SQLiteBackend, file))
    except SystemExit as error:
        return str(error)
    """
    file = tmp_path / "another.db"
    assert stored(server) >= 0
    with (
        closing(sqlite3.connect(server.db)) as db,
        closing(sqlite3.connect(file)) as copy,
    ):
        if kind == "foreign":
            copy.execute("CREATE TABLE recipes (name)")
        elif kind != "another file":
            db.backup(copy)
        if kind == "newer":
            copy.execute("PRAGMA user_version = 99")
    if kind == "another file":
        file.write_text('{"uid":"f54e4ca4","state":"queued"}\n' * 100)
    if kind == "damaged":
        content = file.read_bytes()
        file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    before = file.read_bytes()
    refusal = str(call(source, file=str(file)))
    server.did = f"started the app with SANIC_SAJE_DB={file}, which is {kind}"
    with server.likely("the checks in saje/schema.py were given, and were changed"):
        assert refusal.startswith("SAJE_DB must name another file"), refusal
        assert str(file) in refusal
        assert file.read_bytes() == before


@pytest.mark.todo("6.7")
@pytest.mark.parametrize("limit", ["a full disk", "a read-only disk", "a lock"])
def test_post_says_that_the_store_cannot_write(server: AppServer, limit: str) -> None:
    """While the database can't be written, POST is 503 and stores nothing."""
    # More than the pages that an earlier job may have left free in the file.
    body = {"task": "word_count", "kwargs": {"text": "a b " * 450_000}}
    before = stored(server)
    with closing(sqlite3.connect(server.db, isolation_level=None)) as db:
        if limit == "a lock":
            db.execute("BEGIN IMMEDIATE")
            reply = server.request("POST", "/v1/job", body)
            db.execute("ROLLBACK")
        else:
            headers = {"probe-limit": limit}
            reply = server.request("POST", "/v1/job", body, headers=headers)
        server.did = f"POST /v1/job, while the database met {limit}"
        with server.likely("the job was accepted, or the handler failed, for OSError"):
            assert reply.status == 503, reply
        assert int(reply.headers["retry-after"]) > 0
        words = {"a lock": "is locked", "a full disk": "is full"}
        log = server.logged("The store of the jobs can't be used")
        assert words.get(limit, "readonly") in log
    assert stored(server) == before, "a job that was refused is in the database"
    with server.likely("after the disk or the lock is free again, POST has to work"):
        assert server.details(server.post("hello", seconds=0))["state"] == "succeeded"


@pytest.mark.todo("6.7")
def test_an_outcome_is_recorded_later(server: AppServer) -> None:
    """While the worker can't write, no outcome is lost, and no job that waits."""
    release = server.data / "writable-again"
    assert stored(server) >= 0
    with server.likely("worker() gets open_backend, which opens a SQLiteBackend"):
        uid = server.post("probe_read_only", until=str(release))
        try:
            server.logged("recorded yet")
            waiting = server.post("hello", seconds=0)
            assert on_disk(server, uid)[0] == "running"
            assert on_disk(server, waiting)[0] == "queued"
        finally:
            release.touch()
        assert server.details(uid)["result"] == "a result that has to wait"
        assert server.details(waiting)["state"] == "succeeded"
