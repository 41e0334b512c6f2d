"""Step 07: many workers, which share the jobs and are woken by a bell."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from app_server import AppServer, Call

SLOTS = 4  # of each worker
SETTINGS = {"SAJE_WORKERS": 2, "SAJE_CONCURRENCY": SLOTS}
NAMES = ["Sanic-SajeWorker-0", "Sanic-SajeWorker-1"]

SETUP = """
from saje.threads import in_thread
from saje_probe_scheduler import *
from saje_probe_sqlite import *
other = Beside(folder)
put, rows = other.put, other.rows

def took(tokens):
    return tokens.acquire(block=False)
"""
"""What the calls of these tests begin with."""


def select(server: AppServer, columns: str, where: str = "true") -> list[Any]:
    """Return some columns of the jobs in the app's database."""
    return server.select(f"SELECT {columns} FROM jobs WHERE {where} ORDER BY seq")


@pytest.mark.todo("7.1")
def test_a_ring_adds_a_token(server: AppServer, call: Call) -> None:
    """Each ring adds a token that stays, and one that finds no room does no harm."""
    source = """
    class Full:
        def release(self):
            raise ValueError("semaphore or lock released too many times")
    tokens = new_tokens()
    Bell(tokens).ring()
    Bell(tokens).ring()
    added = [took(tokens) for _ in range(3)]
    try:
        Bell(Full()).ring()
    except ValueError as error:
        return added, str(error)
    return added, None
    """
    added, raised = call(source)
    with server.likely("a ring adds one token: self._tokens.release()"):
        assert added == [True, True, False]
    with server.likely(
        "the exception gets to whoever submits a job, although the job is stored. The "
        "tokens that are there wake a worker anyway, so suppress ValueError"
    ):
        assert raised is None


@pytest.mark.todo("7.2")
def test_all_tokens_are_taken_at_once(server: AppServer, call: Call) -> None:
    """The bell waits for a token, and then takes all that there are."""
    source = """
    tokens = new_tokens()
    bell = Bell(tokens)
    taking = asyncio.create_task(in_thread(bell._take))
    early = await became(taking.done, 0.2)
    tokens.release()
    done = await became(taking.done)
    for _ in range(5):
        tokens.release()
    again = asyncio.create_task(in_thread(bell._take))
    return early, done, await became(again.done), took(tokens)
    """
    early, done, again, left = call(source)
    with server.likely(
        "without a token there is nothing to do yet, so the first acquire() has to wait"
    ):
        assert not early, "_take() returned before there was a token"
    with server.likely(
        "it waits for ever, although there is a token. Only the first acquire() waits, "
        "and it waits for self._tokens. Take the others with block=False"
    ):
        assert (done, again) == (True, True), "_take() didn't return"
    with server.likely(
        "one look answers all rings, so take all the tokens, or the worker looks again "
        "for each of them"
    ):
        assert not left, "a token was left after five rings"


@pytest.mark.todo("7.3")
def test_a_busy_worker_leaves_the_token(server: AppServer, call: Call) -> None:
    """A worker without a free slot doesn't arm the bell, so a token stays."""
    source = """
    tokens = new_tokens()
    bell = CountingBell(tokens)
    scheduler = make_scheduler(FakeBackend(([long_job()], False)), bell)
    async with running(scheduler):
        busy = await became(lambda: scheduler.jobs)
        bell.ring()
        return busy, bell.arms, took(tokens)
    """
    busy, arms, left = call(source)
    assert busy, "the job was claimed, and isn't running"
    with server.likely(
        "with all slots taken the worker can't use a token, but it takes the one that "
        "an idle worker needs. Arm the bell only while len(self.jobs) is smaller than "
        "self.concurrency"
    ):
        assert arms == 0, f"armed {arms} times, although the only slot was taken"
        assert left, "the token is gone"


