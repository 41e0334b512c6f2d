"""Step 05: the details of jobs, on file."""

import json
import re
import signal
import subprocess
import sys
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from app_server import AppServer, StartServer

QUEUED = {"state": "queued", "task": "hello", "kwargs": {"name": "Ada | Grace"}}
TORN = b'{"uid":"00000000-0000-4000-8000-000000000000","state":"queued","ta'

STORE_MANY = """
import asyncio, sys, uuid
from saje.backend import FileBackend
from saje.model import JobState
async def main():
    backend = FileBackend(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(5000):
        await backend.store(uuid.uuid4(), JobState.QUEUED, task="hello", kwargs={})
asyncio.run(main())
"""

# The file of a disk that has little room takes a part of what is written, and says so.
STORE_ONE = """
import asyncio, io, sys, uuid
from saje.backend import FileBackend
from saje.model import JobState
class Disk(io.FileIO):
    writes = 0
    def write(self, data):
        self.writes += 1
        return super().write(data[:int(sys.argv[2])])
backend = FileBackend(sys.argv[1])
backend._writer = Disk(sys.argv[1], "ab")
asyncio.run(backend.store(uuid.uuid4(), JobState.QUEUED, task="a" * 100))
print("calls of write():", backend._writer.writes)
"""

READ_ONCE = """
import sys, uuid
from saje.backend import FileBackend
backend, seen = FileBackend(sys.argv[1]), []
class Counting:
    def __init__(self, file): self.file = file
    def seek(self, *a): return self.file.seek(*a)
    def read(self, *a): return self.file.read(*a)
    def readline(self, *a): return self.count(self.file.readline(*a))
    def readlines(self, *a): return [self.count(x) for x in self.file.readlines(*a)]
    def __iter__(self): return map(self.count, self.file)
    def count(self, line):
        if line: seen.append(line)
        return line
backend._reader = Counting(backend._reader)
def add(number):
    with open(sys.argv[1], "a") as file:
        for _ in range(number):
            file.write('{"uid":"%s","state":"queued"}\\n' % uuid.uuid4())
for number in (1000, 1):
    add(number)
    seen.clear()
    backend.refresh()
    print(len(seen))
"""

SEND = """
import asyncio, queue, sys, uuid
from saje.backend import FileBackend
from saje.client import SajeClient
backend, uid = FileBackend(sys.argv[1]), uuid.uuid4()
job = {"task": "hello", "uid": str(uid), "kwargs": {"name": "Ada"}}
async def send(saje):
    try:
        await saje.send(job)
    except Exception as error:
        print(type(error).__name__)
"""
DISK_FULL = f"""{SEND}
async def full(*args, **changes): raise OSError("no space left")
backend.store = full
saje = SajeClient(queue.Queue(), backend)
asyncio.run(send(saje))
print(saje.queue.qsize())
"""
QUEUE_GONE = f"""{SEND}
class Gone(queue.Queue):
    def put(self, *args, **kwargs): raise EOFError
    put_nowait = put
asyncio.run(send(SajeClient(Gone(), backend)))
details = asyncio.run(backend.fetch(uid))
print(details.state.value if hasattr(details.state, "value") else details.state)
print((details.error or {{}}).get("type"))
"""
AWAITED = """
import asyncio, json, sys, uuid
import app.tasks
from saje.backend import FileBackend
from saje.job import Job
async def main():
    backend, uid = FileBackend(sys.argv[1]), uuid.uuid4()
    message = {"task": "hello", "uid": str(uid), "kwargs": {"seconds": 0}}
    await Job.create(json.dumps(message), backend).execute()
    with open(sys.argv[1]) as file:
        print(json.loads(file.readlines()[-1])["state"])
asyncio.run(main())
"""


