"""The parts that the benchmarks share: the app, figures, and their exit."""

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

from workshop.core import environment, processes
from workshop.core.errors import WorkshopError
from workshop.learner import serving

SOLUTION = environment.ROOT / "solutions" / "05_file_persistence"
"""The app that is measured."""


@dataclass(frozen=True)
class RunningApp:
    """An app with 2 servers and the worker, all of them up."""

    process: subprocess.Popen[bytes]
    """Sanic's main process."""
    port: int
    db: Path
    """The file that keeps its jobs."""
    log: Path
    """Its output."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{serving.HOST}:{self.port}"


@contextmanager
def running_app() -> Iterator[RunningApp]:
    """Serve the solution on a free port, with its data in a folder of its own.

    Yields:
        The app, once its servers and the worker are up. Afterwards no process of it is
        left, and the folder is gone.

    Raises:
        WorkshopError: The app doesn't start.
    """
    with (
        # Windows can't remove a file that a process has had open until just now.
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        processes.interrupted_by_termination(),
    ):
        db, log = Path(folder, "jobs.jsonl"), Path(folder, "log.txt")
        port = processes.free_port()
        command = [*serving.sanic_command(port), "--no-motd"]
        with log.open("wb") as file:
            process = processes.start(
                command, SOLUTION, {"SANIC_SAJE_DB": str(db)}, file
            )
        found = RunningApp(process, port, db, log)
        try:
            deadline = time.monotonic() + serving.BOOT
            while not is_up(found):
                if process.poll() is not None or time.monotonic() > deadline:
                    end = log.read_text(errors="replace").splitlines()[-30:]
                    raise WorkshopError(
                        "The app did not start. Its output ends with:\n"
                        + "\n".join(end)
                    )
                time.sleep(0.05)
            yield found
        finally:
            processes.stop(process, serving.GRACE)


def is_up(app: RunningApp) -> bool:
    """Return whether all servers have reported to Sanic and the worker takes jobs."""
    workers = (serving.info(app.port) or {}).get("workers", {})
    servers = [w for name, w in workers.items() if name.startswith("Sanic-Server-")]
    return (
        len(servers) == serving.SERVERS
        and all(server["state"] == "ACKED" for server in servers)
        # Sanic only knows that the worker was started.
        and "SAJE worker ready" in app.log.read_text(errors="replace")
    )


def client(app: RunningApp) -> httpx.Client:
    """Return a client of the app, which ignores any proxy in the environment."""
    return httpx.Client(base_url=app.url, timeout=30, trust_env=False)


def parser(name: str, docstring: str | None) -> argparse.ArgumentParser:
    """Return a benchmark's command line, still without options of its own.

    Args:
        name: The name of the benchmark.
        docstring: The docstring of its module.
    """
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
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
    """Print progress on standard error, because it isn't part of the result."""
    print(text, file=sys.stderr, flush=True)


def percentile_95(values: Sequence[float]) -> float:
    """Return the value that 95 % of the values (two at least) do not exceed."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def finish(main: Callable[[], int]) -> NoReturn:
    """Run a benchmark and exit with its status.

    Failures that can be expected are reported without a traceback: an app that does not
    start or stops answering, and Ctrl+C.
    """
    try:
        status = main()
    except WorkshopError as error:
        progress(str(error))
        status = environment.USAGE_ERROR
    except httpx.HTTPError as error:
        progress(f"The app gave the wrong answer, or none: {error!r}")
        status = 1
    except KeyboardInterrupt:
        progress("Stopped.")
        status = environment.INTERRUPTED
    sys.exit(status)