@pytest.mark.todo("7.3")
def test_a_token_is_passed_on(server: AppServer, call: Call) -> None:
    """If the last slot was taken since the bell was armed, the ring is passed on."""
    source = """
    tokens = new_tokens()
    scheduler = make_scheduler(FakeBackend(), Bell(tokens))
    scheduler.jobs["a task"] = "a job"
    scheduler._rung()
    passed = took(tokens)
    scheduler.jobs.clear()
    scheduler.awake.clear()
    scheduler._rung()
    return passed, scheduler.awake.is_set(), took(tokens)
    """
    passed, awake, again = call(source)
    with server.likely(
        "this worker has taken the token and can't use it, so a job waits although "
        "another worker is idle. Pass it on: self.bell.ring()"
    ):
        assert passed, "no token after _rung(), although there was no free slot"
    with server.likely("with a free slot the worker looks itself: self.awake.set()"):
        assert awake, "_rung() with a free slot, and the worker isn't awake"
        assert not again, "a worker with a free slot rings as well"


@pytest.mark.todo("7.3")
def test_an_idle_worker_looks_once_a_second(server: AppServer, call: Call) -> None:
    """Without a ring, an idle worker looks about once a second."""
    source = """
    backend = FakeBackend()
    async with running(make_scheduler(backend, Bell(new_tokens()))):
        await became(lambda: backend.looks)
        began = time.monotonic()
        looked = await became(lambda: len(backend.looks) > 2, 20)
        return looked, time.monotonic() - began
    """
    looked, seconds = call(source)
    with server.likely(
        "a ring may get lost when a process is killed, so the worker has to look even "
        "if nobody rings, about once a second"
    ):
        assert looked, f"it didn't look twice within {seconds:.0f} s"
    with server.likely("set TICK to a second, because the bell does the rest now"):
        assert seconds > 0.8, f"it looked twice within {seconds:.1f} s"


@pytest.mark.todo("7.3")
def test_a_ring_wakes_an_idle_worker(server: AppServer, call: Call) -> None:
    """A worker with a free slot looks at once when somebody rings, time and again."""
    source = """
    backend, bell, tick = FakeBackend(), Bell(new_tokens()), saje.scheduler.TICK
    saje.scheduler.TICK = 3600
    try:
        async with running(make_scheduler(backend, bell)):
            for looks in (1, 2, 3):
                if not await became(lambda: len(backend.looks) >= looks):
                    return len(backend.looks)
                bell.ring()
            return len(backend.looks)
    finally:
        saje.scheduler.TICK = tick
    """
    looks = call(source)
    server.did += "\nwith a TICK of an hour"
    with server.likely(
        "as long as there is a free slot, _wait() arms the bell each time, and _rung() "
        "sets self.awake"
    ):
        assert looks == 3, f"{looks} looks, although the bell was rung after each"


@pytest.mark.todo("7.4")
@pytest.mark.parametrize(
    ("workers", "free", "sizes"),
    [
        (2, 64, [5, 3, 1, 1, 0]),
        (3, 64, [4, 2, 2, 1, 1, 0]),
        (2, 3, [3, 3, 2, 1, 1, 0]),
        (3, 1, [1] * 10 + [0]),
        (1, 4, [4, 4, 2, 0]),
    ],
    ids=["two", "three", "few_slots", "one_slot", "one_worker"],
)
def test_a_claim_is_a_fair_share(
    server: AppServer, call: Call, workers: int, free: int, sizes: list[int]
) -> None:
    """A worker gets its share of the jobs that wait, rounded up, the oldest first."""
    source = """
    backend, found = other.open(workers=workers), []
    for name in names:
        put(name)
    while len(found) < 20:
        claims, more = await claim(backend, free)
        found.append(([claim.task for claim in claims], more))
        if not claims:
            break
    return found
    """
    names = list("abcdefghij")
    found = call(source, workers=workers, free=free, names=names)
    server.did += (
        f"\nwith {workers} workers, {free} free slots, and these jobs: {names}"
    )
    sizes_found = [len(claims) for claims, _ in found]
    claimed = [name for claims, _ in found for name in claims]
    cause = "the share is the number of jobs that wait, divided by the number of "
    cause += "workers, rounded up, and no more than `free`"
    if sizes_found[0] == len(names):
        cause = "the first worker that looks gets all jobs, and the others stay idle"
    elif len(claimed) < len(names):
        cause = "the share is rounded down, so the last job is never claimed"
    elif max(sizes_found) > free:
        cause = "the worker doesn't have so many free slots"
    with server.likely(cause):
        assert sizes_found == sizes
    with server.likely("the oldest come first, and each job is claimed once"):
        assert claimed == names
    more = [left for _, left in found]
    expected = [sum(sizes[:n]) < len(names) for n in range(1, len(sizes) + 1)]
    with server.likely(
        "the second value says whether jobs are left, which nobody can tell if the "
        "limit of COUNT is too low. All workers together can take free * workers jobs, "
        "so the limit has to be one more"
    ):
        assert more == expected


