"""`handin` and `grade`: copies of many kinds, graded as an instructor does it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import psutil
import pytest

from tests.workshop.conftest import (
    ANSWER,
    ANSWERED,
    LIMIT,
    SERVER,
    RunWorkshop,
    make_small,
    write,
)
from workshop.core import processes
from workshop.core.steps import Repository
from workshop.core.suites import BOTH_COME_UP
from workshop.instructor.grade_report import best_line
from workshop.instructor.grading import Cell, Mark

SLEEPER = """
import subprocess, sys, time
def sleeper():
    code = "import time; time.sleep(300)"
    subprocess.Popen([sys.executable, "-c", code, TOKEN], start_new_session=True)
"""
"""Leaves a process behind that nothing but its mark connects with the grading."""
HALF = ANSWER.replace("# TODO 1.1: give the answer\n    return 0", "return 42")
SLEEP = "import time\n    time.sleep(3600)\n    "
HANG = ANSWERED.replace('return "six', f'{SLEEP}return "six')
NO_START = f"raise AssertionError({BOTH_COME_UP!r})\n"
ANSWERS = {
    "hang": (HANG, "+T."),
    "green": (ANSWERED, "++."),
    "wrong": (ANSWERED.replace("seven", "six"), "+x."),
    "half": (HALF, "+o."),
    "untouched": (ANSWER.replace("\n", "\r\n"), "..."),
    "syntax": ("def answer(:\n", "xx."),
    "no_start": (NO_START + ANSWER, "SS."),
    "exits": ("import os\nos._exit(0)\n", "BB."),
    "odd_text": ("raise ValueError('\\x1b[31m\\udcff')\n", "xx."),
    "leaves": (SLEEPER + ANSWERED + "sleeper()\n", "++."),
    "writes": (ANSWERED + "open(__file__, 'w').write('gone')\n", "+x."),
    "Ada_&_Bob": (ANSWERED, "++."),
}
"""What step 1's app/answer.py is in these copies, and the signs they get."""
OTHERS = {
    "tests_edited": "+x.",
    "no_file": "xx.",
    "no_step": "++?",
    "empty": "???",
    "damaged": "???",
    "no_zip": "???",
    "twin": "++.",
    "other/twin": "++.",
}


class Room(NamedTuple):
    """A room that was graded."""

    output: str
    page: str


def make_copy(small: Repository, folder: Path, answer: str) -> Path:
    """Write a copy of the small workshop in which step 1 has another answer.py."""
    shutil.copytree(small.root / "steps", folder / "steps")
    with (folder / "steps/01_first/app/answer.py").open("w", newline="") as file:
        file.write(answer)
    return folder


def contents(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Return when each file below a folder was changed, and what it holds."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def living(token: str) -> list[psutil.Process]:
    """Return the running processes that have a word in their command line."""
    running = psutil.process_iter(["cmdline"])
    return [process for process in running if token in (process.info["cmdline"] or [])]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    """Copies of every kind, graded once."""
    base = tmp_path_factory.mktemp("room")
    small = make_small(base / "small workshop")
    copies = base / "copies"
    token = f"of-{base.name}-{os.getpid()}"
    paths = [
        make_copy(small, copies / name, answer.replace("TOKEN", repr(token)))
        for name, (answer, _) in ANSWERS.items()
    ]
    edited = make_copy(small, copies / "tests_edited", ANSWERS["wrong"][0])
    write(edited / "tests/01_first/test_it.py", "def test_it(): pass\n")
    no_file = make_copy(small, copies / "no_file", ANSWERED)
    (no_file / "steps/01_first/app/answer.py").unlink()
    no_step = make_copy(small, copies / "no_step", ANSWERED)
    shutil.rmtree(no_step / "steps/02_second")
    (copies / "empty").mkdir()
    twin = make_copy(small, copies / "deeper" / "inside", ANSWERED)
    shutil.make_archive(str(copies / "twin"), "zip", twin.parent)
    whole = (copies / "twin.zip").read_bytes()
    (copies / "damaged.zip").write_bytes(b"?" * 500 + whole[500:])
    (copies / "no_zip.txt").write_text("Ada was ill.")
    (copies / "green/steps/01_first/gone").symlink_to("nowhere")
    other_twin = make_copy(small, copies / "other" / "twin", ANSWERED) / "steps"
    paths += [edited, no_file, no_step, copies / "empty", copies / "damaged.zip"]
    paths += [copies / "no_zip.txt", copies / "twin.zip", other_twin]
    before = contents(copies)
    command = [sys.executable, str(small.root / "workshop"), "grade", "--jobs=3"]
    command += ["--time=60", "--html=page.html", *map(str, paths)]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=LIMIT, cwd=base
    )
    left = living(token)
    processes.kill(set(left))
    assert (done.returncode, done.stderr, left) == (0, "", [])
    assert contents(copies) == before
    return Room(done.stdout, (base / "page.html").read_text("utf-8"))


def signs_in(output: str) -> dict[str, str]:
    """Return the signs in the rows of a table, by the name of the copy."""
    row = re.compile(r" (.+?) +\d of \d +([-+xoSTB?. ]+)")
    rows = filter(None, map(row.fullmatch, output.splitlines()))
    return {row[1]: row[2].replace(" ", "") for row in rows}


