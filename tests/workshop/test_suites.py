"""A run of suites on a machine that other people have set up, and its leftovers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.workshop.conftest import ANSWERED, LIMIT, RunWorkshop, write
from workshop.core.steps import Repository
from workshop.core.suites import SuiteRun

STARTS_A_MANAGER = """
def test_manager(app):
    from multiprocessing import Manager
    from tempfile import mkdtemp
    mkdtemp(prefix="pymp-")  # as a killed app leaves it behind
    with Manager() as manager:
        assert manager.Queue().qsize() == 0
"""


def run(small: Repository) -> SuiteRun:
    """Start the suite of step 01."""
    step = small.step(1)
    return SuiteRun(small, [small.suite(step)], small.solution(step), "check-01")


def test_options_and_plugins_of_other_projects(
    workshop: RunWorkshop, small: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They don't turn a check red."""
    write(small.root / "steps/01_first/app/answer.py", ANSWERED)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    assert workshop("check", "1").returncode == 0
    found = run(small)
    found.process.wait(LIMIT)
    assert found.status == 0, found.log.read_text()


def test_folder_with_brackets(small: Repository) -> None:
    """pytest takes brackets for the parameters of a test."""
    moved = Repository(small.root.rename(small.root.parent / "br[ack]et é"))
    found = run(moved)
    found.process.wait(LIMIT)
    assert found.status == 0, found.log.read_text()


def test_folder_for_temporary_files(
    workshop: RunWorkshop, small: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path has room for a Manager's socket, and nothing is left there."""
    write(small.root / "steps/01_first/app/answer.py", ANSWERED)
    suite = small.root / "tests/01_first/test_it.py"
    write(suite, suite.read_text() + STARTS_A_MANAGER)
    with tempfile.TemporaryDirectory() as short:
        long = small.root / ("x" * 90)
        long.mkdir()
        for folder in (Path(short), long):
            monkeypatch.setenv("TMPDIR", str(folder))
            done = workshop("check", "1")
            assert done.returncode == 0, done.stdout
            assert list(folder.iterdir()) == []
