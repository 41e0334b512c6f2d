"""bench: benchmarks are listed and run, and what they count is counted right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import _common, load
from tests.workshop.conftest import ROOT, RunWorkshop, write
from workshop import benching
from workshop.steps import Repository

LOOK = '''"""How long a look takes.

More of it.
"""

import sys
from pathlib import Path

from benchmarks._shared import STATUS

print(Path.cwd(), sys.argv[1:])
sys.exit(STATUS)
'''


@pytest.fixture
def benches(small: Repository) -> Path:
    """The small workshop's folder of benchmarks."""
    folder = small.root / "benchmarks"
    write(folder / "look.py", LOOK)
    write(folder / "wait.py", '"""How long a [wait] takes."""\n')
    write(folder / "__init__.py", "")
    write(folder / "_shared.py", '"""Not to be run."""\n\nSTATUS = 3\n')
    return folder


def test_bench_lists_them(workshop: RunWorkshop, benches: Path) -> None:
    """Without a name: one line each, and how to run one."""
    done = workshop("bench")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout == (
        "look     How long a look takes.\n"
        "wait     How long a [wait] takes.\n"
        "\nTo run one: python3 -m workshop bench NAME\n"
    )


def test_bench_runs_one(workshop: RunWorkshop, benches: Path) -> None:
    """It runs in the repository, with the options given, and its status counts."""
    done = workshop("bench", "look", "--help", "-x", "7")
    assert done.stderr == ""
    assert done.stdout == f"{benches.parent} ['--help', '-x', '7']\n"
    assert done.returncode == 3


@pytest.mark.parametrize("name", ["lok", "_shared", "__init__", "../look"])
def test_no_such_benchmark(workshop: RunWorkshop, benches: Path, name: str) -> None:
    """A name that is none is answered with those there are."""
    done = workshop("bench", name)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"There is no benchmark {name}. There are: look, wait.\n"


def test_each_benchmark_says_what_it_shows() -> None:
    """In a line that fits the list on a terminal of 80 columns."""
    found = benching.benchmarks(Repository(ROOT))
    assert {"latency", "load", "look_up"} <= found.keys()
    for name, what in found.items():
        assert 0 < len(what) <= 70, name


def test_look_up_measures_every_file() -> None:
    """A row for each number of records; the ratio of the first is 1."""
    command = [sys.executable, "-m", "benchmarks.look_up", "--look-ups", "10"]
    done = subprocess.run(
        [*command, "--records", "100", "1000"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    _, first, second, _ = done.stdout.splitlines()
    assert first.split()[0] == "100"
    assert first.split()[-1] == "1.00"
    assert second.split()[0] == "1,000"


def test_percentile() -> None:
    """It is interpolated between the values, and never beyond the largest."""
    assert _common.percentile_95(range(101)) == 95
    assert _common.percentile_95([1, 2]) == pytest.approx(1.95)


UIDS = ["first", "second"]


def job_file(*records: tuple[str, str]) -> bytes:
    """A job file with these jobs and states."""
    lines = (json.dumps({"uid": uid, "state": state}) for uid, state in records)
    return "".join(f"{line}\n" for line in lines).encode()


WHOLE = job_file(
    ("first", "queued"),
    ("second", "queued"),
    ("first", "running"),
    ("first", "succeeded"),
    ("second", "running"),
    ("second", "succeeded"),
)


def test_load_accepts_a_whole_file() -> None:
    """Jobs may run side by side, and an empty line does no harm."""
    assert load.problems_of_file(WHOLE, UIDS) == []
    with_empty = WHOLE.replace(b"\n", b"\n\n", 1)
    assert load.problems_of_file(with_empty, UIDS) == []
    assert load.empty_lines(WHOLE) == 0
    assert load.empty_lines(with_empty) == 1


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        (WHOLE[:-1], "the last line has no end"),
        (WHOLE.replace(b'"uid"', b'\n"uid"', 1), "line 1 is torn"),
        (WHOLE + b"null\n", "line 7 is torn"),
        (WHOLE + b"{}\n", "line 7 is torn"),
        (WHOLE + job_file(("third", "queued")), "third was never answered"),
        (WHOLE + job_file(("first", "failed")), "first has the lines queued, running"),
        (job_file(("first", "queued")), "second has the lines (none)"),
        (
            WHOLE.replace(b"queued", b"later", 1)
            .replace(b"running", b"queued", 1)
            .replace(b"later", b"running", 1),
            "first has the lines running, queued, succeeded",
        ),
    ],
)
def test_load_finds_each_fault_of_a_file(file: bytes, fault: str) -> None:
    """What is torn, missing, too much or out of order is told."""
    problems = load.problems_of_file(file, UIDS)
    assert any(fault in problem for problem in problems), problems


def test_load_finds_faults_of_answers() -> None:
    """A POST that was refused, a uid twice, a job that has not succeeded."""
    details = {"first": {"state": "succeeded"}, "second": {"state": "queued"}}
    outcome = load.Outcome([(202, "first"), (500, "no")], details, 0.0, 1.0)
    assert load.problems_of_posts(outcome.posts) == ["status 500: no"]
    assert load.problems_of_uids(UIDS, 2) == []
    assert load.problems_of_uids(["first", "first"], 2) == ["there are 1"]
    assert load.problems_of_jobs(UIDS, outcome) == ["second: queued"]


def test_load_reports_problems(capsys: pytest.CaptureFixture[str]) -> None:
    """A claim that does not hold is BAD, with the first few reasons."""
    assert load.passed("it holds", [])
    assert not load.passed("it does not", [f"reason {n}" for n in range(7)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["ok  it holds", "BAD it does not", "    reason 0"]
    assert lines[-1] == "    and 2 more"
    assert len(lines) == 8
