"""What the benchmarks share: the running app, figures, and how a benchmark ends."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx

from workshop import bootstrap, processes, serving
from workshop.errors import WorkshopError

SOLUTION = bootstrap.ROOT / "solutions" / "05_file_persistence"
"""The app that is measured."""
SETTLE = 0.5
"""Seconds after which Sanic's main process has seen that its servers are up: it looks
every 0.1 s. A Ctrl+C before that makes it wait for ever."""
LOG_LINES = 30
"""How much of the app's log is shown when it does not start."""


@dataclass(frozen=True)
class RunningApp:
    """Solution 05 with 2 servers and the worker, all of them up."""

    url: str
    db: Path
    """The file that keeps its jobs."""
    log: Path
    """What it has printed."""


@contextmanager
def running_app() -> Iterator[RunningApp]:
    """Serve solution 05 as ``workshop demo`` does, on a free port, its data apart.

    When it ends, no process of the app is left, and neither is the data.

    Raises: WorkshopError, with the end of the app's log, when the app does not start.
    """
    with (
        # Windows keeps a file that some process has just had open.
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        processes.interrupted_by_termination(),
    ):
        port = processes.free_port()
        url = f"http://{serving.HOST}:{port}"
        app = RunningApp(url, Path(folder, "jobs.jsonl"), Path(folder, "log.txt"))
        command = [*serving.sanic_command(port), "--no-motd"]
        with app.log.open("wb") as log:
            process = processes.start(
                command, SOLUTION, {"SANIC_SAJE_DB": str(app.db)}, log
            )
        grace = serving.GRACE_AT_START
        try:
            wait_until_up(app, process)
            grace = serving.GRACE
            yield app
        finally:
            processes.stop(process, grace)


def wait_until_up(app: RunningApp, process: subprocess.Popen[bytes]) -> None:
    """Wait until every server and the worker are up, and Sanic can be stopped.

    Raises: WorkshopError, with the end of the app's log, when that takes too long.
    """
    deadline = time.monotonic() + serving.BOOT
    with client(app) as http:
        while not is_up(app, http):
            if process.poll() is not None or time.monotonic() > deadline:
                lines = app.log.read_text(errors="replace").splitlines()
                end = "\n".join(lines[-LOG_LINES:])
                raise WorkshopError(f"The app did not start. It printed:\n{end}")
            time.sleep(0.05)
    time.sleep(SETTLE)


def is_up(app: RunningApp, http: httpx.Client) -> bool:
    """Tell whether all servers have reported to Sanic, and the worker takes jobs."""
    try:
        workers = http.get("/v1/info").raise_for_status().json()["workers"]
    except httpx.HTTPError:
        return False
    servers = [w for name, w in workers.items() if name.startswith("Sanic-Server-")]
    return (
        len(servers) == serving.SERVERS
        and all(server["state"] == "ACKED" for server in servers)
        # Of the worker, Sanic knows no more than that it was started.
        and "SAJE worker ready" in app.log.read_text(errors="replace")
    )


def client(app: RunningApp) -> httpx.Client:
    """Return a client of the app; a proxy in the environment is not for it."""
    return httpx.Client(base_url=app.url, timeout=30, trust_env=False)


def parser(name: str, docstring: str | None) -> argparse.ArgumentParser:
    """Return a benchmark's command line, still without options of its own.

    Takes: ``docstring``, of the benchmark's module.
    """
    return argparse.ArgumentParser(
        prog=f"python3 -m workshop bench {name}",
        description=docstring,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def at_least(smallest: int) -> Callable[[str], int]:
    """Return what reads an option's whole number and refuses one that is too small."""

    def number(text: str) -> int:
        if int(text) < smallest:
            raise argparse.ArgumentTypeError(f"{text} is less than {smallest}")
        return int(text)

    return number


def progress(text: str) -> None:
    """Tell the user how it goes; on standard error, as it is no result."""
    print(text, file=sys.stderr, flush=True)


def percentile_95(values: Sequence[float]) -> float:
    """Return the value that 95 % of the values (two at least) do not exceed."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def finish(main: Callable[[], int]) -> NoReturn:
    """Carry out a benchmark and end the process with its status.

    What is to be expected is said without a traceback: an app that does not start or
    no longer answers, and a Ctrl+C.
    """
    try:
        status = main()
    except WorkshopError as error:
        progress(str(error))
        status = bootstrap.USAGE_ERROR
    except httpx.HTTPError as error:
        progress(f"The app did not answer as it must: {error!r}")
        status = 1
    except KeyboardInterrupt:
        progress("Stopped.")
        status = bootstrap.INTERRUPTED
    sys.exit(status)
