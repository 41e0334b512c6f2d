"""Step 05: the details of jobs, on file."""

import json
import signal
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from app_server import AppServer, shown

Start = Callable[[], AppServer]


@pytest.mark.todo("5.1")
def test_each_change_is_a_line(server: AppServer) -> None:
    """Every change of a job is one line of JSON in the file."""
    with ThreadPoolExecutor(10) as pool:
        uids = set(pool.map(lambda _: server.post("hello", seconds=0), range(100)))
    server.expect(len(uids) == 100, "100 uids", len(uids))
    file = server.data / "jobs.jsonl"

    def records() -> list[dict[str, str]]:
        lines = file.read_bytes().split(b"\n")[:-1]
        return [r for r in map(json.loads, lines) if r["uid"] in uids]

    server.until(lambda: len(records()) == 300, "300 lines: queued, running, ended")
    states = sorted(record["state"] for record in records())
    expected = ["queued"] * 100 + ["running"] * 100 + ["succeeded"] * 100
    server.expect(states == expected, "100 lines of each state", states)


@pytest.mark.todo("5.2")
def test_a_torn_line_hides_nothing(start: Start) -> None:
    """A line torn by a crash is skipped with a warning; what follows is read."""
    server = start()
    first = server.post("hello", seconds=0)
    server.details(first)
    torn = b'{"uid":"' + str(uuid.uuid4()).encode() + b'","state":"queued","ta'
    with (server.data / "jobs.jsonl").open("ab") as file:
        file.write(torn)
    second = server.post("hello", seconds=0)
    for uid in (first, second):
        details = server.details(uid)
        server.expect(details["state"] == "succeeded", "succeeded", details)
    server.logged("skipped a torn line")


@pytest.mark.todo("5.3")
def test_a_restart_remembers(start: Start) -> None:
    """After a restart, an ended job is known and an interrupted one is failed."""
    server = start()
    ended = server.post("hello", name="Ada", seconds=0)
    before = server.details(ended)
    running = server.post("hello", seconds=60)
    server.until(
        lambda: server.details(running, ended=False)["state"] == "running", "running"
    )
    for process in server.family():
        process.send_signal(signal.SIGKILL)
    server.nothing_left()
    again = start()
    again.done = f"restart, then GET /v1/job/{ended}"
    after = again.details(ended)
    again.expect(after == before, f"{before}", after)
    lost = again.details(running)
    again.expect(lost["state"] == "failed", "failed: Interrupted", lost)
    again.expect(lost["error"]["type"] == "Interrupted", "Interrupted", lost)


@pytest.mark.todo("5.4")
def test_outcomes_are_recorded(server: AppServer) -> None:
    """A job's result or error is in its details, with the times of its stages."""
    details = server.details(server.post("word_count", text="a b a"))
    server.expect(details["result"]["words"] == 3, "its result", details)
    times = [details[f"{k}_at"] for k in ("submitted", "started", "finished")]
    moments = [datetime.fromisoformat(moment) for moment in times]
    server.expect(moments == sorted(moments), "times in order", times)
    utc = all(moment.tzinfo is not None for moment in moments)
    server.expect(utc and moments[0] < datetime.now(UTC), "aware times", times)
    for task, kwargs, error in (
        ("probe_raises", {"kind": "SystemExit"}, "SystemExit"),
        ("probe_unstorable", {}, "ValueError"),
        ("word_count", {"txt": "a"}, "TypeError"),
    ):
        details = server.details(server.post(task, **kwargs))
        server.expect(details["state"] == "failed", "failed", details)
        server.expect(details["error"]["type"] == error, error, details)


@pytest.mark.todo("5.4")
def test_stopping_records_an_interruption(start: Start) -> None:
    """A job that outlasts the drain is recorded as interrupted when it stops."""
    server = start()
    uid = server.post("hello", seconds=60)
    server.until(
        lambda: server.details(uid, ended=False)["state"] == "running", "running"
    )
    status = server.stop()
    server.expect(status == 0, "exit status 0", server.output()[-1500:])
    text = (server.data / "jobs.jsonl").read_text(encoding="utf-8")
    server.expect("Interrupted" in text, "a line that says Interrupted", text)
    server.nothing_left()


@pytest.mark.todo("5.5")
def test_a_large_text_goes_through(server: AppServer) -> None:
    """A text of 500 kB is recorded, queued, counted and answered."""
    words = [f"word{n % 977}" for n in range(70_000)]
    text = " ".join(words)
    server.expect(len(text) > 500_000, "500 kB", len(text))
    uid = server.post("word_count", text=text)
    details = server.details(uid)
    server.expect(details["kwargs"]["text"] == text, "its text", str(details)[:300])
    server.expect(details["result"]["words"] == 70_000, "70000", details["result"])
    server.expect(details["result"]["distinct"] == 977, "977", details["result"])


@pytest.mark.todo("5.6")
def test_unknown_jobs_are_not_found(server: AppServer) -> None:
    """GET /v1/job/<uid> is 404 for an unknown uid, and for one that is none."""
    uid = server.post("hello", seconds=0)
    server.details(uid)
    for other in (str(uuid.uuid4()), "x", "..%2f..%2fetc%2fpasswd", "%00", "null"):
        reply = server.get(f"/v1/job/{other}")
        server.expect(reply.status_code == 404, "404", shown(reply))
