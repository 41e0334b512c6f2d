"""A small workshop to try the runner on: three steps, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from workshop.core import processes, starters
from workshop.core.steps import Repository

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 900.0
"""Seconds that anything may take, since the machine may be very busy."""

SERVER = '''"""The application."""

from sanic import Request, Sanic
from sanic.response import JSONResponse, json


def create_app() -> Sanic:
    """Return the application."""
    app = Sanic("small")

    @app.get("/v1/info")
    async def info(request: Request) -> JSONResponse:
        return json({"db": app.config.get("SAJE_DB")})

    @app.after_server_start
    async def ask(app: Sanic) -> None:
        # Sanic answers "No change needed" once every server has reported to it. A
        # Ctrl+C before that makes it wait for ever.
        app.m.scale(2)

    return app
'''

ANSWER = '''"""What is asked, and what is answered."""


def answer() -> int:
    # TODO 1.1: give the answer
    return 0


def question() -> str:
    # TODO 1.2: ask the question
    return ""
'''

ANSWERED = '''"""What is asked, and what is answered."""


def answer() -> int:
    six = 6

    return six * 7


def question() -> str:
    return "six times seven"
'''

MORE = '''"""More of it."""


def more() -> int:
    # TODO 2.1: give more
    return 0
'''

STEPS = {
    "00_start": """
title = "The start"
minutes = 5
objectives = ["see it"]
provided = []
""",
    "01_first": """
title = "The first"
minutes = 10
objectives = ["answer"]
provided = ["app/answer.py"]

[[todo]]
id = "1.1"
file = "app/answer.py"
title = "Give the answer"
hints = ["Which number?", "Multiplication.", "return 6 * 7"]

[[todo]]
id = "1.2"
file = "app/answer.py"
title = "Ask the [question]"
hints = ["Which words?", "A str.", "return 'six times seven'"]
""",
    "02_second": """
title = "The second"
minutes = 10
objectives = ["more"]
provided = ["app/more.py"]

[[todo]]
id = "2.1"
file = "app/more.py"
title = "Give more"
hints = ["How much?", "One is enough.", "return 1"]
""",
}

APPS = {
    "steps/00_start": {},
    "steps/01_first": {"app/answer.py": ANSWER},
    "solutions/01_first": {"app/answer.py": ANSWERED},
    "steps/02_second": {"app/answer.py": ANSWERED, "app/more.py": MORE},
    "solutions/02_second": {
        "app/answer.py": ANSWERED,
        "app/more.py": MORE.replace("    # TODO 2.1: give more\n", "").replace(
            "0", "1"
        ),
    },
}

SUITES = {
    "01_first": """
@pytest.mark.todo("1.1")
def test_answer(app):
    '''It answers.'''
    assert call(app, "app/answer.py", "answer") == 42, "the [answer] is 42"

@pytest.mark.todo("1.2")
def test_question(app):
    '''It asks.'''
    assert call(app, "app/answer.py", "question") == "six times seven", "no question"
""",
    "02_second": """
@pytest.mark.todo("2.1")
def test_more(app):
    '''It gives more.'''
    assert call(app, "app/more.py", "more") == 1, "no more"
""",
}

HEAD = """
import runpy, pytest

def call(app, file, name):
    return runpy.run_path(str(app / file))[name]()
"""

# The least that keeps to the report's format; the workshop's own is tests/conftest.py.
PLUGIN = """
import json
from pathlib import Path
import pytest

def pytest_addoption(parser):
    parser.addoption("--app", type=Path)
    parser.addoption("--report", type=Path)
    parser.addoption("--todo")
    parser.addoption("--first")

def pytest_collection_modifyitems(config, items):
    if todo := config.getoption("todo"):
        items[:] = [item for item in items if todo_of(item) == todo]
    if first := config.getoption("first"):
        items.sort(key=lambda item: todo_of(item) != first)

@pytest.fixture
def app(pytestconfig):
    return pytestconfig.getoption("app")

def write(config, entry):
    with config.getoption("report").open("a") as file:
        file.write(json.dumps(entry) + "\\n")

def todo_of(item):
    mark = item.get_closest_marker("todo")
    return mark and mark.args[0]

def pytest_collection_finish(session):
    todos = {item.nodeid: todo_of(item) for item in session.items}
    write(session.config, {"todos": todos})

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    error = call.excinfo and call.excinfo.value
    if report.failed or call.when == "call":
        write(item.config, {
            "nodeid": item.nodeid,
            "todo": todo_of(item),
            "outcome": report.outcome if call.when == "call" else "error",
            "assertion": isinstance(error, AssertionError),
            "message": str(error).split("\\n")[0] if error else "",
        })
    return report
"""

RunWorkshop = Callable[..., subprocess.CompletedProcess[str]]


def write(path: Path, text: str) -> None:
    """Write a file, and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def until(condition: Callable[[], object], what: Callable[[], object]) -> None:
    """Wait until a condition holds; in the end, fail with what is there instead."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def family(root: Path) -> set[psutil.Process]:
    """Return what runs in a folder, found without the marks that the runner uses."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            inside = Path(process.cwd()).is_relative_to(root)
            if inside and processes.is_alive(process):
                found.add(process)
    return found


class Running:
    """A command that was started in a process group of its own, with its output."""

    def __init__(self, root: Path, log: Path, command: Sequence[str]) -> None:
        """Start it in the first step's folder of a workshop."""
        self.root = root
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=root / "steps/01_first",
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def says(self, text: str, count: int = 1) -> str:
        """Wait until a text was printed so often; return all output."""
        until(lambda: self.log.read_text().count(text) >= count, self.log.read_text)
        return self.log.read_text()

    def leaves(self, count: int) -> None:
        """Wait until only so many processes of the workshop are left."""
        until(lambda: len(family(self.root)) <= count, lambda: family(self.root))

    def signal(self, number: int) -> None:
        """Signal its process group, as a terminal does."""
        os.killpg(self.process.pid, number)


@pytest.fixture
def started(small: Repository, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start commands of the small workshop, or of Python; in the end, none is left."""
    running = []

    def start(*arguments: str) -> Running:
        command = arguments if arguments[0] == "-m" else ("../../workshop", *arguments)
        running.append(Running(small.root, tmp_path / f"log-{len(running)}", command))
        return running[-1]

    yield start
    for command in running:
        command.process.kill()
        command.process.wait()
        command.leaves(0)


@pytest.fixture
def small(tmp_path: Path) -> Repository:
    """A workshop of three steps, all of it as it must be, with a copy of the runner."""
    return make_small(tmp_path / "small workshop")


def make_small(root: Path) -> Repository:
    """Write the small workshop into a folder."""
    shutil.copytree(ROOT / "workshop", root / "workshop")
    for name in ("requirements.txt", "requirements-all.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    for folder, files in APPS.items():
        for name, text in {"server.py": SERVER, **files}.items():
            write(root / folder / name, text)
    for name, text in STEPS.items():
        write(root / "steps" / name / "step.toml", text)
    for name, text in SUITES.items():
        write(root / "tests" / name / "test_it.py", HEAD + text)
    write(root / "tests" / "conftest.py", PLUGIN)
    repository = Repository(root)
    starters.write(repository)
    return repository


@pytest.fixture
def workshop(small: Repository, tmp_path: Path) -> RunWorkshop:
    """Run a command line of the small workshop, from a folder that is not its own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(small.root / "workshop"), *arguments],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT,
        )

    return run
