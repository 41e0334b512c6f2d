"""Step 11: what has died is started again, but a poisonous job isn't."""

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest
from app_server import AppServer

SLOTS = 8  # of each worker
RESTART = 20.0  # seconds, on a quiet machine, for a process and what it needs
SETTINGS = {"SAJE_WORKERS": 2, "SAJE_CONCURRENCY": SLOTS}
WORKERS = ["Sanic-SajeWorker-0", "Sanic-SajeWorker-1"]

SETUP = """
import asyncio
import json
import random
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from uuid import UUID, uuid4
import app.info
import saje.scheduler
import saje.threads
from sanic.worker.constants import ProcessState
from saje.model import Claim, JobState, NewJob, Outcome, new_uid
from saje.schema import connect
from saje.sqlite import SQLiteBackend
from saje.wake import Bell, new_tokens
from saje_probe_parts import became, claim, finish, log_to
from saje_probe_scheduler import LeaseBackend, make_scheduler
from saje_probe_supervisor import OVER, FakeProcess, Watched
path = Path(folder) / "jobs.db"
other = connect(path, "normal")  # beside the one that is tested

def put(task, **columns):
    columns = {"uid": uuid4().bytes, "task": task, "kwargs": "{}"} | columns
    columns = {"state": "queued", "submitted_at": 1.0} | columns
    marks = ", ".join("?" * len(columns))
    sql = f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({marks})"
    other.execute(sql, tuple(columns.values()))

def rows(columns):
    return other.execute(f"SELECT {columns} FROM jobs ORDER BY seq").fetchall()

def succeeded(claim):
    return Outcome(claim.seq, claim.attempt, JobState.SUCCEEDED, "7")
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


@pytest.mark.todo("11.1")
def test_dead_is_what_ended_unasked(server: AppServer, tmp_path: Path) -> None:
    """A process is dead if it has ended, however it ended, and nobody asked it to."""
    source = """
    process, found = FakeProcess("Sanic-SajeWorker-0", 4711), {}
    watched, states = Watched(process), ProcessState
    for how, (process.exitcode, process.state) in OVER.items():
        found[how] = watched.supervisor._is_dead(process)
    process.exitcode = None
    for state in (states.STARTING, states.STARTED, states.ACKED, states.RESTARTING):
        process.state = state
        found[f"is {state.name}"] = watched.supervisor._is_dead(process)
    process.state = states.TERMINATED
    for process.exitcode in (None, 0, -9):
        name = f"was stopped, exit code {process.exitcode}"
        found[name] = watched.supervisor._is_dead(process)
    return {how: bool(dead) for how, dead in found.items()}
    """
    found = call(server, tmp_path, source)
    dead = [how for how, value in found.items() if value]
    with server.likely(
        "it has been asked to end, for example by Ctrl+C, so it must not come back. "
        "Sanic has set its state to TERMINATED"
    ):
        assert not [how for how in dead if "was stopped" in how]
    with server.likely("it is still running, or about to start"):
        assert not [how for how in dead if how.startswith("is ")]
    with server.likely(
        "a process that returns is gone as well, although it had no error. Sanic calls "
        "it COMPLETED, and its exit code is 0"
    ):
        assert "returned" in dead
    assert dead == ["killed", "raised an exception", "returned"]


@pytest.mark.todo("11.1")
@pytest.mark.parametrize("how", ["killed", "returned"])
def test_jobs_of_a_dead_process_are_taken_back(
    server: AppServer, tmp_path: Path, how: str
) -> None:
    """When a process dies, its jobs are taken back at once, and only its own."""
    source = """
    names = ["Sanic-Server-0-0", "Sanic-SajeWorker-0", "Sanic-SajeWorker-1"]
    processes = [FakeProcess(name, 4700 + i) for i, name in enumerate(names)]
    watched = Watched(*processes, taken=2)
    nothing = lambda: None
    await watched.look(nothing, lambda: processes[2].die(how), nothing, nothing)
    return watched.backend.dead, watched.bell.rings
    """
    dead, rings = call(server, tmp_path, source, how=how)
    server.did += f"\nso the process was {how}" if how == "killed" else f"\nso it {how}"
    with server.likely("its state is FAILED if it was killed, or else COMPLETED"):
        assert dead == ["Sanic-SajeWorker-1 [4702]"]
    assert rings == 1, "the bell has to wake a worker for the jobs that were taken back"


@pytest.mark.todo("11.1")
def test_a_death_that_nobody_saw_coming(server: AppServer, tmp_path: Path) -> None:
    """A process that dies at once after its restart has died once more."""
    source = """
    process = FakeProcess("Sanic-SajeWorker-0", 4711)
    watched = Watched(process)
    def restarted_and_dead():
        process.pid = 4712
        process.die()
    await watched.look(process.die, lambda: None, restarted_and_dead, lambda: None)
    return watched.backend.dead
    """
    dead = call(server, tmp_path, source)
    with server.likely("its state is FAILED again, although its pid is another one"):
        assert dead == ["Sanic-SajeWorker-0 [4711]", "Sanic-SajeWorker-0 [4712]"]


@pytest.mark.todo("11.2")
def test_the_pause_gets_longer(server: AppServer, tmp_path: Path) -> None:
    """After its first death a process is started at once, then later each time."""
    source = """
    process = FakeProcess("Sanic-SajeWorker-0", 4711)
    watched = Watched(process)
    return [await watched.pause(process, now) for now in (1000, 1005, 1010, 1015)]
    """
    pauses = call(server, tmp_path, source)
    server.did += "\nin which AGAIN pauses for 100 seconds after the first try, and for"
    server.did += " 100 more after each further one"
    with server.likely(
        "most processes die only once, so the jobs need not wait: the first pause is 0"
    ):
        assert pauses[0] == 0
    with server.likely(
        "remember each death in self.deaths[process.name], because the pause is that "
        "of as many tries as there were deaths before this one: AGAIN.pause(...)"
    ):
        assert pauses[1:] == [100, 200, 300]


@pytest.mark.todo("11.2")
def test_old_deaths_are_forgotten(server: AppServer, tmp_path: Path) -> None:
    """A death that was a WHILE ago doesn't count any more, and isn't kept."""
    source = """
    process = FakeProcess("Sanic-SajeWorker-0", 4711)
    watched = Watched(process)
    times = [1000, 1040, 1070, 1095, 1200]
    pauses = [await watched.pause(process, now) for now in times]
    return pauses, list(watched.supervisor.deaths[process.name])
    """
    pauses, deaths = call(server, tmp_path, source)
    with server.likely(
        "the deaths at 1000 and at 1040 are forgotten by 1070 and 1200. Only those of "
        "the last WHILE count, which are those after now - WHILE"
    ):
        assert pauses == [0, 100, 100, 200, 0]
    with server.likely(
        "the list gets longer and longer while the app runs. Put a list of the recent "
        "deaths in its place"
    ):
        assert deaths == [1200]


@pytest.mark.todo("11.2")
def test_each_process_has_its_own_deaths(server: AppServer, tmp_path: Path) -> None:
    """A process doesn't wait for the deaths of another one."""
    source = """
    one, two = (FakeProcess(f"Sanic-SajeWorker-{i}", 4711 + i) for i in range(2))
    watched = Watched(one, two)
    deaths = [(one, 1000), (one, 1001), (two, 1002), (one, 1003), (two, 1004)]
    return [await watched.pause(process, now) for process, now in deaths]
    """
    pauses = call(server, tmp_path, source)
    with server.likely("self.deaths has a list for each process, by its name"):
        assert pauses == [0, 100, 0, 200, 100]


