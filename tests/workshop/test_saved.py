"""reset, solve, restore and diff: replaced files are kept, and can be compared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workshop.conftest import ANSWER, ANSWERED, SERVER, RunWorkshop, write
from workshop.core.apps import contents
from workshop.core.steps import Repository
from workshop.learner import saved

MINE = ANSWERED.replace("six times seven", "mine")


@pytest.fixture
def mine(small: Repository) -> Path:
    """The app of step 1, as a learner has left it."""
    app = small.root / "steps" / "01_first"
    write(app / "README.md", "The lesson.\n")
    write(app / "app/answer.py", MINE)
    write(app / "app/notes/more.py", "notes = 1\n")
    (app / "app/answer.txt").write_bytes(b"no \xff text")
    (app / "jobs.jsonl").write_text("{}\n")
    return app


def test_reset_makes_the_starter_and_keeps_the_files(
    workshop: RunWorkshop, small: Repository, mine: Path
) -> None:
    """The step is as at its start, and all files are in the folder that it names."""
    before = contents(mine)
    workshop("check", "1")
    done = workshop("reset", "1")
    assert done.returncode == 0
    assert done.stdout.endswith("Read steps/01_first/README.md\n")
    assert (mine / "app/answer.py").read_text() == ANSWER
    assert not (mine / "app/notes/more.py").exists()
    assert (mine / "jobs.jsonl").exists()
    assert (mine / "step.toml").exists()
    assert contents(small.root / done.stdout.splitlines()[1]) == before
    assert "not started" in workshop().stdout.splitlines()[2]
    assert workshop().stdout.endswith("Type next:  python3 -m workshop run 1\n")
    # The second time, there is nothing to do and nothing to keep.
    assert "Nothing had to be replaced" in workshop("reset", "1").stdout
    assert len(saved.copies(small)) == 1


def test_restore_brings_files_back(
    workshop: RunWorkshop, small: Repository, mine: Path
) -> None:
    """It takes the learner's latest code, or a named copy, and keeps what it replaces.

    Only if there is no other code of the learner, it takes the starter or the solution.
    """
    assert "There is no copy yet" in workshop("restore").stderr
    before = contents(mine)
    workshop("reset", "1")
    [copy] = saved.copies(small)
    assert workshop("solve", "1").returncode == 0
    assert workshop("check", "1").returncode == 0
    assert workshop("restore", copy.name).returncode == 0
    assert contents(mine) == before
    workshop("restore")
    assert (mine / "app/answer.py").read_text() == ANSWERED
    assert len(saved.copies(small)) == 4
    assert workshop("reset", "1").returncode == 0
    workshop("restore")
    assert contents(mine) == before
    write(mine / "app/answer.py", MINE.replace("mine", "newer"))
    workshop("restore")
    assert contents(mine) == before
    workshop("solve", "1")
    workshop("reset", "1")
    workshop("restore")
    assert contents(mine) == before
    assert "All copies are in" in workshop("restore", "of_this_name").stderr


def test_a_changed_solution_changes_nothing(
    workshop: RunWorkshop, small: Repository, mine: Path
) -> None:
    """A starter that can't be made for certain isn't made at all."""
    write(small.root / "solutions/01_first/app/answer.py", ANSWERED + "\nmore = 1\n")
    before = contents(mine)
    done = workshop("reset", "1")
    assert done.returncode == 2
    assert "solutions/starters.json" in done.stderr
    assert contents(mine) == before
    assert saved.copies(small) == []


def test_what_was_deleted(workshop: RunWorkshop, mine: Path) -> None:
    """Reset brings back a file of the app, and git the rest, as each command says."""
    (mine / "app/answer.py").unlink()
    assert workshop("reset", "1").returncode == 0
    assert (mine / "app/answer.py").read_text() == ANSWER
    (mine / "step.toml").unlink()
    assert "HEAD -- steps/01_first/step.toml\n" in workshop("check", "1").stderr
    shutil.rmtree(mine)
    for command in ("", "check 1", "run 2", "hint", "diff 1", "reset 1", "watch 1"):
        done = workshop(*command.split())
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(
            "steps/01_first is missing. "
            "To bring it back: git checkout HEAD -- steps/01_first\n"
        )


def texts(folder: Path) -> set[tuple[str, str]]:
    """Return the names and texts of the Python files in a folder."""
    return {(path.name, path.read_text()) for path in folder.rglob("*.py")}


@pytest.mark.parametrize("after", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("command", ["reset 1", "solve 1", "restore"])
def test_a_kill_halfway_loses_nothing(
    small: Repository, workshop: RunWorkshop, mine: Path, command: str, after: float
) -> None:
    """Each file is old or new as a whole; once one is new, the old ones are in a copy.

    The kill comes some seconds after the first write.
    """
    workshop("solve", "1")
    shipped = {("answer.py", ANSWER), ("answer.py", ANSWERED), ("server.py", SERVER)}
    shipped |= texts(small.state)
    for number in range(400):  # Replacing so many takes a while.
        write(mine / f"app/more_{number}.py", f"mine = {number}\n" * 100)
    before = texts(mine)
    saved = small.state / "saved"  # where each of these commands writes first
    copies = len(list(saved.iterdir()))
    process = subprocess.Popen(
        [sys.executable, str(small.root / "workshop"), *command.split()]
    )
    while process.poll() is None and len(list(saved.iterdir())) == copies:
        time.sleep(0.001)
    time.sleep(after)
    process.kill()
    process.wait()
    # A copy is called part-... until all of it is there.
    for part in small.state.glob("saved/part-*"):
        shutil.rmtree(part)
    now = texts(mine) | texts(small.state)
    assert before <= now
    assert now <= before | shipped


def test_a_write_that_fails_halfway(
    small: Repository, mine: Path, workshop: RunWorkshop
) -> None:
    """The message says where the files are and how to bring them back."""
    before = contents(mine)
    (mine / "app/answer.py").unlink()
    write(mine / "app/answer.py/in/the_way.py", "")
    done = workshop("solve", "1")
    assert done.returncode == 2
    assert "Only a part of steps/01_first was replaced" in done.stderr
    assert f"{mine / 'app/answer.py'} can't be written" in done.stderr
    shutil.rmtree(mine / "app/answer.py")
    assert workshop(*done.stderr.split("workshop ")[-1].split()).returncode == 0
    del before["app/answer.py"]
    assert before.items() <= contents(mine).items()


def test_diff(workshop: RunWorkshop, mine: Path) -> None:
    """It shows the solution once the step is green, or with --spoil; or one file."""
    done = workshop("diff", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "diff 1 --spoil" in done.stderr
    spoiled = workshop("diff", "1", "--spoil").stdout
    assert '-    return "mine"\n+    return "six times seven"\n' in spoiled
    assert "-notes = 1" in spoiled
    for name in ("more.py", "app/notes/more.py", "steps/01_first/app/notes/more.py"):
        one = workshop("diff", "1", name, "--spoil").stdout
        assert "-notes = 1" in one
        assert "mine" not in one
    assert "app/answer.py" in workshop("diff", "1", "no.py", "--spoil").stderr


def test_diff_after_solve(workshop: RunWorkshop, mine: Path) -> None:
    """The app is its solution then, so the learner's own code is compared."""
    name = workshop("solve", "1").stdout.split("restore ")[1].split()[0]
    shown = workshop("diff", "1", "--spoil").stdout
    assert shown.startswith("steps/01_first is the same as its solution.\n")
    assert f"--- .workshop/saved/{name}/01_first/app/answer.py" in shown
    assert '-    return "mine"\n+    return "six times seven"\n' in shown


def test_diff_between_steps(workshop: RunWorkshop) -> None:
    """It shows what one step adds to another, once all in between are green."""
    done = workshop("diff", "1", "2")
    assert done.returncode == 2
    assert "diff 1 2 --spoil" in done.stderr
    shown = workshop("diff", "1", "2", "--spoil").stdout
    assert "+++ solutions/02_second/app/more.py" in shown
    assert "answer.py" not in shown
    shown = workshop("diff", "1", "2", "server.py", "--spoil").stdout
    same = "solutions/01_first and solutions/02_second have the same server.py.\n"
    assert shown == same


@pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")
def test_diff_on_a_terminal_uses_a_pager(small: Repository, mine: Path) -> None:
    """The pager is the one of the environment."""
    paged = small.root / "paged.txt"
    ours, theirs = os.openpty()
    subprocess.run(
        [sys.executable, str(small.root / "workshop"), "diff", "1", "--spoil"],
        stdin=theirs,
        stdout=theirs,
        env={**os.environ, "TERM": "xterm", "PAGER": f"cat > '{paged}'"},
        check=True,
    )
    os.close(theirs)
    os.close(ours)
    assert "six times seven" in paged.read_text()