def run_calls(
    server: AppServer, source: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run some calls in a process of its own, in the app's folder."""
    return subprocess.run(
        [sys.executable, "-B", "-c", source, *arguments],
        cwd=server.app,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def store(server: AppServer, file: Path, uid: str, **record: Any) -> None:
    """Have one of the servers record a change of a job."""
    body = {"file": str(file), "uid": uid, **record}
    reply = server.request("POST", "/probe/store", body)
    server.did = f"FileBackend({file.name!r}).store({uid}, {record})"[:300]
    server.expect(reply.status == 200, "no exception", reply)


def store_one(
    server: AppServer, folder: Path, room: int
) -> subprocess.CompletedProcess[str]:
    """Record a job, with a disk that takes ``room`` bytes in a write."""
    return subprocess.run(
        [sys.executable, "-B", "-c", STORE_ONE, str(folder / "one.jsonl"), str(room)],
        cwd=server.app,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def fetch(
    server: AppServer, file: Path, uid: str, cause: str | None = None
) -> list[Any]:
    """Return what the FileBackend of each server has of a job."""
    found: dict[int, Any] = {}

    def asked() -> bool:
        body = {"file": str(file), "uid": uid}
        reply = server.request("POST", "/probe/fetch", body)
        server.did = f"FileBackend({file.name!r}).fetch({uid}), in each server"
        server.expect(reply.status == 200, "no exception", reply, cause)
        found[reply.json["pid"]] = reply.json["details"]
        return len(found) == 2

    server.until(asked, "an answer from both servers")
    return list(found.values())


def recover(server: AppServer, file: Path, expected: int, cause: str) -> None:
    """Have one of the servers recover what a file has; expect how many were undone."""
    reply = server.request("POST", "/probe/recover", {"file": str(file)})
    text = file.read_bytes()
    server.did = f"FileBackend({file.name!r}).recover(), with the file\n{text.decode()}"
    if reply.status != 200:
        cause = "yield the offset first, then the match; `return` ends the loop"
    server.expect(
        reply.status == 200 and reply.json["undone"] == expected,
        f'"undone":{expected}',
        reply,
        cause,
    )


@pytest.mark.todo("5.1")
def test_a_record_is_one_write(server: AppServer, tmp_path: Path) -> None:
    """A record goes out in one write, so nothing of another process gets between."""
    server.did = "store()"
    run = store_one(server, tmp_path, room=1000)
    cause = "a record and its line break must go out in one write()"
    if "Error" in run.stderr:
        cause = run.stderr.strip().splitlines()[-1]
    elif "write(): 0" in run.stdout:
        cause = "write through self._writer, which appends and has no buffer; "
        cause += "write_bytes() overwrites what others wrote, and text mode has a "
        cause += "buffer that is written in pieces"
    got = run.stdout + run.stderr[-400:]
    server.expect("write(): 1" in run.stdout, "calls of write(): 1", got, cause)
    begin = (tmp_path / "one.jsonl").read_bytes()[:10]
    cause = "a line break goes in front only when self._ends_torn() says so"
    server.expect(begin.startswith(b"{"), "a record, first thing", begin, cause)


@pytest.mark.todo("5.1")
def test_each_change_is_a_line(server: AppServer, tmp_path: Path) -> None:
    """Every change is one line of JSON, and lines of two processes never mix."""
    file = tmp_path / "lines.jsonl"
    # The long ones do not fit in any buffer: written in pieces, they would mix.
    sent = {str(uuid.uuid4()): {"text": "x" * 50_000 * (n % 3)} for n in range(60)}
    with ThreadPoolExecutor(10) as pool:
        list(
            pool.map(
                lambda uid: store(server, file, uid, state="queued", kwargs=sent[uid]),
                sent,
            )
        )
    # An empty line is fine, because one server saw a half-written line of the other.
    lines = [line for line in file.read_bytes().split(b"\n") if line]
    server.did = "store() for 60 jobs, in two servers at the same time"
    cause = (
        "a record is one line of JSON; it goes out with its line break in one write()"
    )
    whole = [line for line in lines if line.endswith(b"}")]
    got = f"{len(whole)} whole lines of {len(lines)}"
    server.expect(len(whole) == 60 == len(lines), "60 whole lines", got, cause)
    end = file.read_bytes()[-20:]
    cause = "a record ends in a line break: add b'\\n' to its bytes"
    server.expect(end.endswith(b"}\n"), "a line break at the end", end, cause)
    for line in whole:
        record = json.loads(line)
        server.expect(
            line.startswith(b'{"uid":"') and list(record)[:2] == ["uid", "state"],
            "uid and state first, in the compact JSON of encode()",
            line[:100],
        )
        right = record == {
            "uid": record["uid"],
            "state": "queued",
            "kwargs": sent[record["uid"]],
        }
        server.expect(right, "what was stored", line[:200])


@pytest.mark.todo("5.1")
def test_lines_of_two_processes_do_not_mix(server: AppServer, tmp_path: Path) -> None:
    """Two processes that append as fast as they can do not mix their lines."""
    file = tmp_path / "fast.jsonl"
    server.did = "store() 5000 times in each of two processes at the same time"
    command = [sys.executable, "-B", "-c", STORE_MANY, str(file)]
    both = [
        subprocess.Popen(
            command, cwd=server.app, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in both:
        process.stdout.readline()  # type: ignore[union-attr]
    for process in both:
        process.stdin.close()  # type: ignore[union-attr]
    status = [process.wait(30) for process in both]
    server.expect(status == [0, 0], "no exception", f"exit status {status}")
    lines = [line for line in file.read_bytes().split(b"\n") if line]
    whole = [line for line in lines if re.fullmatch(rb'\{"uid":[^{}]*\{\}\}', line)]
    got = f"{len(whole)} whole lines of {len(lines)}"
    cause = "a record and its line break must go out in one write()"
    server.expect(lines and len(whole) == len(lines), "whole lines only", got, cause)


@pytest.mark.todo("5.1")
def test_a_torn_line_is_closed(server: AppServer, tmp_path: Path) -> None:
    """After a line torn by a crash, a record begins on a line of its own."""
    file = tmp_path / "torn.jsonl"
    file.write_bytes(TORN)
    store(server, file, str(uuid.uuid4()), state="queued")
    lines = file.read_bytes().splitlines()
    server.did += f", with a file that ends in {TORN.decode()!r}"
    cause = "the record was appended to the torn line: begin with a line break when "
    cause += "self._ends_torn()"
    right = len(lines) == 2 and lines[0] == TORN and lines[1].endswith(b"}")
    server.expect(right, "two lines: the torn one, and the record", lines, cause)


@pytest.mark.todo("5.1")
def test_a_record_that_was_cut_short_is_an_error(
    server: AppServer, tmp_path: Path
) -> None:
    """When the disk takes only a part of a record, store() raises OSError."""
    server.did = "store() with room for 60 bytes in the file"
    run = store_one(server, tmp_path, room=60)
    cause = "write() returns how many bytes it wrote: compare it with len(record)"
    got = run.stderr[-400:] or "no error"
    server.expect("OSError" in run.stderr, "OSError", got, cause)


@pytest.mark.todo("5.2")
def test_a_torn_line_hides_nothing(server: AppServer, tmp_path: Path) -> None:
    """A line torn by a crash is skipped with a warning; what follows it is read."""
    file = tmp_path / "hidden.jsonl"
    uids = [str(uuid.uuid4()) for _ in range(4)]
    states = ["queued", "running", "succeeded", "failed"]
    lines = [
        f'{{"uid":"{u}","state":"{s}"}}' for u, s in zip(uids, states, strict=True)
    ]
    text = "\n".join([lines[0], TORN.decode(), "", *lines[1:]])
    file.write_text(text + "\n", encoding="utf-8")
    cause = "each whole line must be yielded once, and a torn one must not end the loop"
    recover(server, file, 2, cause)
    place = f"hidden.jsonl: skipped a torn line at byte {len(lines[0]) + 1}"
    cause = "the offset of a line is self._end as it was before the line was read"
    with server.likely(cause):
        server.logged(place)
    for _ in range(8):  # in both servers
        recover(server, file, 0, cause)
    warned = server.output().count("hidden.jsonl: skipped")
    cause = (
        "lines are read again that were read before: move self._end past each line; "
    )
    cause += "or an empty line was warned of"
    server.expect(warned <= 2, "one warning from each server", warned, cause)


@pytest.mark.todo("5.2")
def test_what_is_no_record_is_skipped(server: AppServer, tmp_path: Path) -> None:
    """A line that was torn at a brace, or was never a record, changes nothing."""
    file = tmp_path / "strange.jsonl"
    uid, other = str(uuid.uuid4()), str(uuid.uuid4())
    lines = [
        f'{{"uid":"{uid}","state":"queued","task":"hello"}}',
        f'{{"uid":"{uid}","state":"succeeded","result":{{"a":1}}',
        f'{{"uid":"{"-" * 36}","state":"queued"}}',
        f'x{{"uid":"{uid}","state":"succeeded"}}',
        f'{{"uid":"{other}","state":"paused"}}',
        "[]",
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    cause = "each whole line must be yielded once, and others must not end the loop. A "
    cause += "record is a whole line and not a part of one, which fullmatch() tells"
    recover(server, file, 1, cause)
    added = file.read_text(encoding="utf-8").splitlines()[len(lines) :]
    right = len(added) == 1 and uid in added[0] and '"failed"' in added[0]
    server.expect(right, f"one more line: {uid} has failed", added, cause)


@pytest.mark.todo("5.2")
def test_a_half_written_line_waits(server: AppServer, tmp_path: Path) -> None:
    """A line that is still being written is read when it is whole."""
    file = tmp_path / "half.jsonl"
    line = f'{{"uid":"{uuid.uuid4()}","state":"queued"}}\n'
    file.write_text(line[:40], encoding="utf-8")
    # The two servers each have a place in the file: both must come back to the line.
    cause = "the line is being written, in two halves: leave a line that has no line "
    cause += "break yet for the next time"
    for _ in range(8):
        recover(server, file, 0, cause)
    with file.open("a", encoding="utf-8") as end:
        end.write(line[40:])
    recover(server, file, 1, cause)
    log = server.output()
    server.expect("half.jsonl: skipped" not in log, "no warning", server.end_of_log())


@pytest.mark.todo("5.3")
def test_a_look_up_merges_the_lines(server: AppServer, tmp_path: Path) -> None:
    """fetch() merges the lines of one job, whichever process appended them."""
    file = tmp_path / "merged.jsonl"
    uid, other, unknown = (str(uuid.uuid4()) for _ in range(3))
    store(server, file, uid, **QUEUED)
    store(server, file, other, **QUEUED)
    store(server, file, other, state="failed")
    for _ in range(2):
        for details in fetch(server, file, uid):
            right = details and details["kwargs"] == QUEUED["kwargs"]
            cause = "self.refresh() comes first, the keys of self._offsets are bytes, "
            cause += "and each offset needs its seek()"
            server.expect(right, f"the job: {QUEUED}", details, cause)
    store(server, file, uid, state="succeeded", result=7)
    for details in fetch(server, file, uid):
        right = details and details["state"] == "succeeded" and details["result"] == 7
        cause = (
            "later lines must win, and keep what earlier ones had: details |= line, "
        )
        cause += "of every offset in self._offsets"
        right = right and details["task"] == "hello"
        server.expect(right, "succeeded, 7, and the task", details, cause)
    for details in fetch(server, file, unknown):
        server.expect(details is None, "None for an unknown uid", details)
    # Its first line was torn.
    store(server, file, unknown, state="running")
    cause = 'of a job without a "task" nothing is known: return None'
    for details in fetch(server, file, unknown, cause):
        server.expect(details is None, 'None without a "task"', details, cause)


@pytest.mark.todo("5.2")
def test_lines_are_read_once(server: AppServer, tmp_path: Path) -> None:
    """A look-up reads only the lines that were added since the last one."""
    file = tmp_path / "once.jsonl"
    run = run_calls(server, READ_ONCE, str(file))
    server.did = "refresh() with 1,000 lines in the file, then again with one more"
    with server.likely(
        "lines are read again that were read before. Begin at self._end, and move it "
        "past each line"
    ):
        assert run.stdout.split() == ["1000", "1"], run.stdout + run.stderr[-400:]


@pytest.mark.todo("5.3")
def test_no_job_answers_for_another(server: AppServer, tmp_path: Path) -> None:
    """If the file is cut and written again, an old uid doesn't get another job."""
    file = tmp_path / "cut.jsonl"
    old, other = str(uuid.uuid4()), str(uuid.uuid4())
    store(server, file, old, **QUEUED)
    for details in fetch(server, file, old):
        assert details
        assert details["uid"] == old
    file.write_bytes(file.read_bytes().replace(old.encode(), other.encode()))
    with server.likely("a line of another uid was merged, so compare the uid first"):
        for details in fetch(server, file, old):
            assert details is None


@pytest.mark.todo("5.4")
def test_a_job_that_was_not_recorded_is_not_queued(
    server: AppServer, tmp_path: Path
) -> None:
    """If store() raises OSError, send() does too, and queues nothing."""
    run = run_calls(server, DISK_FULL, str(tmp_path / "full.jsonl"))
    server.did = "await saje.send(...), with a backend whose store() raises OSError"
    with server.likely(
        "a job that was not recorded must not be queued, because nobody could ask for "
        "it. Let the OSError out"
    ):
        assert run.stdout.split() == ["OSError", "0"], run.stdout + run.stderr[-400:]


@pytest.mark.todo("5.4")
def test_a_job_that_cannot_be_queued_has_failed(
    server: AppServer, tmp_path: Path
) -> None:
    """If the queue is gone, the job is recorded as failed, and send() raises."""
    run = run_calls(server, QUEUE_GONE, str(tmp_path / "gone.jsonl"))
    server.did = "await saje.send(...), with a queue whose put_nowait() raises EOFError"
    with server.likely(
        "the job still looks queued, although nobody will run it. Record it as failed, "
        "then let the exception out"
    ):
        assert run.stdout.split() == ["EOFError", "failed", "EOFError"], (
            run.stdout + run.stderr[-400:]
        )


@pytest.mark.todo("5.4")
def test_a_job_is_recorded_when_it_is_sent(server: AppServer) -> None:
    """fetch() finds a job as soon as send() has returned."""
    for _ in range(2):
        uid = str(uuid.uuid4())
        job = {"task": "hello", "uid": uid, "kwargs": {"name": "Ada", "seconds": 0}}
        server.send(job)
        reply = server.request("POST", "/probe/ask", {"uid": uid})
        server.did = f"await saje.send({job}), then await saje.fetch({uid})"
        server.expect(reply.status == 200, "no exception", reply)
        details = reply.json["details"]
        right = details and details["task"] == "hello" and details["uid"] == uid
        server.expect(right, "the job", details)
        right = details and details["kwargs"] == job["kwargs"]
        right = right and details["submitted_at"]
        server.expect(right, "its kwargs and submitted_at", details)


@pytest.mark.todo("5.4")
def test_a_job_is_recorded_before_it_is_queued(server: AppServer) -> None:
    """Even with a slow disk, the worker gets a job only when it is stored."""
    uid = str(uuid.uuid4())
    job = {"task": "hello", "uid": uid, "kwargs": {"name": "Ada", "seconds": 0}}
    reply = server.request("POST", "/probe/send-slowly", {"job": job})
    server.did = f"await saje.send({job}), with a backend that takes 0.3 s to store"
    server.expect(reply.status == 200, "no exception", reply)
    cause = "send() must put the message on the queue: put_nowait()"
    with server.likely(cause):
        log = server.logged(f"Job {uid} started")
    cause = "put_nowait() comes before store() has ended: the worker may be done with "
    cause += "the job before its record says `queued`"
    stored = f"Stored {uid}" in log[: log.index(f"Job {uid} started")]
    server.expect(stored, "stored, then started", "started, then stored", cause)


@pytest.mark.todo("5.4")
def test_what_cannot_be_kept_leaves_no_trace(server: AppServer) -> None:
    """A job that cannot be written as JSON is refused before anything is stored."""
    uid = str(uuid.uuid4())
    deep: list[Any] = []
    for _ in range(80):
        deep = [deep]
    job = {"task": "hello", "uid": uid, "kwargs": {"seconds": 0}, "note": deep}
    reply = server.request("POST", "/probe/send", {"job": job})
    server.expect(reply.status == 500, "ValueError, from encode()", reply)
    details = server.request("POST", "/probe/ask", {"uid": uid}).json["details"]
    server.did = f"await saje.send({str(job)[:80]} ...), then await saje.fetch({uid})"
    cause = "encode() the whole message before anything is stored"
    server.expect(details is None, "no such job", details, cause)
    # The same client still records what is right.
    del job["note"]
    server.send(job)
    details = server.request("POST", "/probe/ask", {"uid": uid}).json["details"]
    server.expect(details, "the job, sent again without the note", details)


@pytest.mark.todo("5.5")
def test_every_server_answers_for_a_job(server: AppServer) -> None:
    """GET /v1/job/<uid> answers with the job, from either server."""
    uid = server.post("hello", name="Ada", seconds=0)
    for details in server.each_server(f"/v1/job/{uid}").values():
        right = details.get("uid") == uid and details.get("kwargs", {}).get("name")
        server.expect(right == "Ada", "the job", details)


@pytest.mark.todo("5.5")
def test_unknown_jobs_are_not_found(server: AppServer) -> None:
    """GET /v1/job/<uid> is 404 for an unknown uid, and for one that is none."""
    uid = server.post("hello", seconds=0)
    server.details(uid, ended=False)
    for other in (str(uuid.uuid4()), "x", "..%2f..%2fetc%2fpasswd", "%00", "null"):
        reply = server.get(f"/v1/job/{other}")
        server.expect(reply.status == 404, "404", reply)


@pytest.mark.todo("5.6")
def test_outcomes_are_recorded(server: AppServer) -> None:
    """A job's result or error is in its details, with the times of its stages."""
    details = server.details(server.post("word_count", text="a b a"))
    server.expect(details["state"] == "succeeded", "succeeded", details)
    server.expect(details["result"]["words"] == 3, "its result", details)
    times = [details[f"{k}_at"] for k in ("submitted", "started", "finished")]
    server.expect(all(times), "submitted_at, started_at and finished_at", times)
    moments = [datetime.fromisoformat(moment) for moment in times]
    with server.likely("finished_at has to be taken after the work has ended"):
        assert moments == sorted(moments), times
    utc = all(moment.tzinfo is not None for moment in moments)
    server.expect(utc and moments[0] < datetime.now(UTC), "aware times", times)
    for task, kwargs, error in (
        ("probe_raises", {"kind": "SystemExit"}, "SystemExit"),
        ("probe_unstorable", {}, "ValueError"),
        ("probe_nested", {"levels": 64}, "ValueError"),
        ("word_count", {"txt": "a"}, "TypeError"),
    ):
        uid = server.post(task, **kwargs)
        cause = None
        if task in ("probe_unstorable", "probe_nested"):
            cause = "a result that JSON cannot hold is a failure: call encode(outcome) "
            cause += "inside the try"
        with server.likely(cause or "it has no outcome: store() one"):
            details = server.details(uid)
        right = details["state"] == "failed" and details["error"]["type"] == error
        server.expect(right, f"failed: {error}", details)


@pytest.mark.todo("5.6")
def test_a_job_is_finished_after_the_work(server: AppServer) -> None:
    """finished_at is the time after the work, and started_at the time before it."""
    details = server.details(server.post("hello", seconds=0.2))
    times = [
        datetime.fromisoformat(details[f"{k}_at"]) for k in ("started", "finished")
    ]
    with server.likely("finished_at has to be taken after the work has ended"):
        assert (times[1] - times[0]).total_seconds() >= 0.19


@pytest.mark.todo("5.6")
def test_the_outcome_is_awaited(server: AppServer, tmp_path: Path) -> None:
    """execute() returns only after the outcome is on file."""
    run = run_calls(server, AWAITED, str(tmp_path / "awaited.jsonl"))
    server.did = "await job.execute(), then read the file at once"
    with server.likely("await the store(), or nobody knows when the record is there"):
        assert run.stdout.split()[-1:] == ["succeeded"], run.stdout + run.stderr[-400:]


@pytest.mark.todo("5.6")
def test_a_running_job_is_running(server: AppServer) -> None:
    """While its task runs, a job is running."""
    uid = server.post("hello", seconds=0.3)
    server.running(uid)
    details = server.details(uid)
    server.expect(details["state"] == "succeeded", "then succeeded", details)


@pytest.mark.todo("5.6")
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


@pytest.mark.todo("5.6")
def test_no_job_is_forgotten(start: StartServer) -> None:
    """An ended job outlives a crash; a job that did not end is failed: Interrupted."""
    server = start()
    ended = server.post("hello", name="Ada", seconds=0)
    before = server.details(ended)
    lost = server.post("hello", seconds=60)
    server.running(lost)
    server.kill()
    again = start(after=server)
    after = again.details(ended)
    again.did = f"kill -9 of all processes, a restart, then {again.did}"
    again.expect(after == before, f"as before: {before}", after)
    details = again.details(lost)
    right = details["state"] == "failed" and details["error"]["type"] == "Interrupted"
    again.expect(right, "failed: Interrupted", details)
    # The same without a crash: the drain is over before the job is.
    late = again.post("hello", seconds=60)
    again.running(late)
    again.signal(signal.SIGINT, to_group=True)
    again.did += ", while a job of 60 s ran"
    again.ended_well()
    log = again.output()
    right = f"Job {late} failed" in log and "Interrupted" in log
    again.expect(right, "the job failed: Interrupted", again.end_of_log())