@pytest.mark.todo("11.3")
def test_the_manager_is_asked(server: AppServer, tmp_path: Path) -> None:
    """A restart is one message to Sanic's manager, which names the process."""
    source = """
    process = FakeProcess("Sanic-SajeWorker-1", 4711)
    watched = Watched(FakeProcess("Sanic-SajeWorker-0", 4710), process)
    process.die()
    watched.supervisor._restart(process)
    return watched.manager.sent, process.restarted
    """
    sent, restarted = call(server, tmp_path, source)
    with server.likely(
        "this is a thread of ours, and the manager works with its processes in another "
        "one at the same time. So send it a message, and let it start the process"
    ):
        assert restarted == 0, "the process was started directly"
    with server.likely("self.manager.monitor_publisher.send() sends the message"):
        assert len(sent) == 1
    with server.likely(
        "the message is the name of this process and a colon. Any other one would end "
        "processes that are well, or nobody would understand it"
    ):
        assert str(sent[0]).partition(":")[0] == "Sanic-SajeWorker-1", sent


@pytest.mark.todo("11.3")
def test_each_death_is_answered_once(server: AppServer, tmp_path: Path) -> None:
    """Each death is answered with a single message, when the pause is over."""
    source = """
    process, counts = FakeProcess("Sanic-SajeWorker-0", 4711), []
    watched = Watched(FakeProcess("Sanic-Server-0-0", 4710), process)
    def later(seconds):
        def event():
            watched.now += seconds
        return event
    for event in (
        lambda: process.die("killed"), later(0.1),  # asks for the first time
        later(1), lambda: process.run(4712), later(1),
        lambda: process.die("returned"), later(99), later(2),  # waits, and asks
        later(1), lambda: process.run(4713), later(1),
    ):
        await watched.look(event)
        counts.append(len(watched.manager.sent))
    return counts, watched.manager.names(), watched.backend.dead
    """
    counts, names, dead = call(server, tmp_path, source)
    server.did += "\nin which AGAIN pauses for 100 seconds after the second death"
    with server.likely("one message is enough, and its process starts in a moment"):
        assert counts == [0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]
    assert names == ["Sanic-SajeWorker-0"] * 2
    assert dead == ["Sanic-SajeWorker-0 [4711]", "Sanic-SajeWorker-0 [4712]"]


