"""Options, fixtures and the report of the checkpoint suites."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from textwrap import dedent
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "harness"))

from app_process import Checkpoint, Overslept  # noqa: E402
from app_server import AppServer, Call, StartServer  # noqa: E402
from causes import in_the_code  # noqa: E402

from workshop.core.steps import read_step  # noqa: E402
from workshop.core.suites import BOTH_COME_UP  # noqa: E402

FAILURE = pytest.StashKey[str]()
SERVERS = pytest.StashKey[list[AppServer]]()
"""The servers that a test has used, the latest one last."""
LONGEST = 2000  # characters of what a test got


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --app, --todo, --first and --report."""
    parser.addoption("--app", help="the app's folder, steps/NN_name by default")
    parser.addoption("--todo", help="the id of the only todo to test")
    parser.addoption("--first", help="the id of the todo to test before the others")
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
def retired_by(name: str) -> set[str]:
    """Return the tests and TODOs that the steps up to an app's folder have retired.

    There are none for an app in a folder that isn't named as a step.
    """
    folders = {folder.name: folder for folder in (ROOT / "steps").glob("[0-9][0-9]_*")}
    steps = [read_step(folders[n]) for n in folders if name in folders and n <= name]
    return {test for step in steps for entry in step.retires for test in entry.tests}


def is_retired(item: pytest.Item) -> bool:
    """Return whether a step up to that of the app has retired a test."""
    retired = retired_by(app_of(item.config, suite_of(item)).name)
    return bool(retired & {getattr(item, "originalname", ""), todo_of(item)})


def report(config: pytest.Config, entry: dict[str, Any]) -> None:
    """Append a line to the report."""
    if path := config.getoption("--report"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Keep the tests of one todo, where --todo names it; begin with that of --first.

    Tests that a step has retired don't run on its app, nor on that of a later step.
    """
    items[:] = [item for item in items if not is_retired(item)]
    if chosen := config.getoption("--todo"):
        items[:] = [item for item in items if todo_of(item) == chosen]
    if first := config.getoption("--first"):
        items.sort(key=lambda item: todo_of(item) != first)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Report which tests are going to run."""
    todos = {item.nodeid: todo_of(item) for item in session.items}
    report(session.config, {"todos": todos})


def read_text(file: Path) -> str:
    """Return the text of a file, which is empty if there is no such file."""
    return file.read_text("utf-8", "replace") if file.exists() else ""


def in_words(
    item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException], traceback: str
) -> str:
    """Describe a failure as a learner reads it.

    Args:
        item: The test.
        excinfo: What it raised.
        traceback: The same as pytest shows it.

    Returns:
        The behaviour, what was done, what came back, the causes, and where to look.
    """
    todo, error = todo_of(item), excinfo.value
    text = str(error)
    if todo is None:
        return f"{title_of(item)}\n{text or traceback}"
    step = read_step(ROOT / "steps" / suite_of(item))
    files = {todo.id: todo.file for todo in step.todos}
    file, app = files[todo], app_of(item.config, suite_of(item))
    servers = item.stash.get(SERVERS, [])
    if not isinstance(error, Checkpoint):
        expected = statement(excinfo)
        # pytest's own explanation goes on with a diff, after an empty line.
        got = re.split(r"\n\s*\n|\nassert ", text.removeprefix("assert "))[0]
        # Where a value comes from says nothing if it is only an address.
        got = re.sub(r"\n +\+ .*(?: object at 0x|<built-in ).*", "", got)
        if not isinstance(error, AssertionError):
            got = f"{error!r}, from an answer that the test can't use"
        text = f"got:      {got[:LONGEST]}\nexpected: {expected}"
        if servers:
            text = str(servers[-1].failed(expected, got[:LONGEST]))
    # These are certain, and name their own file, which may belong to another TODO.
    certain = r"^(?:log: +(?=.*: Syn)|got: .*(?:endless loop|without end|hangs) at )"
    found = re.search(rf"{certain}(.+?), line \d+", text, re.MULTILINE)
    still = ""
    if (
        not found
        and f"TODO {todo}" in read_text(app / file)
        and BOTH_COME_UP not in text
    ):
        # Any other cause would misfit, or give away what is to be found out.
        still = ", whose comment is still there"
        lines = [line for line in text.splitlines() if not line.startswith("likely:")]
        text = "\n".join(lines) + (
            "\nlikely:   it isn't done yet. When you have written it, delete its "
            "comment, and a likely cause stands here"
        )
    elif not found or "hangs at" in found[0]:
        # What was seen goes first. What is read from the code is a guess, and says so.
        suspects = files.values() if BOTH_COME_UP in text else [file]
        read = in_the_code(app, suspects)
        if read:
            text += f"\nperhaps:  {read}"
    if found and found[1] != file:
        return f"{title_of(item)}\n{text}"
    return (
        f"{title_of(item)}\n{text}\n"
        f"file:     {file} (TODO {todo}{still})\n"
        f"hint:     python3 -m workshop hint {todo}"
    )