@pytest.mark.todo("7.5")
def test_a_claim_that_leaves_jobs_rings(server: AppServer, call: Call) -> None:
    """A worker that leaves jobs behind wakes another one, and otherwise nobody."""
    source = """
    tokens, found = new_tokens(), []
    for more in (True, False):
        scheduler = make_scheduler(FakeBackend(([long_job()], more)), Bell(tokens))
        async with running(scheduler):
            await became(lambda: scheduler.jobs)
            found.append(took(tokens))
    return found
    """
    left, nothing_left = call(source)
    with server.likely(
        "this worker took the tokens of all these jobs. If it leaves some, it has to "
        "ring again, or the others don't look before the next second"
    ):
        assert left, "no token, although there are more jobs"
    with server.likely("nothing is left, so don't ring"):
        assert not nothing_left, "a token, although there are no more jobs"


@pytest.mark.todo("7.6")
def test_a_released_job_waits_again(server: AppServer, call: Call) -> None:
    """A job that is handed back waits in its old place, and keeps its attempts."""
    source = """
    backend = other.open()
    for name in "abc":
        put(name)
    claims, _ = await claim(backend, 2)
    await backend.release(claims)
    await backend.release([])
    released = rows("state, attempt, started_at IS NULL")
    put("d")
    again, _ = await claim(backend, 3)
    return released, [(job.task, job.attempt) for job in again]
    """
    released, again = call(source)
    with server.likely(
        "the jobs stay running, and nobody runs them. Set their state to 'queued'"
    ):
        assert [state for state, *_ in released] == ["queued"] * 3
    with server.likely(
        "the attempt only grows, at a claim. It is what tells an outcome of an old "
        "attempt from one of the latest"
    ):
        assert [attempt for _, attempt, _ in released] == [1, 1, 0]
        assert [attempt for _, attempt in again] == [2, 2, 1]
    with server.likely("it hasn't started: set started_at to NULL"):
        assert [waits for *_, waits in released] == [1, 1, 1]
    with server.likely("the job keeps its seq, which is its place in the line"):
        assert [name for name, _ in again] == ["a", "b", "c"]


@pytest.mark.todo("7.6")
def test_only_the_latest_attempt_is_released(server: AppServer, call: Call) -> None:
    """A job that has ended, or was claimed again since, isn't queued by release."""
    source = """
    backend = other.open()
    for name in ("ended", "claimed again", "running"):
        put(name)
    old, _ = await claim(backend, 3)
    await finish(backend, succeeded(old[0]))
    await backend.release([old[1]])
    await claim(backend, 3)
    await backend.release(old)
    return rows("task, state, attempt")
    """
    rows = call(source)
    states = {name: (state, attempt) for name, state, attempt in rows}
    with server.likely("jobs that were handed back have to be queued"):
        assert states["running"] == ("queued", 1)
    with server.likely("it would run again although it has ended: `state = 'running'`"):
        assert states["ended"] == ("succeeded", 1)
    with server.likely(
        "another worker runs it by now, so compare the attempt of the claim with that "
        "of the job"
    ):
        assert states["claimed again"] == ("running", 2)


