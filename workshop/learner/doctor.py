"""``doctor``: whether the workshop runs on this machine, with a line for each check."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from urllib.request import getproxies_environment, proxy_bypass

from rich.text import Text

from workshop.core import environment, processes, results
from workshop.core.errors import WorkshopError
from workshop.core.files import require_writable
from workshop.core.output import console, say
from workshop.core.steps import Repository
from workshop.core.suites import SuiteRun
from workshop.learner import serving

CURL = 5
"""Seconds that curl may take to reach this machine."""
DISK = 200
"""Megabytes that should be free. The packages take about half of them."""


def doctor(repository: Repository, report: bool) -> int:
    """Try everything that the workshop needs, and print a line for each check.

    Returns:
        The exit status, which is 0 if nothing is wrong.
    """
    out = console()
    lines: list[str] = []
    causes: set[str] = set()
    for check in CHECKS:
        try:
            with out.status(check.__name__):
                word, text = "ok", check(repository)
        except (WorkshopError, OSError) as error:
            word, text = "not ok", environment.explained(str(error)) or str(error)
            # A full disk, for example, lets several checks fail.
            text = "for the same reason" if text in causes else text
            causes.add(text)
        lines.append(f"{word:<6} {check.__name__}: {text}")
        style = "green" if word == "ok" else "red"
        out.print(Text.assemble((lines[-1][:6], style), lines[-1][6:]), soft_wrap=True)
    if report:
        say(out, "\nPaste this to your instructor:\n")
        say(out, "\n".join(["```text", *about(repository), *lines, "```"]))
    wrong = sum(not line.startswith("ok") for line in lines)
    checks = "1 check" if wrong == 1 else f"{wrong} checks"
    if wrong:
        say(out, f"\n{checks} failed.")
    else:
        say(out, "\nThis machine is ready.")
        say(out, f"Read next: steps/{repository.step(0).name}/README.md")
    return 1 if wrong else 0


def about(repository: Repository) -> list[str]:
    """Return what an instructor asks first."""
    import psutil

    digest = hashlib.sha256()
    for folder in ("solutions", "tests", "workshop"):
        digest.update(results.fingerprint(repository.root / folder).encode())
    memory = psutil.virtual_memory().total / 2**30
    steps = repository.steps()
    return [
        f"Time: {datetime.now().astimezone().isoformat(timespec='seconds')}",
        f"System: {platform.platform()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        f"Python: {platform.python_version()}, {sys.executable}",
        f"Workshop: {digest.hexdigest()[:12]}",
        f"Step: {results.here(repository):02}",
        *(f"  {s.number:02} {results.standing(repository, s).text}" for s in steps),
    ]


def disk(repository: Repository) -> str:
    """Write a file wherever the workshop writes."""
    places = [repository.state, repository.root / "steps", Path(tempfile.gettempdir())]
    for folder in places:
        require_writable(folder)
    free = shutil.disk_usage(repository.root).free / 1e6
    if free < DISK:
        raise WorkshopError(f"Only {free:.0f} MB are free. Make room for {DISK} MB.")
    return f"writable, {free / 1e3:.0f} GB free"


def port(repository: Repository) -> str:
    """Look whether the port of the lessons is free."""
    serving.require_port(serving.PORT)
    return f"{serving.PORT} is free"


def curl(repository: Repository) -> str:
    """Send a request with curl to this machine, as the lessons do."""
    program = shutil.which("curl")
    if program is None:
        raise WorkshopError(
            "There is no curl on this machine, and the lessons need it. Install it, on "
            "Debian and Ubuntu with: sudo apt install curl"
        )
    with socket.create_server((serving.HOST, 0)) as server:
        server.settimeout(CURL)
        address = f"http://{serving.HOST}:{server.getsockname()[1]}/"
        command = [program, "--silent", "--max-time", str(CURL), address]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            server.accept()[0].close()
        except TimeoutError:
            if getproxies_environment() and not proxy_bypass(serving.HOST):
                set_it = "set" if os.name == "nt" else "export"
                raise WorkshopError(
                    "curl sends the requests for this machine to a proxy, because "
                    "http_proxy is set. In each terminal, type first: "
                    f"{set_it} NO_PROXY={serving.HOST},localhost"
                ) from None
            raise WorkshopError(
                f"curl doesn't reach {serving.HOST}. Look at the firewall, and at the "
                "file .curlrc in your home folder, which may name a proxy."
            ) from None
        finally:
            process.kill()
            process.wait()
    return f"it reaches {serving.HOST}"


def tests(repository: Repository) -> str:
    """Test the solution of step 02, which has every kind of process."""
    step = repository.step(2)
    began = time.monotonic()
    suites, app = [repository.suite(step)], repository.solution(step)
    with processes.interrupted_by_termination():
        run = SuiteRun(repository, suites, app, f"check-02-{os.getpid()}-0")
        try:
            while not run.wait(1):
                pass
        finally:
            run.stop()
    failed = [record for record in run.records if not record.passed]
    if failed or run.broken():
        what = failed[0].message if failed else run.broken()
        raise WorkshopError(
            f"The finished step 02 isn't green on this machine: {what}\n"
            f"What pytest printed is in {run.log}. Show all this to your instructor."
        )
    seconds = time.monotonic() - began
    return f"{len(run.records)} tests of step 02 passed in {seconds:.0f} s"


CHECKS = (disk, port, curl, tests)
"""In the order in which they are tried. Each returns what it has found, or raises
WorkshopError with what is wrong and what to do."""
