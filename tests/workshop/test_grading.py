"""``grade``: many copies, some of them hostile, and a cell for each."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest

from tests.workshop.conftest import (
    ANSWERED,
    ROOT,
    SERVER,
    RunWorkshop,
    make_small,
    write,
)
from workshop.core import processes
from workshop.core.files import SHALLOW, flatten
from workshop.core.steps import Repository
from workshop.instructor import grading
from workshop.instructor.grading import (
    Mark,
    Unreadable,
    copies_of,
    copy_app,
    printable,
    summary,
)

TIME, MEMORY, PROCESSES, OUTPUT = 10, 300, 15, 2
"""The limits of the room: seconds, MB, a count, MB."""
HOSTILE = "<script>alert(1)\x1b[red]&"
if sys.platform == "linux":
    HOSTILE += "\udcff"  # A byte that is no text.

DETACHED = """
import os, subprocess, sys, time

def detached(code):
    # A process of no parent, in a session of its own. Its environment is empty: Linux
    # needs no mark in it to know whose it was.
    env = {} if sys.platform == "linux" else None
    middle = "import subprocess, sys; subprocess.Popen("
    middle += "[sys.executable, '-c', *sys.argv[1:]], start_new_session=True)"
    subprocess.run([sys.executable, "-c", middle, code, __file__, TOKEN], env=env)
"""

# Bounded, so that a grading that fails to stop it does not take the machine with it.
BOMB = """
import os, time
for _ in range(150):
    if os.fork() == 0:
        os.setsid()
        os.fork()
        time.sleep(60)
        os._exit(0)
    time.sleep(0.05)
time.sleep(60)
"""

# Each of its processes starts another, again and again, until there are 400.
FAST_BOMB = """
import os, random, time
tokens, end = os.pipe()
os.write(end, b"x" * 400)
os.close(end)
while os.read(tokens, 1):
    os.fork()
    random.seed(os.getpid())  # Else all of them do it at the same moment.
    time.sleep(random.uniform(0.05, 0.2))
time.sleep(60)
"""

END_IT = """
import subprocess, sys, time
from workshop.instructor.supervising import Family
family = Family("none")
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]])
while len(family.look()) < 100:
    time.sleep(0.01)
print(family.end(), family.look())
"""

WRONG = {
    "hang": ANSWERED.replace('return "six', 'while True: pass\n    return "six'),
    "printer": ANSWERED + "while True: print('x' * 1000)\n",
    "memory": ANSWERED
    + "import time\nhog = [b'x' * 50_000_000 for _ in range(20)]\ntime.sleep(60)\n",
    "bomb": ANSWERED + DETACHED + f"detached({BOMB!r})\ntime.sleep(60)\n",
    "writer": ANSWERED
    + "from pathlib import Path\nfor n in range(1, 4):\n"
    + "    (Path(__file__).parents[n] / 'written').write_bytes(b'x' * 1000)\n"
    + "Path(__file__).write_text('gone')\n",
    "writes much": ANSWERED
    + "from pathlib import Path\nimport time\n"
    + "Path(__file__).with_name('much').write_bytes(b'x' * 5_000_000)\n"
    + "time.sleep(60)\n",
    "syntax": "def answer(:\n",
    "exit": "import sys\nsys.exit(3)\n",
    "exit at once": "import os\nos._exit(0)\n",
    "killer": DETACHED
    + "import signal\ndetached('import time; time.sleep(60)')\n"
    + "os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)\n",
    "daemon": ANSWERED + DETACHED + "detached('import time; time.sleep(60)')\n",
    # What the grading writes lies above: here are lines that it would never write.
    "forger": ANSWERED
    + "from pathlib import Path\n"
    + "results = Path(__file__).parents[4] / 'results.jsonl'\n"
    + "lines = ['[]', '{', '{\"step\": \"01_first\", \"todos\": 7}', '']\n"
    + "results.write_text('\\n'.join(lines))\n",
    "deep": ANSWERED
    + "import os\nfrom pathlib import Path\nos.chdir(Path(__file__).parent)\n"
    + "for _ in range(1500): os.mkdir('d'); os.chdir('d')\n"
    + "import time\ntime.sleep(60)\n",
    "no start": "raise AssertionError('expected: both servers come up')\n",
}
"""What step 1's app/answer.py is in these copies."""


