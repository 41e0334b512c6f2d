"""Runs test suites against an app, as a pytest of its own, and reads its report."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from workshop.core import processes
from workshop.core.steps import Repository

GRACE = 5.0
"""Seconds an interrupted pytest may take to end its servers."""
BOTH_COME_UP = "both servers come up"
"""What a test expects of an app that does not start at all (see app_server.py)."""
PYTEST_RAN = (0, 1)
"""Its exit statuses when it came to the end: all passed, or some failed."""


@dataclass(frozen=True)
class Record:
    """How one test ended; a line of the report (see tests/conftest.py)."""

    nodeid: str
    suite: str
    todo: str | None
    title: str
    """The behaviour that was tested, in words."""
    outcome: str
    """"passed", "failed", or "error" (not in the test itself, but around it)."""
    phase: str
    """"setup", "call" or "teardown": where it failed."""
    assertion: bool
    """Whether the failure is an AssertionError."""
    message: str
    """What the learner is to read."""
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return self.outcome == "passed"


class SuiteRun:
    """Some suites, run against one app. ``poll`` it until it has a ``status``."""

    def __init__(
        self,
        repository: Repository,
        suites: list[Path],
        app: Path | None,
        name: str,
        todo: str | None = None,
        first_failure: bool = False,
        first: str | None = None,
        keyword: str | None = None,
        folder: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start pytest.

        Takes: ``suites``, the test folders, in the order to run them; ``app``, the
        app's folder, or None for tests that need none; ``name``, which the log and the
        report get; ``todo``, the id of the only todo to test, or None for all;
        ``first_failure``, to end with the first test that fails; ``first``, the id of
        the todo whose tests run before the others; ``keyword``, to run only the tests
        that have it in their names; ``folder``, where the log and the report go, by
        default with the runner's own; ``env``, variables to add.
        """
        folder = folder or repository.state
        folder.mkdir(exist_ok=True)
        self.began = time.monotonic()
        self.log = folder / f"{name}.log"
        """All that pytest printed."""
        self.records: list[Record] = []
        self.todos: dict[str, str | None] = {}
        """The todo of each test that pytest is going to run, by the test's id."""
        self._first_failure = first_failure
        self._report = folder / f"{name}.jsonl"
        self._report.write_bytes(b"")
        self._read = 0
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        command += ["--color=no", *(str(s) for s in suites)]
        if app is not None:
            command += ["--app", str(app)]
        if todo is not None:
            command += ["--todo", todo]
        if first_failure:
            command += ["--exitfirst"]
        if first is not None:
            command += ["--first", first]
        if keyword is not None:
            command += ["-k", keyword]
        command += ["--report", str(self._report)]
        with self.log.open("wb") as log:
            self.process = processes.start(
                command,
                cwd=repository.root,
                env={"PYTHONUNBUFFERED": "1", **(env or {})},
                output=log,
            )

    @property
    def status(self) -> int | None:
        """pytest's exit status; None while it runs."""
        return self.process.poll()

    def poll(self) -> list[Record]:
        """Return the records that have come since the last call."""
        with self._report.open("rb") as file:
            file.seek(self._read)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]  # The last line may be half written.
        self._read += len(whole)
        records, todos = read(whole)
        self.records += records
        self.todos |= todos
        return records

    def wait(self, seconds: float) -> bool:
        """Wait a while for pytest to end; return whether it has."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """End pytest and every server below it."""
        processes.stop(self.process, GRACE)

    def broken(self) -> str | None:
        """Tell why the results of a finished run are not to be believed, if so."""
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
    """Read lines of a report: how tests ended, and the todo of each that was to run."""
    records: list[Record] = []
    todos: dict[str, str | None] = {}
    for line in report.splitlines():
        entry: dict[str, Any] = json.loads(line)
        if "todos" in entry:
            todos |= entry["todos"]
        else:
            records.append(Record(**{f.name: entry[f.name] for f in fields(Record)}))
    return records, todos


def stop_all(runs: Sequence[SuiteRun], grace: float = GRACE) -> None:
    """End several runs at once, with every server below them.

    Takes: ``grace``, how long they may take to end their servers, in seconds.
    """
    processes.stop_all([run.process for run in runs], grace)


def suite_of(nodeid: str) -> str:
    """Return the suite of a test: tests/01_some_name/... is of 01_some_name."""
    return nodeid.split("/")[1]
