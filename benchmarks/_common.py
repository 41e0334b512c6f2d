"""The parts that the benchmarks share: the app, the peers, pictures, and their exit."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median_high
from typing import Any, NoReturn

import httpx
import psutil

from workshop.core import environment, processes
from workshop.core.environment import ROOT
from workshop.core.errors import WorkshopError
from workshop.learner import serving

SOLUTION = max((ROOT / "solutions").glob("[0-9][0-9]_*"))
"""The app that is measured."""
PEERS = environment.STATE / "peers"
"""An environment with what only the benchmarks need."""
PEER_PACKAGES = ("huey==3.5.4", "pygal==3.1.3")
PICTURES = ROOT / "benchmarks" / "pictures"


@dataclass(frozen=True)
class RunningApp:
    """An app, all of whose processes are up."""

    process: processes.Started
    """Sanic's main process."""
    port: int
    db: Path
    """The file that keeps its jobs."""
    http: httpx.Client

    def cpu(self) -> float:
        """Return the seconds of CPU time that all processes of the app have used."""
        total = 0.0
        main = psutil.Process(self.process.pid)
        for process in (main, *main.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def post(self, path: str) -> Any:
        """POST to a route of _server.py that measures, and return its answer."""
        reply = self.http.post(path, json={}, timeout=600)
        reply.raise_for_status()
        return reply.json()


@contextmanager
def running_app(servers: int = 2, **settings: Any) -> Iterator[RunningApp]:
    """Serve the measured app on a free port, with its data in a folder of its own.

    Args:
        servers: How many server processes it gets.
        **settings: Such as SAJE_SYNC="full".

    Yields:
        The app. Afterwards no process of it is left, and the folder is gone.

    Raises:
        WorkshopError: The app doesn't start.
    """
    with (
        # Windows can't remove a file that a process has had open until just now.
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        processes.interrupted_by_termination(),
    ):
        db, log = Path(folder, "jobs.db"), Path(folder, "log.txt")
        port = processes.free_port()
        command = [sys.executable, "-m", "sanic", "benchmarks._server:create_app"]
        command += ["--factory", f"--port={port}", f"--workers={servers}"]
        command += ["--no-motd", "--no-access-logs"]
        env = {f"SANIC_{name}": str(value) for name, value in settings.items()}
        env |= {"SANIC_SAJE_DB": str(db), "PYTHONPATH": str(ROOT)}
        with log.open("wb") as file:
            process = processes.start(command, SOLUTION, env, file)
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        app = RunningApp(process, port, db, client)
        try:
            deadline = time.monotonic() + serving.BOOT
            while not is_up(app, servers):
                if process.poll() is not None or time.monotonic() > deadline:
                    end = log.read_text(errors="replace").splitlines()[-30:]
                    raise WorkshopError(
                        "The app did not start. Its output ends with:\n"
                        + "\n".join(end)
                    )
                time.sleep(0.05)
            yield app
        finally:
            client.close()
            processes.stop(process, serving.GRACE)


def is_up(app: RunningApp, servers: int) -> bool:
    """Return whether the servers answer and a job has been run."""
    workers = (serving.info(app.port) or {}).get("workers", {})
    states = [w["state"] for name, w in workers.items() if "Server" in name]
    if len(states) < servers or set(states) != {"ACKED"}:
        return False
    app.post("/burst/20/20")
    return True


def peers_python() -> str:
    """Return the Python of the peers' environment, which is made first if necessary.

    Raises:
        WorkshopError: A package can't be installed.
    """
    python = environment.python_of(PEERS)
    stamp = PEERS / "installed"
    if not stamp.exists() or stamp.read_text() != "\n".join(PEER_PACKAGES):
        progress(f"Installing {' and '.join(PEER_PACKAGES)} in {PEERS} ...")
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(PEERS)],
            [str(python), "-m", "pip", "install", "--quiet", *PEER_PACKAGES],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise WorkshopError(f"The peers can't be installed: {done.stderr}")
        stamp.write_text("\n".join(PEER_PACKAGES))
    return str(python)


def huey(fsync: bool, workers: int, count: int) -> dict[str, float]:
    """Measure Huey on SQLite. See _huey.py."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        env = {"PEER_DB": str(Path(folder, "huey.db"))}
        env["PEER_FSYNC"] = "yes" if fsync else "no"
        command = [peers_python(), str(ROOT / "benchmarks" / "_huey.py")]
        done = subprocess.run(
            [*command, str(workers), str(count)],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise WorkshopError(f"Huey could not be measured: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def draw(name: str, title: str, bars: Mapping[str, float]) -> None:
    """Draw horizontal bars as an SVG, in the peers' environment.

    Args:
        name: The name of the file, without its ending.
        title: What is shown.
        bars: The values, by their labels.
    """
    PICTURES.mkdir(exist_ok=True)
    code = """
import json, sys
from pygal import Config, HorizontalBar
from pygal.style import Style
name, title, bars = json.loads(sys.stdin.read())
style = Style(background="white", plot_background="white", font_family="sans-serif",
              label_font_size=13, title_font_size=15)
chart = HorizontalBar(Config(
    js=[], show_legend=False, title=title, style=style, width=480, explicit_size=True,
    height=60 + 34 * len(bars), disable_xml_declaration=True, spacing=6, margin=12,
    show_y_guides=False, show_x_guides=False, show_x_labels=False, truncate_label=-1))
# A value beside its label is legible, however short its bar is.
chart.x_labels = [f"{k}: {v:,.0f}" for k, v in bars.items()][::-1]
chart.add("", [{"value": v, "color": "#0d7377" if "SAJE" in k else "#9aa0a6"}
               for k, v in list(bars.items())[::-1]])
chart.render_to_file(name)
"""
    target = PICTURES / f"{name}.svg"
    subprocess.run(
        [peers_python(), "-c", code],
        input=json.dumps([str(target), title, dict(bars)]),
        text=True,
        check=True,
    )
    progress(f"The picture is in {target.relative_to(ROOT)}.")


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


def progress(text: str) -> None:
    """Print progress on standard error, because it isn't part of the result."""
    print(text, file=sys.stderr, flush=True)


def spread(values: list[float], digits: int = 0) -> str:
    """Show the median of some values, the smallest and the largest."""
    ordered = sorted(values)
    low, middle, high = ordered[0], median_high(ordered), ordered[-1]
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


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
