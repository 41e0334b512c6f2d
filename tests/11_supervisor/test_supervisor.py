"""Step 11: what has died is started again, but a poisonous job isn't."""

import re
from pathlib import Path

import psutil
import pytest
from app_server import AppServer, Call

SLOTS = 8  # of each worker
RESTART = 20.0  # seconds, on a quiet machine, for a process and what it needs
SETTINGS = {"SAJE_WORKERS": 2, "SAJE_CONCURRENCY": SLOTS}

SETUP = """
import json
from threading import Thread
from types import SimpleNamespace
import app.info
import saje.threads
from sanic.worker.constants import ProcessState
from saje_probe_scheduler import *
from saje_probe_sqlite import *
from saje_probe_supervisor import OVER, FakeProcess, Watched
other = Beside(folder)
put, rows, backend = other.put, other.rows, other.open()

def nothing():
    pass
"""
"""What the calls of these tests begin with."""


@pytest.mark.todo("11.1")
def test_dead_is_what_ended_unasked(server: AppServer, call: Call) -> None:
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
    found = call(source)
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
def test_jobs_of_a_dead_process_are_taken_back(server: AppServer, call: Call) -> None:
    """When a process dies, its jobs are taken back at once, and only its own."""
    source = """
    names = ["Sanic-Server-0-0", "Sanic-SajeWorker-0", "Sanic-SajeWorker-1"]
    processes = [FakeProcess(name, 4700 + i) for i, name in enumerate(names)]
    watched = Watched(*processes, taken=2)
    await watched.look(nothing, processes[2].die, nothing, nothing)
    return watched.dead, watched.bell.rings
    """
    dead, rings = call(source)
    server.did += "\nso the third process was killed"
    with server.likely("its state is FAILED if it was killed"):
        assert dead == ["Sanic-SajeWorker-1 [4702]"]
    assert rings == 1, "the bell has to wake a worker for the jobs that were taken back"


@pytest.mark.todo("11.1")
def test_a_death_that_nobody_saw_coming(server: AppServer, call: Call) -> None:
    """A process that dies at once after its restart has died once more."""
    source = """
    process = FakeProcess("Sanic-SajeWorker-0", 4711)
    watched = Watched(process)
    def restarted_and_dead():
        process.pid = 4712
        process.die()
    await watched.look(process.die, nothing, restarted_and_dead, nothing)
    return watched.dead
    """
    dead = call(source)
    with server.likely("its state is FAILED again, although its pid is another one"):
        assert dead == ["Sanic-SajeWorker-0 [4711]", "Sanic-SajeWorker-0 [4712]"]


@pytest.mark.todo("11.1")
def test_a_supervisor_survives_an_error(server: AppServer, call: Call) -> None:
    """After an error that nobody expected, the supervisor notices deaths as before."""
    source = """
    process = FakeProcess("Sanic-SajeWorker-0", 4711)
    watched = Watched(process)
    def fail():
        raise RuntimeError("a mistake, because a test wants that")
    await asyncio.to_thread(watched.run, fail, process.die, nothing)
    return watched.dead
    """
    with server.likely("_run() has to catch the error, and to call _watch() again"):
        dead = call(source)
    with server.likely("its state is FAILED if it was killed"):
        assert dead == ["Sanic-SajeWorker-0 [4711]"]


@pytest.mark.todo("11.2")
def test_the_pause_gets_longer(server: AppServer, call: Call) -> None:
    """A process is started at once after its first death, and later after each other.

    It doesn't wait for the deaths of another process.
    """
    source = """
    one, two = (FakeProcess(f"Sanic-SajeWorker-{i}", 4711 + i) for i in range(2))
    watched = Watched(one, two)
    deaths = [(one, 1000), (one, 1001), (two, 1002), (one, 1003), (two, 1004)]
    return [await watched.pause(process, now) for process, now in deaths]
    """
    pauses = call(source)
    server.did += "\nin which AGAIN pauses for 100 seconds after the first try, and for"
    server.did += " 100 more after each further one"
    with server.likely(
        "most processes die only once, so the jobs need not wait: the first pause is 0"
    ):
        assert pauses[0] == 0
    with server.likely(
        "remember each death in self.deaths[process.name], because the pause is that "
        "of as many tries as this process had deaths before this one: AGAIN.pause(...)"
    ):
        assert pauses == [0, 100, 0, 200, 100]