@dataclass(frozen=True)
class Room:
    """A room that was graded."""

    folder: Path
    """It holds the copies."""
    output: str
    marks: dict[str, dict[str, str]]
    """The mark of each todo, by attendee."""
    data: dict[str, Any]
    """The JSON file."""
    junit: Path
    html: str
    changed: list[str]
    """Files of the copies that are not as they were."""


def make_copy(small: Repository, folder: Path, files: dict[str, str]) -> Path:
    """Write a copy of the small workshop's steps, with other files in step 1."""
    for step in ("01_first", "02_second"):
        target = folder / "steps" / step
        shutil.copytree(small.root / "steps" / step, target)
        (target / "step.toml").unlink()
    for name, text in files.items():
        write(folder / "steps" / "01_first" / name, text)
    return folder


def digests(folder: Path) -> dict[str, str]:
    """Return what tells whether a file below a folder was changed, made or removed."""
    found = {}
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        modified = path.stat().st_mtime_ns
        found[str(path)] = f"{modified} {hashlib.sha256(content).hexdigest()}"
    return found


def living(token: str) -> list[psutil.Process]:
    """Return the processes that a copy has started and that still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if token in process.cmdline() and processes.is_alive(process):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    """Copies of every kind, graded once."""
    base = tmp_path_factory.mktemp("room")
    small = make_small(base / "small workshop")
    copies = base / "copies"
    token = f"of-{base.name}-{os.getpid()}"
    solved = {"app/answer.py": ANSWERED}
    half = {"app/answer.py": ANSWERED.replace("seven", "six")}
    crlf = SERVER.replace("\n", "\r\n")

    def wrong(name: str) -> Path:
        text = WRONG[name].replace("TOKEN", repr(token))
        return make_copy(small, copies / name, {"app/answer.py": text})

    made = {
        "hang": wrong("hang"),  # It takes longest: the others run beside it.
        "green": make_copy(small, copies / "green" / "deeper", solved).parent,
        "half": make_copy(small, copies / "half", half),
        "untouched": make_copy(small, copies / "untouched", {"server.py": crlf}),
        "only steps": make_copy(small, copies / "only steps", solved) / "steps",
        "twin": make_copy(small, copies / "a" / "twin", solved),
        "twin (2)": make_copy(small, copies / "b" / "twin", half),
        "one step": make_copy(small, copies / "one step", solved),
        HOSTILE: make_copy(small, copies / HOSTILE, half),
    }
    shutil.rmtree(made["one step"] / "steps" / "02_second")
    made |= {name: wrong(name) for name in WRONG if name not in made}
    made["linked"] = make_copy(small, copies / "linked", {})
    shutil.rmtree(made["linked"] / "steps" / "01_first")
    (made["linked"] / "steps" / "01_first").symlink_to(made["half"] / "steps/01_first")
    (copies / "empty").mkdir()
    made["empty"] = copies / "empty"
    write(copies / "unsteady" / "steps", "no folder")
    made["unsteady"] = copies / "unsteady"
    before = digests(copies)
    scratch = base / "scratch"
    scratch.mkdir()
    files = [f"--{kind}={base / kind}" for kind in ("json", "junit", "html")]
    limits = [f"--time={TIME}", f"--memory={MEMORY}", f"--processes={PROCESSES}"]
    command = [sys.executable, str(small.root / "workshop"), "grade", "--jobs=3"]
    command += [*files, *limits, f"--output={OUTPUT}", *map(str, made.values())]
    done = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        timeout=55,
        cwd=base,
        env={**os.environ, "TMPDIR": str(scratch), "COLUMNS": "100"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    after = digests(copies)
    left = living(token)
    processes.kill(set(left))
    assert not left
    assert not list(scratch.iterdir())
    data = json.loads((base / "json").read_text(encoding="utf-8"))
    return Room(
        folder=copies,
        output=done.stdout,
        marks={
            one["name"]: {
                todo: mark["mark"]
                for step in one["steps"]
                for todo, mark in step["todos"].items()
            }
            for one in data["attendees"]
        },
        data=data,
        junit=base / "junit",
        html=(base / "html").read_text(encoding="utf-8"),
        changed=[
            p for p in before.keys() | after.keys() if before.get(p) != after.get(p)
        ],
    )


@pytest.mark.parametrize(
    ("name", "first", "second", "third"),
    [
        ("green", "ok", "ok", "not started"),
        ("half", "ok", "red", "not started"),
        ("untouched", "not started", "not started", "not started"),
        ("only steps", "ok", "ok", "not started"),
        ("twin", "ok", "ok", "not started"),
        ("twin (2)", "ok", "red", "not started"),
        ("one step", "ok", "ok", "missing"),
        ("hang", "ok", "time", "not started"),
        ("printer", "output", "output", "not started"),
        ("memory", "memory", "memory", "not started"),
        ("bomb", "processes", "processes", "not started"),
        ("writer", "ok", "red", "not started"),
        ("writes much", "output", "output", "not started"),
        ("syntax", "red", "red", "not started"),
        ("exit", "red", "red", "not started"),
        ("exit at once", "broken", "broken", "not started"),
        ("killer", "broken", "broken", "broken"),
        ("daemon", "ok", "ok", "not started"),
        ("forger", "ok", "ok", "not started"),
        ("deep", "output", "output", "not started"),
        ("linked", "missing", "missing", "not started"),
        ("no start", "does not start", "does not start", "not started"),
        ("empty", "missing", "missing", "missing"),
        ("unsteady", "missing", "missing", "missing"),
        (printable(HOSTILE), "ok", "red", "not started"),
    ],
)
def test_each_copy_is_marked_rightly(
    room: Room, name: str, first: str, second: str, third: str
) -> None:
    """Whatever a copy does, its cells say what it was, and the others' are theirs."""
    assert room.marks[name] == {"1.1": first, "1.2": second, "2.1": third}