def restarts_what_dies(server: AppServer, folder: Path) -> None:
    """Expect a message for a process that has died, before a real one is killed.

    Without it nobody would start the real one again, so the test would only
    wait.
    """
    source = """
    process = FakeProcess("Sanic-SajeWorker-0", 4711)
    watched = Watched(process)
    await watched.look(process.die, lambda: None)
    return watched.manager.names()
    """
    with server.likely("the tests before this one say what is missing"):
        assert call(server, folder, source) == ["Sanic-SajeWorker-0"]


def pids(server: AppServer) -> dict[str, int]:
    """Return the pid of each process of the app, by its name."""
    workers = server.http.get("/v1/info").json()["workers"]
    return {name: worker["pid"] for name, worker in workers.items()}


def kill(server: AppServer, pid: int) -> None:
    """Kill a process of the app."""
    server.family()  # to know all processes that there are
    psutil.Process(pid).kill()
    server.did = f"kill -9 {pid}"


def is_replaced(server: AppServer, name: str, pid: int) -> int | None:
    """Return the pid of a process if it isn't the one before, and is ready."""
    new = pids(server).get(name, pid)
    kind = "SAJE worker" if "SajeWorker" in name else "Worker"
    return new if new != pid and f"{kind} ready [{new}]" in server.output() else None


@pytest.mark.todo("11.3")
def test_a_killed_worker_comes_back(server: AppServer, tmp_path: Path) -> None:
    """If a worker is killed, its job goes on elsewhere at once, and it comes back."""
    restarts_what_dies(server, tmp_path)
    gate = tmp_path / "gate"
    uid = server.post("probe_stays", until=str(gate))
    try:
        log = server.logged("It stays in ")
        pid = int(re.findall(r"It stays in (\d+)", log)[-1])
        name = next(name for name, other in pids(server).items() if other == pid)
        kill(server, pid)
        server.did += f", which is {name} and runs a job"
        with server.likely("the lease lasts much longer, so its jobs are taken back"):
            server.until(
                lambda: server.details(uid, ended=False)["attempts"] == 2,
                "the job runs once more",
                RESTART,
            )
        server.did = f"kill -9 {pid}, which is {name}"
        with server.likely(
            "nobody starts it again, or Sanic's manager doesn't understand the message"
        ):
            server.until(
                lambda: is_replaced(server, name, pid),
                f"another process as {name}",
                RESTART,
            )
    finally:
        gate.touch()
    job = server.details(uid)
    assert job["state"] == "succeeded"
    assert job["result"] != pid


@pytest.mark.todo("11.3")
def test_a_killed_server_comes_back(server: AppServer, tmp_path: Path) -> None:
    """If a server is killed, the other one answers, and the app has two again."""
    restarts_what_dies(server, tmp_path)
    name, pid = next((n, p) for n, p in pids(server).items() if "Server" in n)
    kill(server, pid)
    server.did += f", which is {name}"
    with server.likely(
        "Sanic doesn't start any process again that has died, not even a server"
    ):
        server.until(
            lambda: is_replaced(server, name, pid),
            f"another process as {name}",
            RESTART,
        )
    assert server.get("/v1/info").status == 200


