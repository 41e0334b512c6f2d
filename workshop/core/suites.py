"""Runs test suites against an app in a pytest of its own, and reads its report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from workshop.core import processes
from workshop.core.files import require_writable
from workshop.core.steps import Repository

GRACE = 5.0
"""Seconds that an interrupted pytest may take to end its servers."""
BOTH_COME_UP = "both servers come up"
"""What a test expects of an app that doesn't start at all (see app_process.py)."""
PYTEST_RAN = (0, 1)
"""pytest's exit statuses if all tests passed, or if some failed."""
PYTEST = ("-m", "pytest", "-p", "pytest_timeout", "-p", "no:cacheprovider")
OWN_PYTEST = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    **{"PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": ""},
    "PYTHONUNBUFFERED": "1",
}
"""Keeps out the plugins and options that this machine has for other projects."""


@dataclass(frozen=True)
class Record:
    """How one test ended: a line of the report (see tests/conftest.py)."""

    nodeid: str
    todo: str | None
    outcome: str
    """"passed", "failed", or "error" (not in the test itself, but around it)."""
    assertion: bool
    """Whether the failure is an AssertionError."""
    message: str
    """The explanation for the learner."""

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return self.outcome == "passed"


class SuiteRun:
    """A run of some suites against one app. Call `poll` until it has a `status`."""

    def __init__(
        self,
        repository: Repository,
        suites: Sequence[Path],
        app: Path,
        name: str,
        todo: str | None = None,
        first_failure: bool = False,
        first: str | None = None,
        folder: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start pytest.

        Args:
            repository: The workshop.
            suites: The folders of tests, in the order to run them.
            app: The app's folder.
            name: What the log and the report are called. No other run may have it now.
            todo: The id of the only TODO to test, or None for all.
            first_failure: Whether to end with the first test that fails.
            first: The id of the TODO whose tests run before the others.
            folder: Where the log and the report go; the runner's own by default.
            env: Environment variables to add.

        Raises:
            OSError: Nothing can be written to that folder.
        """
        folder = folder or repository.state
        require_writable(folder)
        self.began = time.monotonic()
        self.log = folder / f"{name}.log"
        """pytest's output."""
        self.records: list[Record] = []
        self.todos: dict[str, str | None] = {}
        """The TODO of each test that pytest is going to run, by the test's id."""
        self._first_failure = first_failure
        self._report = folder / f"{name}.jsonl"
        self._report.write_bytes(b"")
        self._read = 0
        # pytest can't read absolute paths if a folder's name has brackets.
        paths = [os.path.relpath(suite, repository.root) for suite in suites]
        options = {"--app": app, "--todo": todo, "--first": first}
        options["--report"] = self._report
        command = [sys.executable, *PYTEST, "--color=no", *paths]
        command += [f"{k}={v}" for k, v in options.items() if v is not None]
        command += ["--exitfirst"] if first_failure else []
        with self.log.open("wb") as log:
            self.process = processes.start(
                command, repository.root, {**OWN_PYTEST, **(env or {})}, log
            )

    @property
    def status(self) -> int | None:
        """pytest's exit status; None while it is running."""
        return self.process.poll()

    def poll(self) -> list[Record]:
        """Return the records that were added since the last call."""
        with self._report.open("rb") as file:
            file.seek(self._read)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]  # the last line may be half written
        self._read += len(whole)
        records, todos = read(whole)
        self.records += records
        self.todos |= todos
        return records

    def wait(self, seconds: float) -> bool:
        """Wait up to some seconds for pytest to end, then `poll`; return if it has."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        ended = self.status is not None
        self.poll()
        return ended

    def stop(self) -> None:
        """End pytest and every server below it."""
        processes.stop(self.process, GRACE)

    def broken(self) -> str | None:
        """Return why the results of a finished run mean nothing; None if they do."""
        failed = [record for record in self.records if not record.passed]
        reported = {record.nodeid for record in self.records}
        silent = [test for test in self.todos if test not in reported]
        if self.status not in PYTEST_RAN:
            return f"pytest ended with status {self.status}"
        if not self.todos:
            return "pytest found no tests"
        if silent and not (failed and self._first_failure):
            return f"{len(silent)} tests said nothing, the first is {silent[0]}"
        if bool(failed) != bool(self.status):
            return f"pytest ended with status {self.status} and {len(failed)} failures"
        return None


def read(report: bytes) -> tuple[list[Record], dict[str, str | None]]:
    """Read lines of a report.

    Returns:
        How tests ended, and the TODO of each test that was going to run, by its id.
    """
    records: list[Record] = []
    todos: dict[str, str | None] = {}
    for line in report.splitlines():
        entry: dict[str, Any] = json.loads(line)
        if "todos" in entry:
            todos |= entry["todos"]
        else:
            records.append(Record(**{f.name: entry[f.name] for f in fields(Record)}))
    return records, todos


def suite_of(nodeid: str) -> str:
    """Return the suite of a test, so 01_some_name for tests/01_some_name/..."""
    return nodeid.split("/")[1]