def test_every_copy_has_a_row(room: Room) -> None:
    """In the order in which they were named, and one line for each who is stuck."""
    names = list(room.marks)
    assert len(names) == len(WRONG) + 11
    table, _, stuck = room.output.partition("Stuck:\n")
    rows = [line.strip() for line in table.splitlines() if "/3" in line]
    # A long one goes on in the next line.
    assert [row.split("  ")[0] for row in rows] == [name[:30] for name in names]
    assert "+x" in rows[names.index("half")]
    assert "half: 1.2 red: no question" in stuck.splitlines()
    assert f"hang: 1.2 over the time: It was ended after {TIME} s." in stuck
    assert "green" not in stuck
    assert max(map(len, table.splitlines())) <= 100


def test_it_says_that_it_runs_the_code(room: Room) -> None:
    """Before anything else, and once."""
    assert room.output.startswith("This runs the code of the copies, with your rights")
    assert room.output.count("with your rights") == 1


def test_no_copy_is_changed(room: Room) -> None:
    """Not even the one that writes to the folders above its own."""
    assert room.changed == []


def test_nobody_draws_on_the_terminal(room: Room) -> None:
    """What a name has of control characters is shown, not sent."""
    assert "\x1b" not in room.output
    assert "<script>alert(1)\\x1b[red]&" in room.output


def test_junit(room: Room) -> None:
    """It is XML, with a suite for each attendee and a case for each todo."""
    root = ElementTree.parse(room.junit).getroot()
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == list(room.marks)
    for name, suite in suites.items():
        assert len(suite.findall("testcase")) == 3 == int(suite.get("tests", 0)), name
    half, hang = suites["half"], suites["hang"]
    assert (half.get("failures"), half.get("skipped")) == ("1", "1")
    failure = half.find("testcase/failure")
    assert failure is not None
    assert failure.text == "no question"
    error = hang.find("testcase/error")
    assert error is not None
    assert error.get("type") == "time"