@pytest.mark.todo("11.4")
def test_a_crash_counts_for_its_jobs(server: AppServer, tmp_path: Path) -> None:
    """Each job that a worker ran when it died has one more crash, and no other job."""
    source = """
    backend = SQLiteBackend(path, "normal")
    for name in ("alive", "killed"):
        await backend.beat(name, 1e6)
    await backend.beat("silent", -1)  # its lease is over
    put("of the killed one", worker="killed", state="running", tries=1)
    put("of the silent one", worker="silent", state="running", crashes=1)
    put("of the living one", worker="alive", state="running", crashes=1)
    put("has ended", worker="killed", state="succeeded")
    put("waits", worker="killed", crashes=1)
    taken = await backend.reap(["killed"])
    return taken, {task: rest for task, *rest in rows("task, state, crashes, tries")}
    """
    taken, jobs = call(server, tmp_path, source)
    with server.likely(
        "each job that you queue again has been in one more crash: "
        "crashes = crashes + 1"
    ):
        assert jobs["of the killed one"][1] == 1
        assert jobs["of the silent one"][1] == 2
    with server.likely(
        "a worker may die for any reason, so a job has MAX_CRASHES before it is dead. "
        "RETURNING returns the number after the change, so compare that one"
    ):
        assert jobs["of the killed one"][0] == "queued"
        assert jobs["of the silent one"][0] == "queued"
    with server.likely(
        "only the jobs count that a worker without a lease was running when it died"
    ):
        assert jobs["of the living one"][:2] == ["running", 1]
        assert jobs["has ended"][:2] == ["succeeded", 0]
        assert jobs["waits"][:2] == ["queued", 1]
    with server.likely(
        "`tries` counts how often the task has failed, and this time it hasn't. A "
        "crash has a column of its own"
    ):
        assert jobs["of the killed one"][2] == 1
        assert jobs["of the silent one"][2] == 0
    assert taken == 2, "reap() returns the number of jobs that were taken back"


@pytest.mark.todo("11.4")
def test_the_third_crash_is_the_last(server: AppServer, tmp_path: Path) -> None:
    """A job whose worker has died three times is dead, and says why and when."""
    source = """
    backend, found = SQLiteBackend(path, "normal"), []
    uid = await backend.add(NewJob(new_uid(), "poison", "{}"))
    for number in range(4):
        await backend.beat(f"worker {number}", 1e6)
        claims, _ = await claim(backend, 1, f"worker {number}")
        await backend.reap([f"worker {number}"])
        found.append([len(claims), str((await backend.fetch(uid)).state)])
    job = await backend.fetch(uid)
    return found, job.error, job.finished_at
    """
    found, error, finished_at = call(server, tmp_path, source)
    states = [state for _, state in found]
    with server.likely(
        "a worker may die for any reason, so a job has MAX_CRASHES before it is dead. "
        "RETURNING returns the number after the change, so compare that one"
    ):
        assert "dead" not in states[:2], states
    with server.likely(
        "this job would kill its workers forever. If it has MAX_CRASHES by now, its "
        "state is 'dead'"
    ):
        assert states[2:] == ["dead", "dead"]
    assert [claims for claims, _ in found] == [1, 1, 1, 0]
    with server.likely("a dead job needs the `error`, so that people can see why"):
        assert (error or {}).get("type") == "WorkerDied"
    with server.likely(
        "a dead job has ended, so it needs a `finished_at`. It also could never be "
        "forgotten without one"
    ):
        assert finished_at is not None


@pytest.mark.todo("11.4")
def test_only_the_third_crash_is_deadly(server: AppServer, tmp_path: Path) -> None:
    """Of the jobs in one crash, only those with three of them are dead."""
    source = """
    backend = SQLiteBackend(path, "normal")
    for crashes in (2, 0, 1, 2):
        put(f"{crashes} before", worker="gone", state="running", crashes=crashes)
    taken = await backend.reap(["gone"])
    jobs = rows("task, state, crashes, error IS NULL, finished_at IS NULL")
    [dead] = other.execute("SELECT uid FROM jobs WHERE seq = 1").fetchone()
    again = await backend.retry(UUID(bytes=dead))
    return taken, jobs, again, rows("state, crashes")[0]
    """
    taken, jobs, again, retried = call(server, tmp_path, source)
    with server.likely(
        "look at each job on its own, because the ones that ran beside it may have "
        "fewer crashes"
    ):
        assert [job[:2] for job in jobs] == [
            ["2 before", "dead"],
            ["0 before", "queued"],
            ["1 before", "queued"],
            ["2 before", "dead"],
        ]
    assert [job[2] for job in jobs] == [3, 1, 2, 3]
    with server.likely("a job that waits again has neither an error nor an end"):
        assert [job[3:] for job in jobs] == [[0, 0], [1, 1], [1, 1], [0, 0]]
    assert taken == 4
    assert (again, retried) == (True, ["queued", 0])


