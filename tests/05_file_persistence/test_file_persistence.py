"""Step 05: the details of jobs, on file."""

import json
import re
import signal
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from app_server import AppServer, StartServer, shown


@pytest.mark.todo("5.1")
def test_each_change_is_a_line(server: AppServer) -> None:
    """Every change of a job is one line of JSON in the file, and lines never mix."""
    with ThreadPoolExecutor(10) as pool:
        uids = set(pool.map(lambda _: server.post("hello", seconds=0), range(100)))
    server.did = f"100 jobs from 10 connections, the last: {server.did}"
    server.expect(len(uids) == 100, "100 uids", len(uids))
    file = server.data / "jobs.jsonl"

    def states() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {uid: [] for uid in uids}
        for line in file.read_bytes().splitlines():
            # Other tests leave lines here that are torn on purpose.
            if uid := next((u for u in uids if u.encode() in line), None):
                found[uid].append(json.loads(line)["state"])
        return found

    expected = ["queued", "running", "succeeded"]
    server.until(
        lambda: all(s == expected for s in states().values()),
        "three lines for each job: queued, running, succeeded",
        cause="a line must be one write of one record, with its line break",
    )


@pytest.mark.todo("5.2")
def test_a_torn_line_hides_nothing(server: AppServer) -> None:
    """A line torn by a crash is skipped with a warning; what follows is read."""
    first = server.post("hello", seconds=0)
    server.details(first)
    torn = b'{"uid":"' + str(uuid.uuid4()).encode() + b'","state":"queued","ta'
    with (server.data / "jobs.jsonl").open("ab") as file:
        file.write(torn)
    second = server.post("hello", seconds=0)
    for uid in (first, second):
        details = server.details(uid)
        server.did += f", after {torn.decode()} was appended to the file"
        server.expect(details["state"] == "succeeded", "succeeded", details)
    server.logged("skipped a torn line")


@pytest.mark.todo("5.2")
def test_a_half_written_line_waits(server: AppServer) -> None:
    """A line that is still being written is read when it is whole."""
    job = str(uuid.uuid4())
    line = f'{{"uid":"{job}","state":"queued","task":"hello","kwargs":{{}}}}\n'
    with (server.data / "jobs.jsonl").open("ab", buffering=0) as file:
        file.write(line[:60].encode())
        for reply in server.each_server(f"/v1/job/{job}").values():
            server.expect(reply.get("status") == 404, "404", reply)
        file.write(line[60:].encode())
    server.did = f"GET /v1/job/{job} before and after its line was whole"
    cause = "half a line was taken for a torn one: leave it until it has its line break"
    server.until(
        lambda: all(
            reply.get("state") == "queued"
            for reply in server.each_server(f"/v1/job/{job}").values()
        ),
        "the job, from both servers",
        cause=cause,
    )


@pytest.mark.todo("5.3")
def test_a_restart_remembers(start: StartServer) -> None:
    """After a restart, an ended job is known and an interrupted one is failed."""
    server = start()
    ended = server.post("hello", name="Ada", seconds=0)
    before = server.details(ended)
    lost = server.post("hello", seconds=60)
    server.running(lost)
    server.kill()
    again = start()
    after = again.details(ended)
    again.did = f"kill -9 of all processes, a restart, then {again.did}"
    again.expect(after == before, f"as before: {before}", after)
    details = again.details(lost)
    again.expect(details["state"] == "failed", "failed: Interrupted", details)
    error = details["error"]["type"]
    again.expect(error == "Interrupted", "failed: Interrupted", details)


@pytest.mark.todo("5.4")
def test_outcomes_are_recorded(server: AppServer) -> None:
    """A job's result or error is in its details, with the times of its stages."""
    details = server.details(server.post("word_count", text="a b a"))
    server.expect(details["state"] == "succeeded", "succeeded", details)
    server.expect(details["result"]["words"] == 3, "its result", details)
    times = [details[f"{k}_at"] for k in ("submitted", "started", "finished")]
    server.expect(all(times), "submitted_at, started_at and finished_at", times)
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
        right = details["state"] == "failed" and details["error"]["type"] == error
        server.expect(right, f"failed: {error}", details)


@pytest.mark.todo("5.4")
def test_stopping_records_an_interruption(start: StartServer) -> None:
    """A job that outlasts the drain is recorded as interrupted when it stops."""
    server = start(drain=0.5)
    uid = server.post("hello", seconds=60)
    server.running(uid)
    server.signal(signal.SIGINT, to_group=True)
    server.did += ", while a job of 60 s ran"
    server.ended_well()
    text = (server.data / "jobs.jsonl").read_text(encoding="utf-8")
    right = '"state":"failed"' in text and "Interrupted" in text
    server.expect(right, "a line of the file: failed, Interrupted", text)


@pytest.mark.todo("5.5")
def test_a_large_text_goes_through(server: AppServer) -> None:
    """A text of 500 kB is recorded, queued, counted and answered."""
    text = " ".join(f"Word{n % 977}, it's | {n % 13}é\n" for n in range(30_000))
    counts = Counter(re.findall(r"[\w']+", text.lower()))
    server.expect(len(text.encode()) > 500_000, "500 kB", len(text.encode()))
    details = server.details(server.post("word_count", text=text))
    server.expect(details["kwargs"]["text"] == text, "its text", str(details)[:300])
    expected = {
        "words": counts.total(),
        "distinct": len(counts),
        "top": [list(pair) for pair in counts.most_common(10)],
    }
    server.expect(details["result"] == expected, f"{expected}", details["result"])


@pytest.mark.todo("5.5")
def test_what_cannot_be_kept_leaves_no_trace(server: AppServer) -> None:
    """A job that cannot be written as JSON is refused, and is not in the file."""
    body = b'{"task": "hello", "kwargs": {"name": "left no trace \\ud800"}}'
    reply = server.request("POST", "/v1/job", body)
    server.expect(reply.status_code == 400, "400", shown(reply))
    uid = server.post("hello", name="after it", seconds=0)
    server.details(uid)
    text = (server.data / "jobs.jsonl").read_text(encoding="utf-8")
    cause = "the record was stored before encode() had refused the message"
    server.expect("left no trace" not in text, "no record of it", "a record", cause)


@pytest.mark.todo("5.6")
def test_unknown_jobs_are_not_found(server: AppServer) -> None:
    """GET /v1/job/<uid> is 404 for an unknown uid, and for one that is none."""
    uid = server.post("hello", seconds=0)
    server.details(uid)
    for other in (str(uuid.uuid4()), "x", "..%2f..%2fetc%2fpasswd", "%00", "null"):
        reply = server.get(f"/v1/job/{other}")
        server.expect(reply.status_code == 404, "404", shown(reply))
