"""The commands that check and tell, each run as a user runs it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workshop.conftest import ANSWER, ANSWERED, LIMIT, Running, RunWorkshop, write
from tests.workshop.test_environment import be_an_ordinary_user
from workshop.core.files import write_whole
from workshop.core.steps import Repository
from workshop.learner import serving

HALF = ANSWERED.replace("six times seven", "mine")


def save(small: Repository, text: str = ANSWERED) -> None:
    """Edit step 1 as a learner does."""
    write(small.root / "steps/01_first/app/answer.py", text)


def test_progress_follows_the_learner(workshop: RunWorkshop, small: Repository) -> None:
    """A step goes from not started over red to green, and says if it was edited."""

    def state() -> str:
        return next(line for line in workshop().stdout.splitlines() if "01" in line)

    start = workshop().stdout
    assert start.count("not started") == 3
    assert "The lesson: steps/00_start/README.md" in start
    assert start.endswith("Type next:  python3 -m workshop run 0\n")
    save(small, ANSWER.replace("# TODO 1.1", "#"))
    assert "not checked" in state()
    save(small, HALF)
    workshop("check", "1")
    assert "red 1 of 2" in state()
    assert "edited since" not in state()
    save(small)
    assert "red 1 of 2, edited since" in state()
    workshop("check", "1")
    assert "green" in state()
    assert "edited since" not in state()
    write(small.root / "steps/01_first/app/info.py", "")
    assert "green, edited since" in state()


def test_check_from_red_to_green(workshop: RunWorkshop, small: Repository) -> None:
    """There is a line for each TODO, the first failure, and what to do next."""
    done = workshop("check", "1")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(
        "Checking steps/01_first\nred 1.1 Give the answer\nred 1.2 Ask the [question]\n"
    )
    assert "the [answer] is 42" in done.stdout
    assert "no question" not in done.stdout
    assert "Red: 0 of 2 TODOs are green" in done.stdout
    save(small)
    done = workshop("check", "1")
    assert done.returncode == 0
    assert "ok  1.1 Give the answer (it was red)\n" in done.stdout
    assert done.stdout.endswith("Next: read steps/02_second/README.md\n")
    assert "ok  1.1 Give the answer\n" in workshop("check", "1").stdout


def test_check_runs_its_own_suite_first(
    workshop: RunWorkshop, small: Repository
) -> None:
    """Each earlier suite follows on a line of its own, with its red TODOs."""
    workshop("solve", "2")
    done = workshop("check", "2")
    assert done.returncode == 0
    assert done.stdout.startswith("Checking steps/02_second\nok  2.1 Give more\n")
    workshop("reset", "2")
    write(small.root / "steps/02_second/app/answer.py", ANSWER)
    lines = workshop("check", "2").stdout.splitlines()
    assert lines[1:3] == ["red 2.1 Give more", "red 01_first: 1.1, 1.2"]
    assert "red 0 of 1 (and 01)" in workshop().stdout


def test_check_of_one_todo(workshop: RunWorkshop, small: Repository) -> None:
    """Only its tests run, and the state of the step stays what it was."""
    save(small, HALF)
    done = workshop("check", "1", "--todo", "1.1")
    assert done.returncode == 0
    assert "ok  1.1" in done.stdout
    assert not re.search(r"^\S+ +1\.2 ", done.stdout, re.MULTILINE)
    assert "Green: 1 test passed" in done.stdout
    assert done.stdout.endswith("python3 -m workshop check 1\n")
    assert workshop("check", "1", "--todo", "1.2").returncode == 1
    assert not (small.state / "results").exists()
    done = workshop("check", "1", "--todo", "2.1")
    assert done.returncode == 2
    assert done.stderr == "2.1 isn't a TODO of step 01. It has: 1.1, 1.2.\n"


def test_a_missing_file_is_named(workshop: RunWorkshop, small: Repository) -> None:
    """Run and check say which file is missing, and how to get back only that."""
    (small.root / "steps/02_second/app/more.py").unlink()
    for command in ("run", "check"):
        done = workshop(command, "2")
        assert done.returncode == 2
        assert done.stderr == (
            "steps/02_second/app/more.py is missing.\n"
            "To get only that back: git checkout HEAD -- steps/02_second/app/more.py\n"
            "To start the step over: python3 -m workshop reset 2\n"
            "(That keeps a copy of the files that are there.)\n"
        )
    (small.root / "steps/00_start/server.py").unlink()
    assert workshop("run", "0").stderr.startswith("steps/00_start/server.py is missing")


def test_check_on_a_terminal_shows_what_is_running(
    small: Repository,
    started: Callable[..., Running],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last line names the test and how many are left; it swallows no other line."""
    suite = small.root / "tests/01_first/test_it.py"
    # Each test waits until its name was seen.
    wait = f"""
    import pathlib, sys, time
    seen = pathlib.Path({str(tmp_path)!r}, sys._getframe().f_code.co_name)
    while not seen.exists(): time.sleep(0.01)
    assert call"""
    write(suite, suite.read_text().replace("    assert call", wait))
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal then
    monkeypatch.setenv("TERM", "xterm")
    check = started("check", "1")
    for name, left in (("test_answer", 2), ("test_question", 1)):
        check.says(f"{name} ({left} left)")
        (tmp_path / name).touch()
    assert check.process.wait(LIMIT) == 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", check.log.read_bytes().decode())
    lines = [line.rpartition("\r")[2] for line in text.split("\n")]
    assert "red 1.1 Give the answer" in lines
    assert "red 1.2 Ask the [question]" in lines