@pytest.mark.todo("11.5")
def test_a_worker_has_one_suspect(server: AppServer, tmp_path: Path) -> None:
    """Each worker runs one suspect at a time, beside any number of other jobs."""
    source = """
    backend = SQLiteBackend(path, "normal")
    for number in (1, 2, 3):
        put(f"suspect {number}", crashes=2)
    put("no crash yet"), put("one crash", crashes=1)
    first, _ = await claim(backend, 10, "a")
    second, more = await claim(backend, 10, "a")
    others, _ = await claim(backend, 10, "b")
    for job in first:
        if job.task.startswith("suspect"):
            await finish(backend, succeeded(job))
    last, _ = await claim(backend, 10, "a")
    parts = [sorted(job.task for job in part) for part in (first, second, others, last)]
    return *parts, more
    """
    first, second, others, last, more = call(server, tmp_path, source)
    suspects = [name for name in first if name.startswith("suspect")]
    with server.likely(
        "if one of them kills the worker, all of them have one more crash, and nobody "
        "knows whose fault it was. So take a single one: LIMIT 1"
    ):
        assert len(suspects) <= 1, suspects
    with server.likely("a worker that runs no suspect may take one"):
        assert suspects == ["suspect 1"]
    assert first == ["no crash yet", "one crash", "suspect 1"]
    with server.likely(
        "this worker runs a suspect already, so it must not get another one: AND NOT "
        "EXISTS (SELECT 1 FROM jobs WHERE state = 'running' ...)"
    ):
        assert second == []
    assert not more, "an idle worker would look for that suspect again and again"
    with server.likely(
        "what another worker runs doesn't matter, because a crash ends only one of "
        "them. Compare the `worker` of the running job with :worker"
    ):
        assert others == ["suspect 2"]
    with server.likely(
        "its suspect has ended, so the next one may run. Beside it there is only a job "
        "with a single crash, which isn't a suspect"
    ):
        assert last == ["suspect 3"]


@pytest.mark.todo("11.5")
def test_suspects_have_an_order(server: AppServer, tmp_path: Path) -> None:
    """A suspect has to be due, and the one that has been due for longest is first."""
    source = """
    backend = SQLiteBackend(path, "normal", clock=lambda: 500.0)
    for name, run_at in (("later", 600.0), ("second", 20.0), ("first", 10.0)):
        put(name, run_at=run_at, crashes=2)
    claims = [(await claim(backend, 1, worker))[0] for worker in "abc"]
    return [[job.task for job in jobs] for jobs in claims]
    """
    claims = call(server, tmp_path, source)
    server.did += "\nin which it is 500 by the clock, and each of three workers claims"
    with server.likely("a suspect may have to wait as well, see `run_at` and READY"):
        assert ["later"] not in claims
    with server.likely("ORDER BY run_at, seq, as in READY"):
        assert claims == [["first"], ["second"], []]