class Tags(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, page: str) -> None:
        """Read a page."""
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and where it leads to."""
        self.tags.append(tag)
        self.addresses += [v or "" for name, v in attrs if name in ("src", "href")]


def test_html(room: Room) -> None:
    """One page, without a script, that fetches nothing; names are no markup."""
    page = Tags(room.html)
    assert "script" not in page.tags
    assert page.tags.count("details") == len(room.marks)
    assert all(address.startswith("#") for address in page.addresses)
    assert "&lt;script&gt;alert(1)\\x1b[red]&amp;" in room.html
    assert 'name="viewport"' in room.html


def test_a_fork_bomb_loses(tmp_path: Path) -> None:
    """All of its processes are ended, also those that are made meanwhile."""
    token = f"of-{tmp_path.name}-{os.getpid()}"
    done = subprocess.run(
        [sys.executable, "-c", END_IT, FAST_BOMB, token],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=50,
    )
    left = [p for p in living(token) if p.pid != os.getpid()]
    processes.kill(set(left))
    assert not left
    assert done.stdout == "True set()\n", done.stderr


def test_interrupt(small: Repository, tmp_path: Path) -> None:
    """Ctrl+C ends everything; the table has what was found until then."""
    token = f"of-{tmp_path.name}-{os.getpid()}"
    hang = WRONG["daemon"].replace("TOKEN", repr(token)) + "time.sleep(60)\n"
    solved = {"app/answer.py": ANSWERED}
    folders = [
        make_copy(small, tmp_path / "first", solved),
        make_copy(small, tmp_path / "hang", {"app/answer.py": hang}),
        make_copy(small, tmp_path / "last", solved),
    ]
    command = [sys.executable, str(small.root / "workshop"), "grade", "--jobs=1"]
    command += ["--step=1", f"--json={tmp_path / 'json'}", *map(str, folders)]
    process = processes.start(
        command,
        cwd=tmp_path,
        output=(tmp_path / "log").open("wb"),
    )
    try:
        wait_for(lambda: bool(living(token)))
        processes.send_signal(process, signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        left = living(token)
        processes.kill(set(left))
        processes.stop(process, 0)
    assert not left
    data = json.loads((tmp_path / "json").read_text())
    marks = [one["steps"][0]["todos"]["1.1"]["mark"] for one in data["attendees"]]
    assert marks == ["ok", "not graded", "not graded"]
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "- not graded" in log


def test_our_app_that_does_not_start(tmp_path: Path) -> None:
    """The words of the real tests are understood: here those of step 1."""
    copy = tmp_path / "copy"
    target = copy / "01_shared_queue"
    shutil.copytree(ROOT / "solutions" / target.name, target)
    creator = target / "saje" / "creator.py"
    write(creator, creator.read_text(encoding="utf-8") + "\nclass:\n")
    done = subprocess.run(
        [sys.executable, str(ROOT / "workshop"), "grade", "--step=1", str(copy)],
        capture_output=True,
        encoding="utf-8",
        timeout=50,
    )
    assert done.returncode == 0
    assert "SS" in done.stdout
    assert "copy: 1.1 does not start: saje/creator.py, line" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere is no folder. Unpack zip files first."),
        ([".", "--step=0"], "Step 0 has nothing to grade."),
        ([".", "--step=9"], "There is no step 9"),
        ([".", "--json=no/where"], "no/where cannot be written"),
        ([".", "--html=."], "cannot be written"),
    ],
)
def test_wrong_command_lines(
    workshop: RunWorkshop, arguments: list[str], words: str
) -> None:
    """They are refused before anything runs, with status 2."""
    done = workshop("grade", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A submitted app of one file, in its copy."""
    write(tmp_path / "copy" / "steps" / "app" / "server.py", "text")
    return tmp_path / "copy" / "steps" / "app"


def test_links(app: Path, tmp_path: Path) -> None:
    """A link within the copy is its file; any other is left out, and said so."""
    write(tmp_path / "secret", "secret")
    write(app.parent / "shared.py", "shared")
    links = {"in": "../shared.py", "out": str(tmp_path / "secret"), "no": "nowhere"}
    links |= {"loop": "loop", "above": "../..", "twice": "out"}
    for name, target in links.items():
        (app / name).symlink_to(target)
    notes = copy_app(app, tmp_path / "copy", tmp_path / "target")
    assert [note.split(":")[0] for note in notes] == [
        f"{name} was left out" for name in ("above", "loop", "no", "out", "twice")
    ]
    assert names(tmp_path / "target") == ["in", "server.py"]
    assert (tmp_path / "target" / "in").read_text() == "shared"
    assert not (tmp_path / "target" / "in").is_symlink()


