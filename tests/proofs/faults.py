"""What the finished system survives: `python -m tests.proofs.faults --rounds 100`.

While 8 connections post jobs, something bad happens in each round. Processes are killed
with kill -9: a worker, a server, or two of either, which the app has to start again; or
its main process, or all, after which it is started on the same file. Or a worker is
stopped for longer than its lease, and continues. Or the file is locked for a while, or
can't grow. In the end, each job that was answered 202 must be in the file, must have
ended, and must not have two results. A job may have run twice, which is counted, and
one whose worker was killed three times under it is dead.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import psutil

from workshop.core.environment import ROOT

sys.path.insert(0, str(ROOT / "tests" / "harness"))

import app_process
from app_server import AppServer

app_process.FLOOD = 1_000_000_000  # bytes of a log, which has lines for every job

SOLUTION = max((ROOT / "solutions").glob("[0-9][0-9]_*"))
MAIN = "Sanic-Main"
FAULTS = {"worker": 6, "server": 4, "two": 4, "main": 2, "all": 2, "locked": 1}
"""What may happen in a round, and how often, beside each other."""
if sys.platform == "linux":  # the others have no such limit, or no such signal
    FAULTS |= {"full": 1, "stopped": 1}
CONNECTIONS = 8
LEASE = 2.0  # seconds
PATIENCE = 300.0  # seconds until all jobs must have ended, even on a busy machine
LOCKED = 6.0  # seconds, more than the app waits for a lock
JOB = json.dumps({"task": "hello", "kwargs": {"name": "Ada", "seconds": 0.05}})


class Load:
    """Posts jobs over several connections, to whatever port the app has now."""

    def __init__(self) -> None:
        """Start the threads. They pause while there is no port."""
        self.port: int | None = None
        self.accepted: list[str] = []
        self.answers: Counter[str] = Counter()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._post) for _ in range(CONNECTIONS)
        ]
        for thread in self._threads:
            thread.start()

    def _post(self) -> None:
        while not self._over.wait(0.005):
            if self.port is None:
                continue
            try:
                with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as c:
                    kind = {"Content-Type": "application/json"}
                    c.request("POST", "/v1/job", JOB, kind)
                    reply = c.getresponse()
                    body = reply.read()
            except (OSError, HTTPException):
                self.answers["no answer"] += 1
                continue
            self.answers[str(reply.status)] += 1
            if reply.status == 202:
                self.accepted.append(json.loads(body)["uid"])
            elif reply.status == 503 and not reply.getheader("Retry-After"):
                self.answers["503 without Retry-After"] += 1

    def end(self) -> None:
        """Stop posting."""
        self._over.set()
        for thread in self._threads:
            thread.join()


def main(rounds: int, seed: int) -> int:
    """Do some rounds, print what came of them, and return how much was lost.

    Args:
        rounds: How many.
        seed: The same seed makes the same choices.
    """
    chance = random.Random(seed)
    began, faults = time.monotonic(), Counter[str]()
    settings = {"SAJE_WORKERS": 2, "SAJE_LEASE": LEASE}
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        data = Path(folder)
        app = AppServer(SOLUTION, data, settings=settings)
        load = Load()
        try:
            for number in range(rounds):
                load.port = app.port
                time.sleep(chance.uniform(0.2, 1.0))
                kind = chance.choices(list(FAULTS), list(FAULTS.values()))[0]
                faults[kind] += 1
                if kind in ("main", "all") or number % 25 == 24:
                    load.port = None
                    if kind == "main":
                        app.kill_main()
                    app.kill()
                    app = AppServer(SOLUTION, data, settings=settings)
                elif kind == "locked":
                    lock(app)
                elif kind == "full":
                    fill(app)
                else:
                    harm(app, kind, chance)
                print(f"\rround {number + 1}", end="", file=sys.stderr, flush=True)
            load.port = None
            load.end()
            # The supervisor has to bring everything back that is needed for this.
            deadline = time.monotonic() + PATIENCE
            while unfinished(app.db) and time.monotonic() < deadline:
                time.sleep(0.2)
        finally:
            load.end()
            app.kill()
        states = read(app.db, "SELECT uid, state FROM jobs")
        found = {str(UUID(bytes=uid)): state for uid, state in states}
        missing = [uid for uid in load.accepted if uid not in found]
        ends = Counter(found[uid] for uid in load.accepted if uid in found)
        log = "".join(f.read_text("utf-8", "replace") for f in data.glob("log-*.txt"))
        (sound,) = read(app.db, "PRAGMA integrity_check")[0]
    starts = Counter(re.findall(r"Job (\S+) started", log))
    twice = sum(1 for uid in load.accepted if starts[uid] > 1)
    results = Counter(re.findall(r"Job (\S+) succeeded", log))
    two_results = sum(1 for uid in load.accepted if results[uid] > 1)
    lost = len(load.accepted) - ends["succeeded"] - ends["dead"] + two_results
    lost += load.answers["500"] + load.answers["503 without Retry-After"]
    lost += sound != "ok"
    print(
        f"\n{rounds} rounds in {time.monotonic() - began:.0f} s: {dict(faults)}\n"
        f"answers: {dict(load.answers)}\n"
        f"accepted: {len(load.accepted)}, missing: {len(missing)}, "
        f"states: {dict(ends)}, started twice or more: {twice}, "
        f"two results: {two_results}, too late: {log.count('came too late')}, "
        f"file: {sound}"
    )
    return int(lost)


def harm(app: AppServer, kind: str, chance: random.Random) -> None:
    """Kill a server, a worker or two processes, or stop a worker for a while."""
    name = {"server": "Server", "worker": "Worker", "stopped": "Worker"}.get(kind, "-")
    try:
        workers = app.info()["workers"]
    except (OSError, AssertionError):  # the servers are about to be started again
        return
    pids = [w.get("pid") for key, w in workers.items() if name in key and key != MAIN]
    pids = [pid for pid in pids if pid]  # Sanic is about to start the others.
    for pid in chance.sample(pids, min(len(pids), 2 if kind == "two" else 1)):
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if kind != "stopped":
                process.kill()
                continue
            process.suspend()
            time.sleep(2 * LEASE)
            process.resume()


def lock(app: AppServer) -> None:
    """Keep the file locked for a while, as a careless program would."""
    with closing(sqlite3.connect(app.db, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        time.sleep(LOCKED)
        db.execute("ROLLBACK")
    time.sleep(1)


def fill(app: AppServer) -> None:
    """Let no file of the app grow for a while, as if the disk was full."""
    size = Path(f"{app.db}-wal").stat().st_size
    found = []
    for process in app.family():
        with suppress(psutil.NoSuchProcess):
            soft, hard = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (size, hard))
            found.append((process, (soft, hard)))
    time.sleep(1)
    for process, limits in found:
        with suppress(psutil.NoSuchProcess):
            process.rlimit(psutil.RLIMIT_FSIZE, limits)
    time.sleep(1)


def unfinished(db: Path) -> int:
    """Return how many jobs wait or run."""
    states = "('queued', 'running')"
    ((count,),) = read(db, f"SELECT count(*) FROM jobs WHERE state IN {states}")
    return int(count)


def read(db: Path, sql: str) -> list[tuple]:  # type: ignore[type-arg]
    """Return the rows that a statement selects from the app's file."""
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql).fetchall()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--seed", type=int, default=int(time.time()))
    chosen = options.parse_args()
    print(f"seed {chosen.seed}", file=sys.stderr)
    sys.exit(main(chosen.rounds, chosen.seed) > 0)
