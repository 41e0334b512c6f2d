"""Options, fixtures and the report of the checkpoint suites."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "harness"))

from app_server import DRAIN, AppServer, Checkpoint, StartServer  # noqa: E402

FAILURE = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --app, --todo and --report."""
    parser.addoption("--app", help="the app's folder, steps/NN_name by default")
    parser.addoption("--todo", help="the id of the only todo to test")
    parser.addoption("--report", help="a file that gets a line of JSON for each test")


def suite_of(item: pytest.Item) -> str:
    """Return the folder of a test, such as 01_shared_queue."""
    return item.path.relative_to(ROOT / "tests").parts[0]


def todo_of(item: pytest.Item) -> str | None:
    """Return the id of the todo that a test checks."""
    marker = item.get_closest_marker("todo")
    return marker.args[0] if marker else None


def title_of(item: pytest.Item) -> str:
    """Return the behaviour that a test checks, in words."""
    doc = getattr(item, "function", item).__doc__ or item.name
    return str(doc).strip().splitlines()[0]


@cache
def files_of_todos(suite: str) -> dict[str, str]:
    """Return the file of each todo of a step, by the todo's id."""
    text = (ROOT / "steps" / suite / "step.toml").read_text(encoding="utf-8")
    return {todo["id"]: todo["file"] for todo in tomllib.loads(text)["todo"]}


def report(config: pytest.Config, entry: dict[str, Any]) -> None:
    """Append a line to the report."""
    if path := config.getoption("--report"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Keep the tests of one todo, where --todo names it."""
    if chosen := config.getoption("--todo"):
        items[:] = [item for item in items if todo_of(item) == chosen]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Report which tests are going to run."""
    ids = [item.nodeid for item in session.items]
    todos = {item.nodeid: todo_of(item) for item in session.items}
    report(session.config, {"collected": ids, "todos": todos})


def read(file: Path) -> str:
    """Return the text of a file, or nothing when it is not there."""
    return file.read_text("utf-8", "replace") if file.exists() else ""


def in_words(item: pytest.Item, error: BaseException, traceback: str) -> str:
    """Return a failure as a learner reads it."""
    todo = todo_of(item)
    if todo is None:
        return f"{title_of(item)}\n{error if str(error) else traceback}"
    text = str(error)
    if not isinstance(error, Checkpoint):
        text = f"got:      an answer that the test cannot use:\n{traceback[-1000:]}"
    files = files_of_todos(suite_of(item))
    file = files[todo]
    # The cause may be in the file of another todo.
    where = re.search(r"^cause: +(\w+/\w+\.py)", text, re.MULTILINE)
    if where and where[1] != file and where[1] in files.values():
        file = where[1]
        todo = next(todo for todo in files if files[todo] == file)
    still = ""
    if f"TODO {todo}" in read(app_of(item.config, suite_of(item)) / file):
        still = ", whose comment is still there"
    return (
        f"{title_of(item)}\n{text}\n"
        f"file:     {file} (TODO {todo}{still})\n"
        f"hint:     python3 -m workshop hint {todo}"
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:
    """Report how a test ended, in the words that a learner reads."""
    outcome = yield
    result = outcome.get_result()  # type: ignore[attr-defined]
    if result.passed and result.when != "call":
        return
    if result.when == "teardown" and item.stash.get(FAILURE, None):
        return
    error = call.excinfo.value if call.excinfo else None
    message = ""
    if error is not None:
        message = in_words(item, error, result.longreprtext)
        item.stash[FAILURE] = message
        if isinstance(error, Checkpoint):
            result.longrepr = message
    report(
        item.config,
        {
            "nodeid": item.nodeid,
            "suite": suite_of(item),
            "todo": todo_of(item),
            "title": title_of(item),
            "outcome": "passed"
            if result.passed
            else ("failed" if result.when == "call" else "error"),
            "phase": result.when,
            "assertion": isinstance(error, AssertionError),
            "message": message,
            "seconds": result.duration,
        },
    )


def app_of(config: pytest.Config, suite: str) -> Path:
    """Return the app that a suite checks: --app, or the step of its name."""
    chosen = config.getoption("--app")
    return Path(chosen).resolve() if chosen else ROOT / "steps" / suite


class Servers:
    """The servers that are shared by tests, and the apps that do not start."""

    def __init__(self) -> None:
        self.shared: dict[Path, AppServer] = {}
        self.broken: dict[Path, Checkpoint] = {}

    def start(self, app: Path, data: Path, drain: float = DRAIN) -> AppServer:
        """Start an app; one that did not start is not waited for again."""
        if app in self.broken:
            raise self.broken[app]
        try:
            return AppServer(app, data, drain)
        except Checkpoint as failure:
            self.broken[app] = failure
            raise


SERVERS = Servers()


@pytest.fixture
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartServer]:
    """Start servers of this test's own, all with the same data folder."""
    app = app_of(request.config, suite_of(request.node))
    servers: list[AppServer] = []

    def begin(drain: float = DRAIN) -> AppServer:
        servers.append(SERVERS.start(app, tmp_path, drain))
        return servers[-1]

    yield begin
    for server in servers:
        server.kill()


@pytest.fixture
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AppServer:
    """One server for all the tests that do not stop it."""
    app = app_of(request.config, suite_of(request.node))
    if app not in SERVERS.shared:
        SERVERS.shared[app] = SERVERS.start(app, tmp_path_factory.mktemp("data"))
    else:
        SERVERS.shared[app].begin()
    return SERVERS.shared[app]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the shared servers."""
    for server in SERVERS.shared.values():
        server.kill()