def test_what_is_no_source_is_left_out(app: Path, tmp_path: Path) -> None:
    """A large file, a pipe, and what running makes."""
    with (app / "large").open("wb") as file:
        file.truncate(grading.LARGEST + 1)
    (app / "__pycache__").mkdir()
    write(app / "__pycache__" / "x.pyc", "")
    write(app / "jobs.jsonl", "")
    if hasattr(os, "mkfifo"):
        os.mkfifo(app / "pipe")
    notes = copy_app(app, tmp_path / "copy", tmp_path / "target")
    assert "large was left out: it has 10 MB" in notes
    assert names(tmp_path / "target") == ["server.py"]


def test_too_many_files(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is not copied to the end."""
    monkeypatch.setattr(grading, "MOST_FILES", 3)
    for number in range(3):
        write(app / str(number), "")
    with pytest.raises(Unreadable, match="more than 3 files"):
        copy_app(app, tmp_path / "copy", tmp_path / "target")


def test_unreadable_files(app: Path, tmp_path: Path) -> None:
    """A file that may not be read is a reason; the superuser may read every file."""
    (app / "server.py").chmod(0)
    if os.access(app / "server.py", os.R_OK):
        assert copy_app(app, tmp_path / "copy", tmp_path / "target") == []
        return
    with pytest.raises(Unreadable, match="cannot be read"):
        copy_app(app, tmp_path / "copy", tmp_path / "target")


def test_deep_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python itself cannot remove them; and no link of them is followed."""
    outside = tmp_path / "outside" / "/".join("abcdefghijklmnop") / "kept"
    outside.mkdir(parents=True)
    deep = tmp_path / "deep"
    deep.mkdir()
    monkeypatch.chdir(deep)
    Path("link").symlink_to(tmp_path / "outside")
    for _ in range(1500):
        Path("d").mkdir()
        os.chdir("d")
        Path("link").symlink_to(tmp_path / "outside")
    os.chdir(tmp_path)
    flatten(deep)
    depths = [len(Path(where).relative_to(deep).parts) for where, *_ in os.walk(deep)]
    assert len(depths) == 1501
    assert max(depths) <= SHALLOW + 1
    shutil.rmtree(deep)
    assert outside.exists()


def test_names_are_unique(tmp_path: Path) -> None:
    """Also when somebody's folder is called as another's was to be."""
    folders = [tmp_path / name for name in ("a/x", "b/x", "x (2)", "c/steps")]
    for folder in folders:
        folder.mkdir(parents=True)
    found = [copy.name for copy in copies_of([*folders, folders[0]])]
    assert found == ["x", "x (2)", "x (2) (2)", "c", "x (3)"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ada Lovelace, Zoë 李", "Ada Lovelace, Zoë 李"),
        ("a\x00\x1b\x9b\u202e\ufffe\udc80", "a\\x00\\x1b\\x9b\\u202e\\ufffe\\udc80"),
        ("one\r\ntwo\tthree\rfour", "one\ntwo    three\\rfour"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """Letters stay; what moves a cursor or is no XML is shown by its number."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("It is.\ngot:      500\nlikely:   this one\nfile:     x", "this one"),
        ("It is.\ngot:      500\nfile:     x", "It is. But: 500"),
        ("It is.\ngot:      printed:\nboom\nbang", "It is. But: printed: boom"),
        (
            "It is.\ngot:      no use:\nx = 1\nE   OSError: no",
            "It is. But: no use: OSError: no",
        ),
        (
            "It is.\nfile:  x (TODO 1.1, whose comment is still there)",
            "the TODO comment is still there. It is.",
        ),
        ("It is.", "It is."),
        ("", "red"),
    ],
)
def test_summary(message: str, line: str) -> None:
    """One line of a message: the cause, else what was tested, and what came."""
    assert summary(Mark("red", message)) == line


def test_summary_of_what_does_not_start() -> None:
    """What happened, and not what was to be tested."""
    message = "It is.\ngot:      it ended; it printed:\nboom\nfile:     x"
    assert summary(Mark("does not start", message)) == "it ended; it printed: boom"


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)


def names(folder: Path) -> list[str]:
    """Return the names of the files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())