def test_checks_beside_each_other(
    workshop: RunWorkshop,
    small: Repository,
    started: Callable[..., Running],
    tmp_path: Path,
) -> None:
    """Two checks of one step don't disturb each other."""
    save(small)
    suite = small.root / "tests/01_first/test_it.py"
    # The first test waits until both have begun with it.
    meet = f"""
    import os, pathlib, time
    folder = pathlib.Path({str(tmp_path)!r})
    (folder / f"at-{{os.getpid()}}").touch()
    while len(list(folder.glob("at-*"))) < 2: time.sleep(0.01)
    assert call"""
    write(suite, suite.read_text().replace("    assert call", meet, 1))
    checks = [started("check", "1") for _ in range(2)]
    for check in checks:
        assert check.process.wait(LIMIT) == 0
        check.says("Green: 2 tests passed")
    # A later check removes their files.
    workshop("check", "2")
    assert not [*small.state.glob("check-01-*")]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("import nothing_of_this_name", "pytest ended with status 2"),
        ("import os; os._exit(0)", "pytest found no tests"),
        ("def test_die(app): import os; os._exit(0)", "tests said nothing"),
        ("def test_skip(app): pytest.skip('no')", "status 0 and 1 failures"),
    ],
)
def test_check_never_takes_a_broken_run_for_green(
    workshop: RunWorkshop, small: Repository, damage: str, reason: str
) -> None:
    """Whatever breaks pytest, it says so in two lines, with the log, and status 1."""
    save(small)
    suite = small.root / "tests/01_first/test_it.py"
    write(suite, f"{suite.read_text()}\n{damage}\n")
    done = workshop("check", "1")
    assert done.returncode == 1
    *_, first, second = done.stdout.splitlines()
    assert reason in first
    assert Path(second.removeprefix("What pytest printed is in ")).exists()
    assert "Green:" not in done.stdout
    result = json.loads((small.state / "results" / "01.json").read_text())
    assert result["green"] is False