@pytest.mark.todo("11.2")
def test_old_deaths_are_forgotten(server: AppServer, call: Call) -> None:
    """A death that was a WHILE ago doesn't count any more, and isn't kept."""
    source = """
    process = FakeProcess("Sanic-SajeWorker-0", 4711)
    watched = Watched(process)
    times = [1000, 1040, 1070, 1095, 1200]
    pauses = [await watched.pause(process, now) for now in times]
    return pauses, list(watched.supervisor.deaths[process.name])
    """
    pauses, deaths = call(source)
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


@pytest.mark.todo("11.3")
def test_the_manager_is_asked(server: AppServer, call: Call) -> None:
    """A restart is one message to Sanic's manager, which names the process."""
    source = """
    process = FakeProcess("Sanic-SajeWorker-1", 4711)
    watched = Watched(FakeProcess("Sanic-SajeWorker-0", 4710), process)
    process.die()
    watched.supervisor._restart(process)
    return watched.manager.sent, process.restarted
    """
    sent, restarted = call(source)
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
def test_each_death_is_answered_once(server: AppServer, call: Call) -> None:
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
    return counts, watched.manager.names(), watched.dead
    """
    counts, names, dead = call(source)
    server.did += "\nin which AGAIN pauses for 100 seconds after the second death"
    with server.likely("one message is enough, and its process starts in a moment"):
        assert counts == [0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]
    assert names == ["Sanic-SajeWorker-0"] * 2
    assert dead == ["Sanic-SajeWorker-0 [4711]", "Sanic-SajeWorker-0 [4712]"]


def restarts_what_dies(server: AppServer, call: Call) -> None:
    """Expect a message for a process that has died, before a real one is killed.

    Without it nobody would start the real one again, so the test would only
    wait.
    """
    source = """
    process = FakeProcess("Sanic-SajeWorker-0", 4711)
    watched = Watched(process)
    await watched.look(process.die, nothing)
    return watched.manager.names()
    """
    with server.likely("the tests before this one say what is missing"):
        assert call(source) == ["Sanic-SajeWorker-0"]


def pids(server: AppServer) -> dict[str, int]:
    """Return the pid of each process of the app, by its name."""
    workers = server.http.get("/v1/info").json()["workers"]
    return {name: worker["pid"] for name, worker in workers.items()}


def kill(server: AppServer, pid: int) -> None:
    """Kill a process of the app."""
    server.family()  # to know all processes that there are
    psutil.Process(pid).kill()
    server.did = f"kill -9 {pid}"


def where(server: AppServer, text: str) -> tuple[str, int]:
    """Wait until a job logs where it runs, and return the process's name and pid."""
    pid = int(re.findall(rf"{text}(\d+)", server.logged(text))[-1])
    return next(name for name, other in pids(server).items() if other == pid), pid


def is_replaced(server: AppServer, name: str, pid: int) -> None:
    """Wait until another process has a name, and is ready."""
    kind = "SAJE worker" if "SajeWorker" in name else "Worker"

    def ready() -> bool:
        new = pids(server).get(name, pid)
        return new != pid and f"{kind} ready [{new}]" in server.output()

    with server.likely(
        "Sanic doesn't start any process again that has died, unless its manager gets "
        "a message that it understands"
    ):
        server.until(ready, f"another process as {name}", RESTART)


