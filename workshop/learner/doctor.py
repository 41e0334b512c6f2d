"""``doctor``: whether this machine can run the workshop, line by line."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.text import Text

from workshop.core import environment, processes, results
from workshop.core.errors import WorkshopError
from workshop.core.output import say
from workshop.core.steps import Repository
from workshop.learner import serving

SPAWN = 20
"""Seconds that a spawned process may take to answer."""
STOP = 10.0
"""Seconds that the app may take to end after SIGINT; without jobs it takes one."""
DISK = 200_000_000
"""Bytes that should be free: the packages take about half of it."""

Check = Callable[[Repository], str]
"""Returns what it found; raises WorkshopError with what is wrong and what to do."""


def doctor(repository: Repository, console: Console, report: bool) -> int:
    """Try all that the workshop needs, and print a line for each.

    Takes: ``report``, to add a block for the instructor.
    Returns: the exit status: 0 when everything is well.
    """
    lines = []
    for name, check in CHECKS.items():
        try:
            word, text = "ok", check(repository)
        except WorkshopError as error:
            word, text = "not ok", str(error)
        lines.append(f"{word:<6} {name}: {text}")
        # In one call: what the user reads is what the instructor gets.
        style = "green" if word == "ok" else "red"
        console.print(Text.assemble((lines[-1][:6], style), lines[-1][6:]))
    if report:
        say(console, "\nPaste this to the instructor:\n")
        say(console, "\n".join(["```text", *about(repository), *lines, "```"]))
    wrong = sum(not line.startswith("ok") for line in lines)
    say(console, f"\n{wrong} not ok." if wrong else "\nThis machine is ready.")
    return 1 if wrong else 0


def about(repository: Repository) -> list[str]:
    """Return what an instructor asks first."""
    import psutil

    steps = repository.steps()
    packages = ("sanic", "sanic-ext", "uvloop", "pydantic")
    return [
        f"Time: {datetime.now().astimezone().isoformat(timespec='seconds')}",
        f"System: {platform.platform()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        f"Python: {platform.python_version()} in {sys.prefix}",
        "Packages: " + ", ".join(f"{name} {version(name)}" for name in packages),
        f"Workshop: {edition(repository)}",
        f"Step: {results.here(repository):02}",
        *(
            f"  {step.number:02} {results.standing(repository, step).text}"
            for step in steps
        ),
    ]


def edition(repository: Repository) -> str:
    """Return what tells this workshop from an older one: a digest of what judges."""
    digest = hashlib.sha256()
    for name in ("solutions", "tests", "workshop"):
        digest.update(results.fingerprint(repository.root / name).encode())
    return digest.hexdigest()[:12]


def version(package: str) -> str:
    """Return the version of a package; "none" when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def python(repository: Repository) -> str:
    """Look at Python; one that is too old does not come as far as this."""
    return f"{platform.python_version()}, {sys.executable}"


def packages(repository: Repository) -> str:
    """Compare the installed packages with requirements.txt."""
    wrong = environment.missing_packages()
    if wrong:
        raise WorkshopError(
            f"{wrong[0]}. Delete the folder {environment.VENV} and type the command "
            "again"
        )
    return "all as in requirements.txt"


def port(repository: Repository) -> str:
    """Look whether the port of the lessons is free."""
    serving.require_port(serving.PORT)
    return f"{serving.PORT} is free"


def disk(repository: Repository) -> str:
    """Write, rename and remove a file wherever the workshop writes."""
    places = [repository.state, repository.root / "steps", Path(tempfile.gettempdir())]
    for folder in places:
        try:
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                part = Path(scratch, "part")
                part.write_text("written", encoding="utf-8")
                part.replace(Path(scratch, "whole"))
        except OSError as error:
            raise WorkshopError(
                f"cannot write to {folder} ({error.strerror}); copy the workshop into "
                "a folder of your own"
            ) from None
    free = shutil.disk_usage(repository.root).free
    if free < DISK:
        raise WorkshopError(f"only {free / 1e6:.0f} MB are free; make room for 200 MB")
    return f"writable, {free / 1e9:.0f} GB free"


def clock(repository: Repository) -> str:
    """Look whether the clock can be right: the workshop is not from the future."""
    made = (repository.root / "requirements.txt").stat().st_mtime
    # A clock may be set while somebody unpacks a file: a day does not matter.
    if time.time() < made - 86_400:
        raise WorkshopError(
            f"{datetime.now():%Y-%m-%d %H:%M} is before the workshop was made; set the "
            "clock, or the times of jobs make no sense"
        )
    return f"{datetime.now().astimezone().isoformat(timespec='seconds')}"


def name(repository: Repository) -> str:
    """Look whether this machine is reached by the address of the lessons."""
    with socket.socket() as listener, socket.socket() as caller:
        try:
            listener.bind((serving.HOST, 0))
            listener.listen()
            caller.settimeout(2)
            caller.connect(listener.getsockname())
        except OSError as error:
            raise WorkshopError(
                f"{serving.HOST} cannot be reached ({error.strerror}); look at the "
                "firewall"
            ) from None
    return f"{serving.HOST} can be reached"


def spawn(repository: Repository) -> str:
    """Start a Python as Sanic starts its processes, and get an answer from it."""
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    try:
        with context.Pool(1) as pool:
            pid = pool.apply_async(os.getpid).get(SPAWN)
    except (OSError, multiprocessing.TimeoutError) as error:
        raise WorkshopError(
            f"a process cannot be started ({error!r}); look at limits of processes, "
            "and at what guards the machine against programs"
        ) from None
    return f"process {pid} answered within {time.monotonic() - began:.1f} s"


def managed_process(repository: Repository) -> str:
    """Start the finished system, end it by SIGINT, and look for what is left."""
    solution = repository.solution(repository.steps()[-1])
    began = time.monotonic()
    with serving.running(solution) as app:
        up = time.monotonic() - began
        family = processes.descendants(app.process.pid)
        began = time.monotonic()
        processes.send_signal(app.process, signal.SIGINT)
        try:
            status = app.process.wait(STOP)
        except subprocess.TimeoutExpired:
            raise WorkshopError(
                f"the app did not end within {STOP:.0f} s of SIGINT; show this line to "
                "the instructor"
            ) from None
        # Those that it has ended may take a moment more.
        while any(map(processes.is_alive, family)) and time.monotonic() < began + STOP:
            time.sleep(0.02)
        left = [process.pid for process in family if processes.is_alive(process)]
        if status or left:
            raise WorkshopError(
                f"the app ended with status {status} and left {left or 'no process'}; "
                "show this line to the instructor"
            )
    ended = time.monotonic() - began
    return f"up in {up:.1f} s, {len(family)} processes, all ended in {ended:.1f} s"


CHECKS: dict[str, Check] = {
    "Python": python,
    "packages": packages,
    "clock": clock,
    "disk": disk,
    "network": name,
    "port": port,
    "spawn": spawn,
    "managed process": managed_process,
}
"""In the order in which they are tried."""
