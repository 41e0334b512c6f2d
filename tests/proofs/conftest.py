"""The order of the proofs, and the tables at the end of `verify`."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
from rich.table import Column, Table

from tests.proofs import evenness
from tests.proofs.running import REPOSITORY, STEPS
from tests.proofs.scene import compile_all
from tests.workshop.conftest import small as small
from workshop.core.output import console

LONGEST = ("test_lesson[", "test_starter[")
SHARING = ("test_environment.py", "test_grading.py", "test_site.py")
"""Files whose tests share something that takes long to make."""
AT_ONCE = 6
"""How many tests run at a time, which are more than there are cores, as tests wait."""
FEWER = 2
"""How many on a slow machine, because Sanic gives up an app that isn't up in 30 s."""
PATIENCE = 6 * 3600
"""Seconds after which a proof is ended: they wait for a busy machine."""

# A worker of pytest-xdist sets the first, and with it `ps` cuts its lines. With the
# second, hundreds of Pythons would compile the same files again.
for name in ("COLUMNS", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(name, None)

compile_all(REPOSITORY.root / "tests" / "harness")

# If a shell starts us with &, it lets us ignore Ctrl+C, and then every app would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Find out whether this process gets at least half of a core."""
    began, done = time.monotonic(), time.thread_time() + 0.2
    while time.thread_time() < done:
        pass
    return AT_ONCE if time.monotonic() - began < 0.4 else FEWER


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each test to the next free process, but whole files of some tests.

    The marks of pytest-xdist that are meant for this, `xdist_group`, have no effect in
    version 3.8 with pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file.endswith(SHARING) else nodeid

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, so that none is left to run alone at the end."""
    items.sort(key=lambda item: not item.name.startswith(LONGEST))
    for item in items:
        item.add_marker(pytest.mark.timeout(PATIENCE))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the matrix, the lines that each step asks for, and the retired tests."""
    cells: dict[str, dict[int, str]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "cell":
                    row, suite, text = value
                    cells.setdefault(row, {})[suite] = (
                        text if outcome == "passed" else "failed"
                    )
    if not cells:
        return
    name = Column("app, suite", no_wrap=True)
    matrix = Table(name, *(f"{step.number:02}" for step in STEPS), box=None)
    for row in sorted(cells):
        matrix.add_row(row, *(cells[row].get(step.number, "") for step in STEPS))
    lines = Table("step", "lines to write", "lines to read")
    for name, step_lines in evenness.table(REPOSITORY).items():
        lines.add_row(name, *map(str, step_lines))
    retired = Table("step", "tests that it retires", "because")
    for step in STEPS:
        for some in step.retires:
            names = ", ".join(sorted(some.tests))
            retired.add_row(f"{step.number:02}", names, some.reason)
    terminalreporter.write_line("")
    console().print(matrix, lines, retired)
