"""Huey on SQLite, measured in the environment of the peers.

`python _huey.py WORKERS COUNT` prints one line of JSON. The file and whether it is
synced come from PEER_DB and PEER_FSYNC, because Huey's own consumer, which runs in a
process of its own, imports this file as well. Jobs are sent one by one, as Huey's
interface asks.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import quantiles

from huey import SqliteHuey  # type: ignore[import-not-found]

huey = SqliteHuey(
    filename=os.environ["PEER_DB"], fsync=os.environ["PEER_FSYNC"] == "yes"
)


@huey.task()  # type: ignore[untyped-decorator]
def nothing() -> int:
    """Do nothing. (Huey doesn't store a None.)"""
    return 0


def main(workers: str, count: int) -> None:
    """Measure with some of Huey's workers, which are threads."""
    command = [sys.executable, "-m", "huey.bin.huey_consumer", "_huey.huey", "--quiet"]
    command += ["-k", "thread", "-w", workers]
    command += ["--delay", "0.001", "--max-delay", "0.01"]
    process = subprocess.Popen(command, cwd=Path(__file__).parent)
    try:
        one_by_one(1)  # waits until the consumer is up
        huey.storage.flush_all()
        began = time.perf_counter()
        for _ in range(count):
            nothing()
        stored = time.perf_counter() - began
        while huey.storage.result_store_size() < count:
            time.sleep(0.002)
        ended = time.perf_counter() - began
        cuts = quantiles(one_by_one(200), n=100, method="inclusive")
        found = {"stored": stored, "ended": ended, "median": cuts[49], "p99": cuts[98]}
        print(json.dumps(found))
    finally:
        process.terminate()
        process.wait()


def one_by_one(count: int) -> list[float]:
    """Send jobs, each after the result of the one before; return the milliseconds."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        result = nothing()
        while result.get() is None:
            pass
        times.append((time.perf_counter() - began) * 1000)
    return times


if __name__ == "__main__":
    from _huey import main as measure  # type: ignore[import-not-found]  # the tasks of this module have the same name

    measure(sys.argv[1], int(sys.argv[2]))