@pytest.mark.todo("11.5")
@pytest.mark.parametrize("seed", range(3))
def test_only_the_poison_dies(server: AppServer, tmp_path: Path, seed: int) -> None:
    """However the jobs are mixed, the poisonous one dies and all others succeed."""
    source = """
    backend, chance = SQLiteBackend(path, "normal", workers=2), random.Random(seed)
    tasks = ["innocent"] * 30
    tasks.insert(chance.randrange(10), "poison")
    for task in tasks:
        put(task)
    names, held = ["one", "two"], [[], []]
    for turn in range(500):
        here = chance.randrange(2)
        await backend.beat(names[here], 1e6)
        held[here] += (await claim(backend, 8 - len(held[here]), names[here]))[0]
        if any(job.task == "poison" for job in held[here]):
            await backend.reap([names[here]])
            names[here], held[here] = f"{turn}", []
        elif held[here]:
            job = held[here].pop(chance.randrange(len(held[here])))
            await finish(backend, succeeded(job))
        if not {"queued", "running"} & {state for [state] in rows("state")}:
            break
    return [[*row] for row in rows("task, state, crashes")]
    """
    jobs = call(server, tmp_path, source, seed=seed)
    server.did += f"\nwith {seed = }, so two workers run 31 jobs, one of them poisonous"
    with server.likely("the poison has to come to an end: see the tests of TODO 11.4"):
        assert [state for task, state, _ in jobs if task == "poison"] == ["dead"]
    dead = [job for job in jobs if job[0] == "innocent" and job[1] == "dead"]
    with server.likely(
        "two crashes may meet any job that runs beside the poison, and the third one "
        "has met these as well. A worker must not run two suspects at a time"
    ):
        assert dead == []
    states = [state for task, state, _ in jobs if task == "innocent"]
    with server.likely("suspects are never claimed, although they are due"):
        assert states == ["succeeded"] * 30
    assert max(crashes for task, _, crashes in jobs if task == "innocent") <= 2


@pytest.mark.todo("11.5")
def test_a_poisonous_job_beside_others(server: AppServer, tmp_path: Path) -> None:
    """A job that kills each worker ends dead, and the ones beside it succeed."""
    restarts_what_dies(server, tmp_path)
    start, gate = tmp_path / "start", tmp_path / "gate"
    poison = server.post("probe_kills", start=str(start))
    others = [server.post("probe_stays", until=str(gate)) for _ in range(SLOTS + 2)]
    try:
        for uid in (poison, *others):
            server.running(uid)
        start.touch()
        for attempts in (2, 3):
            with server.likely("a job whose worker has died waits again"):
                server.until(
                    lambda at_least=attempts: (
                        server.details(poison, ended=False)["attempts"] >= at_least
                    ),
                    f"attempt {attempts} of the poisonous job",
                    RESTART,
                )
        job = server.details(poison)
    finally:
        gate.touch()
    server.did = "POST of a job that ends its worker, and of others that ran beside it"
    with server.likely("the poison has to come to an end: see the tests of TODO 11.4"):
        assert job["state"] == "dead"
        assert job["error"]["type"] == "WorkerDied"
        assert job["attempts"] == 3
    states = [server.details(uid)["state"] for uid in others]
    with server.likely(
        "they are dead because they met the poison three times, or they are never "
        "claimed. A worker runs one suspect at a time, and then the next one"
    ):
        assert states == ["succeeded"] * len(others)


STUCK = """
saje.scheduler.TICK = 0.01
turns, events, log = [], [], []
class Backend(LeaseBackend):
    async def turn(self, outcomes, worker, free):
        turns.append((len(outcomes), free))
        return await super().turn(outcomes, worker, free)
    async def release(self, claims):
        events.append(("release", len(claims)))
job = Claim(1, new_uid(), "hello", '{"seconds": 0.3}', 1)
backend = Backend(events, ([job], False))
scheduler = make_scheduler(backend, Bell(new_tokens()), concurrency=2, drain=3600)
with log_to(log):
    run = asyncio.create_task(scheduler.run())
    await became(lambda: run.done() or backend.looks >= 4, 20)
    early, thread = run.done(), Thread()
    before, count = len(turns), len(log)
    saje.threads.stuck.add(thread)
    try:  # either it ends, or it just goes on
        await became(lambda: run.done() or len(turns) > before + 30, 20)
    finally:
        saje.threads.stuck.discard(thread)
        saje.scheduler.TICK = 1.0
        scheduler.stop()
        run.cancel()
        await asyncio.wait([run])
error = None if run.cancelled() else run.exception()
return {
    "early": early,
    "ended": not run.cancelled(),
    "error": repr(error) if error else None,
    "outcomes": sum(number for number, _ in turns),
    "free": [free for _, free in turns[before:]][1:],
    "dismissed": any(event[0] == "dismiss" for event in events),
    "log": [line for line in log[count:] if not line.startswith("Job")],
}
"""
"""Runs a scheduler with a job, and after a while with a stuck thread as well."""