@pytest.mark.todo("7.6")
def test_a_stopped_worker_hands_its_jobs_back(
    server: AppServer, tmp_path: Path
) -> None:
    """What a stopped worker can't finish runs again in another one, and succeeds."""
    gate, ready = tmp_path / "gate", server.output().count("SAJE worker ready")
    # More than one worker has slots for, so that each worker runs some of them.
    uids = [server.post("probe_waits", until=str(gate)) for _ in range(SLOTS + 1)]
    mine = f"worker LIKE '{NAMES[0]}%' AND state = 'running'"
    try:
        found = server.until(
            lambda: select(server, "hex(uid), attempt", mine), f"a job in {NAMES[0]}"
        )
        server.restart_worker()
        with server.likely(
            "the worker was stopped, and its job is still 'running', although nobody "
            "runs it. release() has to put it back in the queue"
        ):
            where = f"hex(uid) = '{found[0][0]}' AND attempt > {found[0][1]}"
            server.until(
                lambda: select(server, "state", where), "the job runs once more"
            )
    finally:
        gate.touch()
    ended = [server.details(uid)["state"] for uid in uids]
    assert ended == ["succeeded"] * len(uids)
    server.until(
        lambda: server.output().count("SAJE worker ready") > ready,
        "the worker is there again",
    )


@pytest.mark.todo("7.7")
def test_there_are_as_many_workers_as_set(server: AppServer) -> None:
    """SAJE_WORKERS says how many workers there are, and has to be a number."""
    info = server.info()["workers"]
    found = {name: worker["pid"] for name, worker in info.items() if "Saje" in name}
    server.did += "\nwith SANIC_SAJE_WORKERS=2"
    with server.likely("manage() starts one process, unless `workers` says more"):
        assert sorted(found) == NAMES
    assert len(set(found.values())) == 2
    with server.likely("a Manager is there, although there is no queue any more"):
        # From step 11 on, a worker that died in another test may be starting just now.
        server.until(lambda: len(server.managers()) == 1, "one Manager, Sanic's own")
    for value in ("0", "many", "1.5"):
        refusal = server.refusal("SAJE_WORKERS", value)
        assert str(refusal).startswith("SAJE_WORKERS must be a whole number"), refusal


@pytest.mark.todo("7.7")
def test_two_workers_share_the_jobs(server: AppServer, tmp_path: Path) -> None:
    """Two workers run twice as many jobs, and each job exactly once."""
    gate, mine = tmp_path / "gate", f"seq > {len(select(server, 'seq'))}"
    try:
        for _ in range(2 * SLOTS):
            server.post("probe_waits", until=str(gate))
        with server.likely(
            "a single worker takes no more than its slots. Let Sanic start as many "
            "processes as SAJE_WORKERS says"
        ):
            server.until(
                lambda: select(server, "state", mine) == [("running",)] * 2 * SLOTS,
                f"two workers run {2 * SLOTS} jobs, because each has {SLOTS} slots",
            )
        # The servers answer all the time, because the jobs block other processes.
        assert {*NAMES} <= server.info()["workers"].keys()
        with ThreadPoolExecutor(8) as pool:
            texts = [f"number {number}." for number in range(200)]
            list(pool.map(lambda t: server.post("probe_says", text=t), texts))
    finally:
        gate.touch()
    server.did = f"POST of {2 * SLOTS} jobs that wait, and then of 200 short ones"
    server.until(
        lambda: set(select(server, "state", mine)) == {("succeeded",)},
        "all of them succeed",
        20,
    )
    # From step 10 on, the pid follows the name.
    names = {row[0].partition(" ")[0] for row in select(server, "worker", mine)}
    assert sorted(names) == NAMES
    log = server.logged("")
    ran = {text: log.count(f"Somebody says: {text}\n") for text in texts}
    assert {text: times for text, times in ran.items() if times != 1} == {}
