"""What the finished system survives: `python -m tests.proofs.faults --rounds 100`.

In each round 8 connections post jobs, while processes of the app are killed with
kill -9: its main process, a server, a worker, or several of them, and in the end all of
them. Then the app is started again on the same file. After some rounds the file is
locked for a while as well, or can't grow. In the end, each job that was answered 202
must be in the file and have succeeded. A job may have run twice, which is counted.
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

from app_server import AppServer

SOLUTION = max((ROOT / "solutions").glob("[0-9][0-9]_*"))
CONNECTIONS = 8
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
    """Do some rounds, print what came of them, and return how much was lost."""
    chance = random.Random(seed)
    began, kills = time.monotonic(), Counter[str]()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        data, load = Path(folder), Load()
        try:
            for number in range(rounds):
                app = AppServer(SOLUTION, data, settings={"SAJE_WORKERS": 2})
                load.port = app.port
                time.sleep(chance.uniform(0.3, 1.5))
                if number % 10 == 3:
                    kills["the file locked"] += 1
                    lock(app)
                elif number % 10 == 7 and sys.platform == "linux":
                    kills["the file can't grow"] += 1
                    fill(app)
                else:
                    kill_some(app, chance, kills)
                load.port = None
                app.kill()
                print(f"\rround {number + 1}", end="", file=sys.stderr, flush=True)
        finally:
            load.end()
        app = AppServer(SOLUTION, data, settings={"SAJE_WORKERS": 2})
        try:
            app.until(lambda: app.info()["queue_depth"] == 0, "no job waits", 60)
            app.until(lambda: not unfinished(app.db), "all jobs have ended", 60)
        finally:
            app.kill()
        states = read(app.db, "SELECT uid, state FROM jobs")
        found = {str(UUID(bytes=uid)): state for uid, state in states}
        missing = [uid for uid in load.accepted if uid not in found]
        ends = Counter(found[uid] for uid in load.accepted if uid in found)
        logs = [log.read_text("utf-8", "replace") for log in data.glob("log-*.txt")]
        (sound,) = read(app.db, "PRAGMA integrity_check")[0]
    starts = Counter(re.findall(r"Job (\S+) started", "".join(logs)))
    twice = sum(1 for uid in load.accepted if starts[uid] > 1)
    lost = len(load.accepted) - ends["succeeded"]
    lost += load.answers["500"] + load.answers["503 without Retry-After"]
    lost += sound != "ok"
    print(
        f"\n{rounds} rounds in {time.monotonic() - began:.0f} s: {dict(kills)}\n"
        f"answers: {dict(load.answers)}\n"
        f"accepted: {len(load.accepted)}, missing: {len(missing)}, "
        f"states: {dict(ends)}, started twice or more: {twice}, file: {sound}"
    )
    return int(lost)


def kill_some(app: AppServer, chance: random.Random, kills: Counter[str]) -> None:
    """Kill one or two processes, or none, before the whole app is killed."""
    kind = chance.choice(["main", "server", "worker", "two", "all"])
    kills[kind] += 1
    if kind == "all":
        return
    if kind == "main":
        app.kill_main()
        return
    name = {"server": "Server", "worker": "Worker"}.get(kind, "")
    workers = app.info()["workers"]
    pids = [worker["pid"] for key, worker in workers.items() if name in key]
    for pid in chance.sample(pids, 2 if kind == "two" else 1):
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()
    time.sleep(chance.uniform(0, 0.5))


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
    found = [(process, process.rlimit(psutil.RLIMIT_FSIZE)) for process in app.family()]
    for process, (_, hard) in found:
        process.rlimit(psutil.RLIMIT_FSIZE, (size, hard))
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