@pytest.mark.todo("11.6")
def test_a_stuck_thread_ends_the_worker(server: AppServer, tmp_path: Path) -> None:
    """A worker with a stuck thread stops as after a signal: its jobs may finish."""
    found = call(server, tmp_path, STUCK)
    server.did += "\nso after a while a thread is stuck"
    with server.likely("it stopped without a stuck thread: look whether there is one"):
        assert not found["early"]
    with server.likely("nothing ends such a thread but the end of its process"):
        assert found["ended"], "the worker goes on"
    with server.likely("end the worker in peace: self.stop()"):
        assert found["error"] is None
        assert found["dismissed"], "others have to wait for the end of its lease"
    with server.likely(
        "it claims jobs although it is about to end. self.stop() sees to that, and to "
        "all the rest that a stop signal does"
    ):
        assert not any(found["free"]), "the worker has claimed more jobs"
    with server.likely("the other jobs get their time to finish, as after a signal"):
        assert found["outcomes"] == 1
    with server.likely("people will want to know why a worker ends: log it"):
        ours = ("Jobs still", "Jobs that", "Drained", "Hello", "Goodbye", "Bye")
        assert [line for line in found["log"] if not line.startswith(ours)]


@pytest.mark.todo("11.6")
def test_a_stuck_worker_is_replaced(server: AppServer, tmp_path: Path) -> None:
    """If Python can't end what a worker does, the worker makes room for another one."""
    restarts_what_dies(server, tmp_path)
    with server.likely("the test before this one says what is missing"):
        assert call(server, tmp_path, STUCK)["ended"], "the worker goes on"
    uid = server.post("probe_sleeps")
    log = server.logged("It sleeps in ")
    pid = int(re.findall(r"It sleeps in (\d+)", log)[-1])
    name = next(name for name, other in pids(server).items() if other == pid)
    job = server.details(uid)
    assert job["state"] == "failed"
    assert job["error"]["type"] == "TimeoutError"
    server.did = f"POST of a job that {name} can't end, although its time is up"
    with server.likely("the worker has to stop, and then it is started again"):
        server.until(
            lambda: is_replaced(server, name, pid),
            f"another process as {name}",
            RESTART,
        )
    uid = server.post("probe_says", text="It works again.")
    assert server.details(uid)["state"] == "succeeded"


@pytest.mark.todo("11.7")
def test_restarts_are_the_starts_after_the_first(
    server: AppServer, tmp_path: Path
) -> None:
    """GET /v1/info counts the starts of each process, without the first one."""
    source = """
    workers = {
        "Sanic-Main": {"pid": 1},
        "Sanic-Server-0-0": {"pid": 2, "state": "ACKED", "starts": 1},
        "Sanic-SajeWorker-0": {"pid": 3, "state": "STARTED", "starts": 4},
    }
    this = SimpleNamespace(name="Sanic-Server-0-0", pid=2, workers=workers)
    request = SimpleNamespace(app=SimpleNamespace(m=this))
    saje = SimpleNamespace(depth=lambda: 0)
    return json.loads((await app.info.info(request, saje)).body)["workers"]
    """
    with server.likely(
        "Sanic has no starts of its own main process. worker.get() has a default for "
        "what isn't there"
    ):
        workers = call(server, tmp_path, source)
    missing = [name for name in workers if "restarts" not in workers[name]]
    with server.likely('each process needs its "restarts", also one that had none'):
        assert not missing
    restarts = {name: worker["restarts"] for name, worker in workers.items()}
    with server.likely(
        "the first start isn't a restart, so it doesn't count. Where there are no "
        "starts yet, nothing was started again"
    ):
        assert restarts == {
            "Sanic-Main": 0,
            "Sanic-Server-0-0": 0,
            "Sanic-SajeWorker-0": 3,
        }
    assert workers["Sanic-SajeWorker-0"]["state"] == "STARTED"


@pytest.mark.todo("11.7")
def test_a_restart_is_shown(server: AppServer) -> None:
    """After a worker was started again, GET /v1/info shows one more restart."""
    name, before = WORKERS[0], server.info()["workers"]
    with server.likely('each process needs its "restarts", also one that had none'):
        assert all("restarts" in worker for worker in before.values()), before
    server.restart_worker()
    server.until(
        lambda: is_replaced(server, name, before[name]["pid"]),
        f"another process as {name}",
        RESTART,
    )
    after = server.info()["workers"]
    server.did += "\ncurl /v1/info"
    with server.likely('Sanic counts the "starts" of each process'):
        assert after[name]["restarts"] == before[name]["restarts"] + 1
        other = WORKERS[1]
        assert after[other]["restarts"] == before[other]["restarts"]