def test_each_copy_gets_its_marks(room: Room) -> None:
    """A copy may do anything: the others still get theirs, sorted by name."""
    expected = {name: signs for name, (_, signs) in ANSWERS.items()} | OTHERS
    found = signs_in(room.output)
    assert found == expected
    assert list(found) == sorted(expected, key=str.casefold)
    columns = ["".join(signs) for signs in zip(*found.values(), strict=True)]
    totals = [f"{c.count('+')} of {len(re.sub('[TB?]', '', c))}" for c in columns]
    assert f"\n1.2 is green in {totals[1]}: Ask the [question]\n" in room.output
    assert "".join(f"<td>{total}</td>" for total in totals) in room.page


def test_it_says_who_is_stuck_and_why(room: Room) -> None:
    """There is a line for each attendee who needs help, and none for the others."""
    assert "\nwrong is stuck at 1.2 (red): no question\n" in room.output
    assert "\nhang isn't decided at 1.2 (out of time): The tests" in room.output
    assert "\nno_zip can't be graded: It isn't a zip file" in room.output
    assert "odd_text is stuck at 1.1 (red): \\x1b[31m\\udcff\n" in room.output
    assert not re.search(r"\n(green|untouched) (is|2)", room.output)
    assert room.output.startswith("This runs the code of the copies with your rights")


def test_page(room: Room) -> None:
    """The page has the TODOs' titles and all messages, and no name is markup."""
    assert '<span class="title">1.2 Ask the [question]</span>' in room.page
    assert "<h3>1.2: red</h3><pre>no question</pre>" in room.page
    assert ">Ada_&amp;_Bob</a>" in room.page
    assert "<b>green</b>, 2 of 3 green, 2.1 not started</summary>" in room.page
    assert "<b>untouched</b>, 0 of 3 green, not started</summary>" in room.page
    anchors = re.findall(r'href="#(.*?)"', room.page)
    assert len(anchors) == len(ANSWERS | OTHERS)
    assert all(f'id="{anchor}"' in room.page for anchor in anchors)


def test_interrupt(small: Repository, tmp_path: Path) -> None:
    """Ctrl+C ends everything, and prints the results so far."""
    token = f"of-{tmp_path.name}-{os.getpid()}"
    hang = SLEEPER.replace("TOKEN", repr(token)) + "sleeper()\ntime.sleep(300)\n"
    answers = {"first": ANSWERED, "hang": hang, "last": ANSWERED}
    copies = [make_copy(small, tmp_path / n, text) for n, text in answers.items()]
    command = [sys.executable, str(small.root / "workshop"), "grade", "--jobs=1"]
    command += ["--step=1", "--html=page.html", *map(str, copies)]
    with (tmp_path / "log").open("wb") as log:
        process = processes.start(command, tmp_path, output=log)
    deadline = time.monotonic() + LIMIT
    try:
        while not living(token):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        processes.send_signal(process, signal.SIGINT)
        assert process.wait(LIMIT) == 130
    finally:
        left = living(token)
        processes.kill(set(left))
        processes.stop(process, 0)
    assert not left
    log_text = (tmp_path / "log").read_text("utf-8")
    assert signs_in(log_text) == {"first": "++", "hang": "--", "last": "--"}
    assert "Traceback" not in log_text
    assert "\nStopping ...\n" in log_text
    assert "of 0" not in log_text
    assert 'title="not graded"' in (tmp_path / "page.html").read_text("utf-8")


def test_a_cause_that_is_certain_comes_first() -> None:
    """The summary is what was seen, and a guess only if nothing was."""
    guess = "did: x\nlikely:   put it on app.ctx\n"
    for message, line in {
        f"{guess}log:      a.py, line 2: ValueError": "a.py, line 2: ValueError",
        f"{guess}log:      the app's log says: no": "put it on app.ctx",
        f"got:      it loops in an endless loop at a.py, line 3\n{guess}": (
            "it loops in an endless loop at a.py, line 3"
        ),
        "It runs.\ngot:      nothing": "It runs. got:      nothing",
    }.items():
        assert best_line(Cell(Mark.RED, message)) == line


def test_a_page_that_cannot_be_written(
    small: Repository, workshop: RunWorkshop, tmp_path: Path
) -> None:
    """The marks are printed nevertheless."""
    page = tmp_path / "room.html"
    block = f"import os\nos.makedirs({str(page)!r}, exist_ok=True)\n"
    copy = make_copy(small, tmp_path / "Ada", ANSWERED + block)
    done = workshop("grade", "--step=1", f"--html={page}", str(copy))
    assert done.returncode == 2
    assert signs_in(done.stdout) == {"Ada": "++"}
    assert "The page can't be written" in done.stderr


def test_handin(workshop: RunWorkshop, small: Repository, tmp_path: Path) -> None:
    """The zip has the attendee's name and what `grade` needs, and nothing else."""
    write(small.root / "steps/01_first/app/answer.py", ANSWERED)
    for made in (".venv/lib.py", ".workshop/x.log", "steps/01_first/jobs.jsonl"):
        write(small.root / made, "")
    write(small.root / "steps/01_first/app/__pycache__/answer.pyc", "")
    done = workshop("handin", "(Ada", "Lovelace)")
    file = small.root / "Ada Lovelace.zip"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"kB). Hand in this file:\n{file}\n")
    with ZipFile(file) as packed:
        names = set(packed.namelist())
        assert packed.read("steps/00_start/server.py").decode() == SERVER
    assert {name.split("/")[0] for name in names} == {"steps"}
    assert "steps/01_first/app/answer.py" in names
    assert not [name for name in names if name.endswith((".pyc", ".jsonl"))]
    room = tmp_path / "room"
    room.mkdir()
    file.rename(room / file.name)
    graded = workshop("grade", "--step=1", str(room))
    assert signs_in(graded.stdout) == {"Ada Lovelace": "++"}