def statement(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    """Return what a failed assert statement asked for, as it is written."""
    # A file that was edited during the run has no such statement any more.
    with suppress(SyntaxError, AssertionError, IndexError):
        tree = ast.parse(dedent(str(excinfo.traceback[-1].statement)))
        if isinstance(tree.body[0], ast.Assert):
            return ast.unparse(tree.body[0].test)
    return "no error"


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
    if call.excinfo is not None:
        message = in_words(item, call.excinfo, result.longreprtext)
        item.stash[FAILURE] = message
        # A maintainer needs to see the line, a learner doesn't.
        if isinstance(error, AssertionError) and todo_of(item):
            result.longrepr = message
    report(
        item.config,
        {
            "nodeid": item.nodeid,
            "todo": todo_of(item),
            "outcome": "passed"
            if result.passed
            else ("failed" if result.when == "call" else "error"),
            "assertion": isinstance(error, AssertionError),
            "message": message,
        },
    )


def app_of(config: pytest.Config, suite: str) -> Path:
    """Return the app that a suite checks: --app, or the step of its name."""
    chosen = config.getoption("--app")
    return Path(chosen).resolve() if chosen else ROOT / "steps" / suite


def settings_of(item: pytest.Item) -> dict[str, int | str]:
    """Return the settings with which a suite starts the app."""
    module = item.getparent(pytest.Module)
    return dict(getattr(module and module.obj, "SETTINGS", {}))


class Servers:
    """The app under test, started as often as tests need it."""

    def __init__(
        self, app: Path, folder: Path, settings: Mapping[str, int | str], wanted: int
    ) -> None:
        """Take note of how many tests want a server of their own."""
        self._app = app
        self._folder = folder
        self._settings = settings
        self._wanted = wanted
        self._shared: AppServer | None = None
        self._broken: Checkpoint | None = None
        self._all: list[AppServer] = []
        self._thread = ThreadPoolExecutor(1)
        self._spare: Future[AppServer] | None = None

    def shared(self) -> AppServer:
        """Return the one server of all the tests that do not stop it."""
        self._look_for_loops()
        if self._shared is None:
            self._shared = self.boot()
            self._prepare()
        self._shared.begin()
        return self._shared

    def own(self) -> AppServer:
        """Return a server that no other test has. Meanwhile the next one is started."""
        self._look_for_loops()
        spare, self._spare = self._spare, None
        self._wanted -= 1
        server = spare.result() if spare else self.boot()
        self._prepare()
        server.begin()
        return server

    def boot(self, data: Path | None = None, drain: float | None = None) -> AppServer:
        """Start the app, unless it is clear by now that it can't start."""
        if self._broken:
            raise self._broken
        if drain is not None:
            self._wanted -= 1  # nobody else can use this one
        self._folder.mkdir(exist_ok=True)
        data = data or Path(mkdtemp(dir=self._folder))
        try:
            self._all.append(AppServer(self._app, data, drain, self._settings))
            return self._all[-1]
        except Overslept:  # the machine was too busy, which may have passed
            raise
        except Checkpoint as failure:
            self._broken = failure
            raise

    def _look_for_loops(self) -> None:
        """Fail at once if a test has found an endless loop, as all others would."""
        if loop := next((server.loop for server in self._all if server.loop), None):
            self._broken = loop
            raise loop

    def _prepare(self) -> None:
        if self._wanted > 0:
            self._spare = self._thread.submit(self.boot)

    def end(self) -> None:
        """End the servers that are left, and the one that nobody has asked for yet."""
        if self._shared:
            self._shared.kill()
        if self._spare:
            with suppress(Checkpoint):
                self._spare.result().kill()
        self._thread.shutdown()


@pytest.fixture(scope="session")
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[pytest.Item], Servers]]:
    """Return the servers of the app that a test checks."""
    found: dict[str, Servers] = {}
    folder = tmp_path_factory.mktemp("apps")

    def of(item: pytest.Item) -> Servers:
        app, settings = app_of(item.config, suite_of(item)), settings_of(item)
        if (key := f"{app} {settings}") not in found:
            wanted = [
                other
                for other in request.session.items
                if "start" in getattr(other, "fixturenames", [])
                and app_of(other.config, suite_of(other)) == app
                and settings_of(other) == settings
            ]
            # If the first failure is the end, most of them would never be needed.
            ends_early = item.config.getoption("maxfail") == 1
            count = 0 if ends_early else len(wanted)
            found[key] = Servers(app, folder / app.name, settings, count)
        return found[key]

    yield of
    for servers in found.values():
        servers.end()


@pytest.fixture
def start(
    request: pytest.FixtureRequest, servers: Callable[[pytest.Item], Servers]
) -> Iterator[StartServer]:
    """Start a server of this test's own; and another on the data of the first."""
    mine: list[AppServer] = []

    def begin(after: AppServer | None = None, drain: float | None = None) -> AppServer:
        ours = servers(request.node)
        if after or drain is not None:
            mine.append(ours.boot(after.data if after else None, drain))
        else:
            mine.append(ours.own())
        return mine[-1]

    request.node.stash[SERVERS] = mine

    yield begin
    for server in mine:
        server.kill()


@pytest.fixture
def server(
    request: pytest.FixtureRequest, servers: Callable[[pytest.Item], Servers]
) -> AppServer:
    """One server for all the tests that do not stop it."""
    shared = servers(request.node).shared()
    request.node.stash[SERVERS] = [shared]
    return shared


@pytest.fixture
def call(request: pytest.FixtureRequest, tmp_path: Path) -> Call:
    """Run some calls in the latest server of a test, after the SETUP of its suite."""

    def run(source: str, **names: Any) -> Any:
        server, source = request.node.stash[SERVERS][-1], dedent(source).strip()
        names = {"folder": str(tmp_path)} | names
        body = {"setup": request.module.SETUP, "source": source, "names": names}
        reply = server.request("POST", "/probe/call", body)
        server.did = f"these calls, in a server:\n{source}"
        if raised := reply.json["raised"]:
            raise server.failed("no exception", raised)
        return reply.json["returned"]

    return run