@pytest.mark.todo("11.3")
def test_what_is_killed_comes_back(
    server: AppServer, call: Call, tmp_path: Path
) -> None:
    """If a worker and a server are killed, the job goes on, and both come back."""
    restarts_what_dies(server, call)
    gate = tmp_path / "gate"
    uid = server.post("probe_stays", until=str(gate))
    try:
        worker, pid = where(server, "It stays in ")
        other = next(name for name in pids(server) if "Server" in name)
        other_pid = pids(server)[other]
        kill(server, pid)
        with server.likely("the lease lasts much longer, so its jobs are taken back"):
            server.until(
                lambda: server.details(uid, ended=False)["attempts"] == 2,
                "the job runs once more",
                RESTART,
            )
        kill(server, other_pid)
        server.did = f"kill -9 {pid} {other_pid}, which are {worker} and {other}"
        is_replaced(server, worker, pid)
        is_replaced(server, other, other_pid)
    finally:
        gate.touch()
    job = server.details(uid)
    assert job["state"] == "succeeded"
    assert job["result"] != pid


@pytest.mark.todo("11.4")
def test_a_crash_counts_for_its_jobs(server: AppServer, call: Call) -> None:
    """Each job that a worker ran when it died has one more crash, and no other job."""
    source = """
    for name in ("alive", "killed"):
        await backend.beat(name, 1e6)
    await backend.beat("silent", -1)  # its lease is over
    put("of the killed one", worker="killed", state="running", tries=1)
    put("of the silent one", worker="silent", state="running", crashes=1)
    put("of the living one", worker="alive", state="running", crashes=1)
    put("has ended", worker="killed", state="succeeded")
    put("waits", worker="killed", crashes=1)
    poison = put("the poison", worker="killed", state="running", crashes=2)
    taken = await backend.reap(["killed"])
    jobs = {task: rest for task, *rest in rows("task, state, crashes, tries")}
    ends = {task: end for task, *end in rows("task, error, finished_at")}
    again = await backend.retry(poison), rows("state, crashes")[-1]
    return taken, jobs, ends, again
    """
    taken, jobs, ends, again = call(source)
    with server.likely(
        "each job that you queue again has been in one more crash: "
        "crashes = crashes + 1"
    ):
        assert jobs["of the killed one"][1] == 1
        assert jobs["of the silent one"][1] == 2
    with server.likely(
        "a worker may die for any reason, so a job has MAX_CRASHES before it is dead. "
        "RETURNING returns the number after the change, so compare that one, and look "
        "at each job on its own"
    ):
        assert jobs["of the killed one"][0] == "queued"
        assert jobs["of the silent one"][0] == "queued"
        assert jobs["the poison"][:2] == ["dead", 3]
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
    with server.likely("a job that waits again has neither an error nor an end"):
        assert ends["of the killed one"] == [None, None]
    assert taken == 3, "reap() returns the number of jobs that were taken back"
    assert again == [True, ["queued", 0]], "a retry by hand begins without crashes"


@pytest.mark.todo("11.4")
def test_the_third_crash_is_the_last(server: AppServer, call: Call) -> None:
    """A job whose worker has died three times is dead, and says why and when."""
    source = """
    found = []
    uid = await backend.add(NewJob(new_uid(), "poison", "{}"))
    for number in range(4):
        await backend.beat(f"worker {number}", 1e6)
        claims, _ = await claim(backend, 1, f"worker {number}")
        await backend.reap([f"worker {number}"])
        found.append([len(claims), str((await backend.fetch(uid)).state)])
    job = await backend.fetch(uid)
    return found, job.error, job.finished_at
    """
    found, error, finished_at = call(source)
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