def test_check_of_a_todo_without_a_test_is_red(
    workshop: RunWorkshop, small: Repository
) -> None:
    """A TODO that no test decides is never green, although all tests passed."""
    save(small)
    suite = small.root / "tests/01_first/test_it.py"
    write(suite, suite.read_text().replace('"1.2"', '"1.1"'))
    done = workshop("check", "1")
    assert done.returncode == 1
    assert "red 1.2 not decided" in done.stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("check 0", "python3 -m workshop run 0"),
        (
            "check 7",
            "There is no step 7. The steps are: 00_start, 01_first, 02_second.",
        ),
        ("hint 1.9", "There is no TODO 1.9. There are: 1.1, 1.2."),
        ("chek 1", "To see what there is: python3 -m workshop --help"),
        ("reset", "Which step? For example: python3 -m workshop reset 3"),
        ("check 1.2", "is a TODO. To check only that one: python3 -m workshop check 1"),
        ("handin", "python3 -m workshop handin Ada Lovelace"),
        ("check one", "To see what there is: python3 -m workshop --help"),
        ("run 1 --port 70000", "A port is a number from 1 to 65535."),
        (
            "run 1 --port 20001 --host 192.0.2.1",
            "an address of this machine with --host",
        ),
        ("grade nowhere", "There is no "),
        ("grade . --step=0", "Step 00 has nothing to edit."),
        ("grade . --html=no/where", "The page can't be written"),
        ("schedule --start=nine", "'nine' does not match format"),
        ("schedule --break=10:30", "isn't a time and minutes such as 10:30+15"),
        ("schedule --break=8:00+5", "because the workshop takes from 09:00 to"),
        ("schedule --break=9:10+60 --break=9:30+5", "another break isn't over by then"),
    ],
)
def test_a_wrong_command_line(workshop: RunWorkshop, command: str, said: str) -> None:
    """It is answered in one or two lines, which say what to type instead."""
    done = workshop(*command.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_hints_come_one_by_one(workshop: RunWorkshop, small: Repository) -> None:
    """Each call shows one more, up to three; without an id, of the first red TODO."""
    first, second, third, fourth = (workshop("hint").stdout for _ in range(4))
    assert first.startswith("TODO 1.1:")  # step 00 has none
    assert "Which number?" in first
    assert "Multiplication." not in first
    assert "Multiplication." in second
    assert "return 6 * 7" not in second
    assert "return 6 * 7" in third
    assert fourth == third
    save(small, HALF)
    workshop("check", "1")
    assert workshop("hint").stdout.startswith("TODO 1.2:")
    save(small)
    workshop("check", "1")
    assert "hint 1.1" in workshop("hint").stderr


COMMANDS = ["check 1", "demo", "watch 1", "reset 1", "solve 1"]
"""Those that have to write."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_state_folder_that_cannot_be_written(
    workshop: RunWorkshop, small: Repository, command: str
) -> None:
    """Each command ends with a sentence that names the path."""
    save(small, HALF)
    small.state.write_text("in the way")
    done = workshop(*command.split())
    assert done.returncode == 2
    assert str(small.state) in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_what_is_only_remembered_stops_nothing(
    workshop: RunWorkshop, small: Repository
) -> None:
    """If nothing can be remembered, a hint says so, and run comes to its port."""
    small.state.write_text("in the way")
    done = workshop("hint", "1.1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Hint 1 of 3" in done.stdout
    assert done.stdout.endswith("To find out why: python3 -m workshop doctor\n")
    with socket.create_server((serving.HOST, 0)) as other:
        port = other.getsockname()[1]
        done = workshop("run", "1", "--port", str(port))
    assert done.stderr.startswith(f"Port {port} is taken")


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    """The new file grew beside the old one, so it has to go."""
    write(tmp_path / "here.json" / "in_the_way", "")
    with pytest.raises(OSError, match=r"here\.json"):
        write_whole(tmp_path / "here.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["here.json"]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("name", [".", "jobs.db.lock"])
def test_a_demo_of_somebody_else(small: Repository, name: str) -> None:
    """Whether a folder or a file isn't ours, it says so before Sanic starts."""
    theirs = small.state / "demo" / name
    write(small.state / "demo" / "jobs.db.lock", "")
    theirs.chmod(0o555)
    done = subprocess.run(
        [sys.executable, str(small.root / "workshop"), "demo"],
        capture_output=True,
        encoding="utf-8",
        preexec_fn=be_an_ordinary_user,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{theirs} can't be used.")
    assert "sudo chown" in done.stderr


FULL_DISK = """
mount -t tmpfs -o size=9m none "$1" || exit 77
cp -r "$2"/. "$1" && cd "$1" || exit
dd if=/dev/zero of=fill bs=1k 2>/dev/null
"$3" workshop $4
status=$?
find .workshop -name "*.json.*"
cat steps/01_first/app/answer.py
exit $status
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(small: Repository, tmp_path: Path, command: str) -> None:
    """Each command that has to write says so, and loses no code."""
    save(small, HALF)
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh"]
    words += [str(disk), str(small.root), sys.executable, command]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", timeout=LIMIT)
    if done.returncode == 77 or done.stderr.startswith("unshare"):
        pytest.skip(f"no disk can be mounted here: {done.stderr}")
    assert done.returncode == 2, done.stderr
    assert "The disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.endswith(HALF)
    assert ".json." not in done.stdout