@pytest.mark.todo("11.5")
def test_a_worker_has_one_suspect(server: AppServer, call: Call) -> None:
    """Each worker runs one suspect at a time, beside any number of other jobs."""
    source = """
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
    first, second, others, last, more = call(source)
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
def test_suspects_have_an_order(server: AppServer, call: Call) -> None:
    """A suspect has to be due, and the one that has been due for longest is first."""
    source = """
    backend = other.open(clock=lambda: 500.0)
    for name, run_at in (("later", 600.0), ("second", 20.0), ("first", 10.0)):
        put(name, run_at=run_at, crashes=2)
    claims = [(await claim(backend, 1, worker))[0] for worker in "abc"]
    return [[job.task for job in jobs] for jobs in claims]
    """
    claims = call(source)
    server.did += "\nin which it is 500 by the clock, and each of three workers claims"
    with server.likely("a suspect may have to wait as well, see `run_at` and READY"):
        assert ["later"] not in claims
    with server.likely("ORDER BY run_at, seq, as in READY"):
        assert claims == [["first"], ["second"], []]


@pytest.mark.todo("11.5")
def test_a_poisonous_job_beside_others(
    server: AppServer, call: Call, tmp_path: Path
) -> None:
    """A job that kills each worker ends dead, and the ones beside it succeed."""
    restarts_what_dies(server, call)
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
log, job = [], Claim(1, new_uid(), "hello", '{"seconds": 0.3}', 1)
backend = FakeBackend(([job], False))
free, events = backend.looks, backend.events
scheduler = make_scheduler(backend, Bell(new_tokens()), concurrency=2, drain=3600)
run, thread = asyncio.create_task(scheduler.run()), Thread()
try:  # either it ends, or it just goes on
    await became(lambda: run.done() or len(free) >= 4, 20)
    early, before = run.done(), len(free)
    saje.threads.stuck.add(thread)
    with log_to(log):
        await became(lambda: run.done() or len(free) > before + 30, 20)
finally:
    saje.threads.stuck.discard(thread)
    saje.scheduler.TICK = 1.0
    run.cancel()
    await asyncio.wait([run])
error = None if run.cancelled() else run.exception()
return {
    "early": early,
    "ended": not run.cancelled(),
    "error": repr(error) if error else None,
    "free": free[before + 1:],
    "events": [event for event, *_ in events],
    "log": [line for line in log if not line.startswith("Job")],
}
"""
"""Runs a scheduler with a job, and after a while with a stuck thread as well."""


@pytest.mark.todo("11.6")
def test_a_stuck_thread_ends_the_worker(server: AppServer, call: Call) -> None:
    """A worker with a stuck thread stops as after a signal: its jobs may finish."""
    found = call(STUCK)
    server.did += "\nso after a while a thread is stuck"
    with server.likely("it stopped without a stuck thread: look whether there is one"):
        assert not found["early"]
    with server.likely("nothing ends such a thread but the end of its process"):
        assert found["ended"], "the worker goes on"
    with server.likely("end the worker in peace: self.stop()"):
        assert found["error"] is None
        assert "dismiss" in found["events"], "others have to wait for its lease"
    with server.likely(
        "it claims jobs although it is about to end. self.stop() sees to that, and to "
        "all the rest that a stop signal does"
    ):
        assert not any(found["free"]), "the worker has claimed more jobs"
    with server.likely("the other jobs get their time to finish, as after a signal"):
        assert found["events"].count("record") == 1
    with server.likely("people will want to know why a worker ends: log it"):
        ours = ("Jobs still", "Jobs that", "Drained", "Hello", "Goodbye", "Bye")
        assert [line for line in found["log"] if not line.startswith(ours)]


@pytest.mark.todo("11.6")
def test_a_stuck_worker_is_replaced(server: AppServer, call: Call) -> None:
    """If Python can't end what a worker does, the worker makes room for another one."""
    restarts_what_dies(server, call)
    with server.likely("the test before this one says what is missing"):
        assert call(STUCK)["ended"], "the worker goes on"
    uid = server.post("probe_sleeps")
    name, pid = where(server, "It sleeps in ")
    job = server.details(uid)
    assert job["state"] == "failed"
    assert job["error"]["type"] == "TimeoutError"
    server.did = f"POST of a job that {name} can't end, although its time is up"
    with server.likely("the worker has to stop, and then it is started again"):
        is_replaced(server, name, pid)
    uid = server.post("probe_says", text="It works again.")
    assert server.details(uid)["state"] == "succeeded"


@pytest.mark.todo("11.7")
def test_restarts_are_the_starts_after_the_first(server: AppServer, call: Call) -> None:
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
        workers = call(source)
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
