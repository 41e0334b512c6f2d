"""Step 05: the details of jobs, on file."""

import json
import re
import signal
import uuid
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from app_process import Checkpoint
from app_server import AppServer, Call, StartServer

UID = "f54e4ca4-9b5b-4a3e-9c7b-5d1a0c0f7d11"
OTHER = "0b87f3ee-3d9c-4a86-8f0f-2a4f1f0f3c52"
TORN = f'{{"uid":"{UID}","state":"queued","ta'
JOB = {"task": "hello", "uid": UID, "kwargs": {"name": "Ada", "seconds": 0}}

SETUP = f"""
import builtins
import json
from pathlib import Path
from uuid import UUID
from saje.backend import FileBackend
from saje.client import SajeClient
from saje.job import Job
from saje.model import JobState
from saje_probe_fakes import *
uid, other, job = UUID({UID!r}), UUID({OTHER!r}), {JOB}
path = Path(folder) / "jobs.jsonl"
path.write_text("")
backend = FileBackend(path)

def append(text):
    with path.open("a") as file:
        file.write(text)
"""
"""What the calls of these tests begin with."""


def record(uid: str, state: str, **changes: Any) -> str:
    """Return the line of a record."""
    values = {"uid": uid, "state": state, **changes}
    return json.dumps(values, separators=(",", ":")) + "\n"


def on_file(server: AppServer, uid: str) -> list[dict[str, Any]]:
    """Return the records that the app's file has of a job."""
    lines = server.db.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if f'"uid":"{uid}"' in line]


@pytest.mark.todo("5.1")
def test_a_record_is_one_write(server: AppServer, call: Call) -> None:
    """A record goes out in one write, with its line break, so that no lines mix."""
    source = """
    with disk(backend) as writes:
        await backend.store(uid, JobState.QUEUED, task="hello", kwargs={"n": 1})
        await backend.store(uid, JobState.FAILED, error={})
    return [write.decode() for write in writes]
    """
    writes = call(source)
    with server.likely(
        "write through self._writer, which appends and has no buffer. write_bytes() "
        "overwrites what others wrote, and text mode has a buffer"
    ):
        assert writes, "no write"
    with server.likely(
        "a record and its line break must go out in one call of write()"
    ):
        assert len(writes) == 2, writes
    with server.likely("a record ends in a line break: add b'\\n' to its bytes"):
        assert all(write.endswith("}\n") for write in writes), writes
    with server.likely(
        "a line break goes in front only if self._ends_torn() returns true"
    ):
        assert not any(write.startswith("\n") for write in writes), writes
    with server.likely(
        "RECORD looks for the uid, then the state, in the compact JSON of encode()"
    ):
        assert writes[0].startswith(f'{{"uid":"{UID}","state":"queued",'), writes
    changes = {"task": "hello", "kwargs": {"n": 1}}
    with server.likely("the changes are fields of the record, beside uid and state"):
        assert json.loads(writes[0]) == {"uid": UID, "state": "queued", **changes}


@pytest.mark.todo("5.1")
def test_what_json_cannot_hold_is_not_stored(
    server: AppServer, call: Call, tmp_path: Path
) -> None:
    """store() raises ValueError for what JSON can't hold, and writes nothing."""
    source = """
    raised = []
    for value in ({1: "a", "1": "b"}, float("nan"), {"a", "b"}, "\\ud800"):
        try:
            await backend.store(uid, JobState.SUCCEEDED, task="hello", result=value)
        except ValueError:
            raised.append("ValueError")
    return raised
    """
    with server.likely("encode() refuses this, and other encoders write something"):
        assert call(source) == ["ValueError"] * 4
        assert (tmp_path / "jobs.jsonl").read_bytes() == b""


@pytest.mark.todo("5.1")
def test_a_torn_line_is_closed(server: AppServer, call: Call, tmp_path: Path) -> None:
    """After a line torn by a crash, a record begins on a line of its own."""
    source = """
    append(text)
    await backend.store(other, JobState.QUEUED, task="hello")
    """
    call(source, text=TORN)
    server.did += f"\nwith a file that ends in {TORN!r}"
    with server.likely(
        "the record was appended to the torn line, so begin with a line break if "
        "self._ends_torn()"
    ):
        expected = TORN + "\n" + record(OTHER, "queued", task="hello")
        assert (tmp_path / "jobs.jsonl").read_text(encoding="utf-8") == expected


@pytest.mark.todo("5.1")
def test_a_record_that_was_cut_short_is_an_error(server: AppServer, call: Call) -> None:
    """If the disk takes only a part of a record, store() raises OSError."""
    source = """
    append(text)
    with disk(backend, room=room) as writes:
        try:
            await backend.store(uid, JobState.QUEUED, task="hello", kwargs={})
        except OSError:
            return "OSError"
    """
    whole = len(record(UID, "queued", task="hello", kwargs={}))
    # The beginning fits, or all but the line break, which a torn line makes longer.
    for text, room in (("", 60), ("", whole - 1), (TORN, whole)):
        raised = call(source, text=text, room=room)
        with server.likely(
            "write() returns how many bytes it wrote, so compare that with the length "
            "of what you gave it"
        ):
            assert raised == "OSError"


@pytest.mark.todo("5.2")
def test_a_torn_line_hides_nothing(server: AppServer, call: Call) -> None:
    """Each whole record is yielded with its offset; torn lines are warned about."""
    source = """
    append(text)
    warned = []
    backend._warn = warned.append
    found = [(offset, m[1].decode()) for offset, m in backend._new_records()]
    return found, warned
    """
    lines = [
        record(UID, "queued", task="hello"),
        TORN + "\n",
        "\n",
        record(OTHER, "queued", task="hello"),
        "\n",
        f"garbage {record(UID, 'succeeded')}",
        record("-" * 36, "queued"),
        record(OTHER, "paused"),
        record(OTHER, "succeeded")[:-2] + "\n",
        "[]\n",
        record(UID, "failed"),
    ]
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    with server.likely("yield each whole line's offset, then its match, in a loop"):
        found, warned = call(source, text="".join(lines))
    server.did += f"\nwith this file:\n{''.join(lines)}"
    with server.likely(
        "a torn or an empty line must not end the loop, and a record is a whole line "
        "and not a part of one, which fullmatch() tells"
    ):
        assert [match for _, match in found] == [UID, OTHER, UID]
    with server.likely("the offset of a line is self._end before the line was read"):
        assert [offset for offset, _ in found] == [starts[0], starts[3], starts[10]]
    cause = "_warn() of the offset at which the torn line begins"
    if set(warned) & {starts[2], starts[4]}:
        cause = "an empty line isn't worth a warning"
    with server.likely(cause):
        assert warned == [starts[1], *starts[5:10]]


@pytest.mark.todo("5.2")
def test_lines_are_read_once(server: AppServer, call: Call) -> None:
    """Only the lines are read and yielded that were added since the last time."""
    source = """
    file, counts, found = count_reads(backend), [], []
    for text in lines:
        append(text)
        file.count = 0
        found.append(len(list(backend._new_records())))
        counts.append(file.count)
    return found, counts
    """
    many = "".join(record(str(uuid.uuid4()), "queued") for _ in range(2000))
    lines = [many, record(UID, "queued"), record(UID, "failed"), ""]
    found, counts = call(source, lines=lines)
    server.did += f"\nwhich read so many bytes each time: {counts}"
    with server.likely(
        "lines are read again that were read before. The given line before your loop "
        "moves the reader to self._end, so begin there, and move self._end past each"
    ):
        assert found == [2000, 1, 1, 0]
        assert max(counts[1:]) < len(many) / 2


@pytest.mark.todo("5.2")
def test_a_half_written_line_waits(server: AppServer, call: Call) -> None:
    """A line that is still being written is read when it is whole."""
    source = """
    warned, found = [], []
    backend._warn = warned.append
    for text in parts:
        append(text)
        found.append([offset for offset, _ in backend._new_records()])
    return found, warned
    """
    line = record(UID, "queued", task="hello")
    parts = [line + line[:40], "", line[40:-1], "\n" + line]
    found, warned = call(source, parts=parts)
    length = len(line)
    with server.likely(
        "the line is being written, in parts. Leave a line that has no line break yet "
        "for the next time, and leave self._end at its beginning"
    ):
        assert warned == []
        assert found == [[0], [], [], [length, 2 * length]]


@pytest.mark.todo("5.3")
def test_a_look_up_merges_the_lines(server: AppServer, call: Call) -> None:
    """fetch() merges the lines of one job, whichever process appended them."""
    source = """
    found = []
    for text in lines:
        append(text)
        details = await backend.fetch(uid)
        found.append(details and details.to_dict())
    return found
    """
    kwargs = {"name": "Ada | Grace"}
    error = {"type": "ValueError", "message": "one"}
    lines = [
        record(OTHER, "queued", task="primes", kwargs={"below": 10})
        + record(UID, "queued", task="hello", kwargs=kwargs, submitted_at="1"),
        record(OTHER, "failed", error=error) + TORN + "\n",
        record(UID, "running", started_at="2"),
        record(UID, "succeeded", result=7, finished_at="3"),
        record(OTHER, "succeeded", result=8),
    ]
    with server.likely("fetch() returns JobDetails(**details), or None"):
        found = call(source, lines=lines)
    server.did += f"\nwith these lines, one after the other:\n{''.join(lines)}"
    with server.likely(
        "call self.refresh() first. The keys of self._offsets are bytes, each offset "
        "needs its seek(), and the uid of a line is a text"
    ):
        assert found[0], "None"
        assert found[0]["uid"] == UID
    with server.likely("these are the details of another job"):
        assert found[0]["task"] == "hello"
        assert found[1] == found[0]
    with server.likely(
        "a later line must win, and keep what earlier ones said, so merge the lines of "
        "all the offsets, from the first to the last"
    ):
        assert all(found), found
        assert [f["state"] for f in found[2:]] == ["running", "succeeded", "succeeded"]
        expected = {"uid": UID, "task": "hello", "kwargs": kwargs, "state": "succeeded"}
        expected |= {"submitted_at": "1", "started_at": "2", "finished_at": "3"}
        assert found[4] == expected | {"result": 7, "error": None}


@pytest.mark.todo("5.3")
def test_an_unknown_job_is_none(server: AppServer, call: Call) -> None:
    """fetch() returns None for an unknown uid, and for a job whose task is lost."""
    source = """
    append(text)
    known = await backend.fetch(other)
    unknown = await backend.fetch(uid)
    append(line)
    return known is not None, unknown, await backend.fetch(uid)
    """
    text, line = record(OTHER, "queued", task="hello"), record(UID, "running")
    with server.likely(
        "an unknown uid isn't in self._offsets, so use get(), which takes a default. "
        'A job without a "task" has lost its first line. Return None for both'
    ):
        known, unknown, lost = call(source, text=text, line=line)
        server.did += f"\nwith this file:\n{text}{line}"
        assert (unknown, lost) == (None, None)
    assert known, "None for a job that is there"


@pytest.mark.todo("5.3")
def test_a_look_up_uses_the_index(server: AppServer, call: Call) -> None:
    """A look-up reads the new lines and those of its job, and no others."""
    source = """
    append(text)
    states, counts, file = [], [], count_reads(backend)
    for line in lines:
        append(line)
        file.count = 0
        details = await backend.fetch(uid)
        states.append(details and details.state)
        counts.append(file.count)
    return states, counts[1:]
    """
    text = record(UID, "queued", task="hello")
    text += "".join(record(str(uuid.uuid4()), "queued", task="a") for _ in range(3000))
    lines = ["", record(UID, "running"), record(UID, "failed")]
    states, counts = call(source, text=text, lines=lines)
    with server.likely("fetch() doesn't find the lines of the job"):
        assert states == ["queued", "running", "failed"]
    server.did += f"\nwhich read so many bytes each time: {counts}"
    with server.likely(
        "the file is read again for each look-up. self.refresh() reads on from where "
        "the last look-up stopped, and self._offsets has the lines of the job"
    ):
        assert max(counts) < len(text) / 2


@pytest.mark.todo("5.3")
def test_no_job_answers_for_another(server: AppServer, call: Call) -> None:
    """If the file is cut or written again, a uid never gets another job's details."""
    source = """
    found = []
    for text in texts:
        path.write_text(text)
        details = await backend.fetch(uid)
        found.append(details and details.to_dict())
    return found
    """
    line = record(OTHER, "queued", task="hello", kwargs={"secret": True})
    # The other job's line is where that of this one was, or begins before it.
    own = record(UID, "queued", task="hello", kwargs={"secret": True})
    texts = [own, line, line[1:] + line, "x" * 10 + line, ""]
    own_details, *found = call(source, texts=texts)
    server.did += f"\nwith these texts, one after the other:\n{''.join(texts)}"
    with server.likely("fetch() doesn't find the job at the beginning of the file"):
        assert own_details, "None"
    with server.likely(
        "a line of another uid was merged, so compare the uid of each line first"
    ):
        assert found == [None] * 4


@pytest.mark.todo("5.4")
def test_a_job_is_recorded_before_it_is_queued(server: AppServer, call: Call) -> None:
    """Even with a slow disk, a job is on file before it is on the queue."""
    source = """
    events = []
    await SajeClient(FakeQueue(events), SlowBackend(backend, events)).send(job)
    return events
    """
    events = call(source)
    with server.likely("send() must put the message on the queue: put_nowait()"):
        assert "queued" in events
    with server.likely(
        "put_nowait() comes before store() has ended, so the worker may be done with "
        "the job before its record says `queued`. Await self.backend.store() first"
    ):
        assert events == ["stored as queued", "queued"]


@pytest.mark.todo("5.4")
def test_a_job_is_recorded_when_it_is_sent(server: AppServer, call: Call) -> None:
    """Once send() has returned, the job is on the queue, unchanged, and on file."""
    source = """
    client = SajeClient(FakeQueue(), backend)
    await client.send(job)
    details = await client.fetch(uid)
    return client.queue.messages, details and details.to_dict(), job
    """
    messages, details, after = call(source)
    server.did = f"await saje.send({JOB}), then await saje.fetch({UID!r})"
    with server.likely("send() must put the message on the queue: put_nowait()"):
        assert messages
    with server.likely("the message on the queue is the job, as encode() writes it"):
        assert [type(message) for message in messages] == [str]
        assert json.loads(messages[0]) == JOB
    with server.likely(
        "pop() and del change the dictionary of the caller, who may still need it. "
        "Read it with job_definition[...]"
    ):
        assert after == JOB, after
    with server.likely("send() has to store() the job, and fetch() asks the backend"):
        assert details is not None
    with server.likely("record the task and kwargs of the job, with its state"):
        assert (details["uid"], details["task"]) == (UID, "hello")
        assert details["kwargs"] == JOB["kwargs"]
        assert details["state"] == "queued"
    with server.likely("submitted_at=now() is the moment at which it was sent, in UTC"):
        assert str(details["submitted_at"]).endswith("+00:00")
    assert [details["started_at"], details["finished_at"]] == [None, None]


@pytest.mark.todo("5.4")
def test_a_refused_job_leaves_no_trace(server: AppServer, call: Call) -> None:
    """A job that JSON can't hold is neither recorded nor queued."""
    source = """
    client, raised = SajeClient(FakeQueue(), backend), []
    for note in (float("nan"), {1: "a key that isn't text"}):
        try:
            await client.send({**job, "note": note})
        except ValueError:
            raised.append("ValueError")
    text, messages = path.read_text(), list(client.queue.messages)
    await client.send(job)
    return raised, text, messages, path.read_text()
    """
    raised, text, messages, later = call(source)
    with server.likely("encode() raises ValueError for it. Let that out"):
        assert raised == ["ValueError"] * 2
    with server.likely(
        "encode() the whole message before anything is stored, so that a job that is "
        "refused leaves no trace"
    ):
        assert (text, messages) == ("", [])
    with server.likely("a job that is fine is recorded, after others were refused"):
        assert UID in later


@pytest.mark.todo("5.4")
@pytest.mark.parametrize("kind", ["EOFError", "BrokenPipeError"])
def test_a_job_that_cannot_be_queued_has_failed(
    server: AppServer, call: Call, kind: str
) -> None:
    """If the queue is gone, the job is recorded as failed, and send() raises."""
    source = """
    client = SajeClient(FakeQueue(error=getattr(builtins, kind)()), backend)
    raised = None
    try:
        await client.send(job)
    except (EOFError, OSError) as error:
        raised = type(error).__name__
    details = await client.fetch(uid)
    return raised, details and details.to_dict()
    """
    raised, details = call(source, kind=kind)
    server.did = f"await saje.send(...), with a queue whose put_nowait() raises {kind}"
    with server.likely(
        "the queue is gone, and whoever sent the job has to hear of it. Record the "
        "job as failed, then let the exception out: raise"
    ):
        assert raised == kind
    with server.likely(
        "the job still looks queued, although nobody will run it. Record it as failed "
        "before you let the exception out"
    ):
        assert details, details
        assert details["state"] == "failed"
    with server.likely("record the error, as describe(error), and finished_at"):
        assert details["error"], details
        assert details["error"]["type"] == kind
        assert details["error"]["message"]
        assert str(details["finished_at"]) >= details["submitted_at"]


@pytest.mark.todo("5.4")
def test_post_says_that_a_job_was_not_accepted(server: AppServer) -> None:
    """POST answers 503 with Retry-After if the disk is full or the queue is gone."""
    body = {"task": "hello", "kwargs": {"seconds": 0}}
    for broken in ("disk", "queue"):
        headers = {"probe-broken": broken}
        reply = server.request("POST", "/v1/job", body, headers=headers)
        server.did = f"POST /v1/job, while the {broken} was broken"
        with server.likely(
            "send() swallowed the exception of store() or put_nowait(), so the handler "
            "takes the job as accepted. A job that wasn't recorded must not be queued"
        ):
            assert reply.status == 503, reply
        assert int(reply.headers["retry-after"]) > 0
        refused = re.findall(r"Job (\S+) was refused", server.logged("was refused"))
        with server.likely(
            "a job that couldn't be stored must leave no trace, and one that couldn't "
            "be queued is recorded as failed"
        ):
            states = [line["state"] for line in on_file(server, refused[-1])]
            expected = {"disk": [], "queue": ["queued", "failed"]}
            assert states == expected[broken]
    reply = server.request("POST", "/v1/job", body)
    assert reply.status == 202, reply


@pytest.mark.todo("5.5")
def test_every_server_answers_for_a_job(server: AppServer) -> None:
    """GET /v1/job/<uid> answers with all details of a job, from either server."""
    uid = server.post("probe_raises", kind="KeyError")
    details: dict[str, Any] = {"uid": uid, "task": "probe_raises"}
    details |= {"kwargs": {"kind": "KeyError"}, "result": None}
    times = {"submitted_at", "started_at", "finished_at"}
    added = {"attempts", "failures"}  # from step 09 on
    for found in server.each_server(f"/v1/job/{uid}").values():
        with server.likely(
            "the answer is json(details.to_dict()), of what saje.fetch(uid) returns"
        ):
            assert found.items() >= details.items()
            assert found.keys() - added == details.keys() | times | {"state", "error"}
    reply = server.get(f"/v1/job/{uid.upper()}")
    with server.likely(
        "a UUID may be written in capital letters as well. The route "
        '"/<uid:uuid>" hands you a UUID and not a text'
    ):
        assert reply.status == 200, reply


@pytest.mark.todo("5.5")
def test_unknown_jobs_are_not_found(server: AppServer) -> None:
    """GET /v1/job/<uid> is 404 for an unknown uid, and for what isn't a uid."""
    uid = server.post("hello", seconds=0)
    reply = server.get(f"/v1/job/{uid}")
    with server.likely('the handler is @bp.get("/<uid:uuid>"), and answers json(...)'):
        assert reply.status == 200, reply
    unknown = str(uuid.uuid4())
    reply = server.get(f"/v1/job/{unknown}")
    with server.likely(
        "saje.fetch(uid) returns None if nobody knows the job. Raise NotFound then"
    ):
        assert reply.status == 404, reply
    with server.likely(
        "whoever asks for several jobs can't tell which one is unknown, so give "
        "NotFound a message with the uid in it"
    ):
        assert unknown in reply.json["message"]
    parts = (uid[:-1], f"{uid}0", f"{uid}%20")
    for other in ("x", "null", "{}", "%00", "..%2f..%2fetc%2fpasswd", *parts):
        reply = server.get(f"/v1/job/{other}")
        with server.likely(
            'this isn\'t a UUID. The route "/<uid:uuid>" matches nothing else'
        ):
            assert reply.status == 404, reply


@pytest.mark.todo("5.6")
def test_a_job_is_recorded_before_it_is_logged(server: AppServer, call: Call) -> None:
    """A job is recorded before its work begins, and before its outcome is logged."""
    source = """
    events = []
    message = json.dumps(job)
    with log_to(events):
        await Job.create(message, SlowBackend(backend, events)).execute()
    return events
    """
    events = call(source)
    with server.likely(
        "the outcome isn't on file when execute() returns. Record it there, and await "
        "the store(): a task that nobody awaits may get lost, with its exception"
    ):
        assert "stored as succeeded" in events
    with server.likely(
        "_started() has to await the store() of RUNNING, before the work begins"
    ):
        order = [event for event in events if event[:7] in ("stored ", "Hello, ")]
        assert order == ["stored as running", "Hello, Ada.", "stored as succeeded"]
    with server.likely(
        "the log says how the job ended, and the file doesn't say so yet. Record the "
        "outcome first, then log it"
    ):
        order = [event for event in events if "succeeded" in event]
        assert order[0] == "stored as succeeded"
        assert order[1:], "no line `Job … succeeded: …` in the log"


@pytest.mark.todo("5.6")
@pytest.mark.parametrize(
    ("task", "kwargs", "error"),
    [
        ("probe_raises", {"kind": "SystemExit"}, "SystemExit"),
        ("word_count", {"txt": "a"}, "TypeError"),
        ("probe_cancels_itself", {}, "CancelledError"),
    ],
    ids=["exit", "arguments", "cancelled"],
)
def test_a_failure_is_recorded(
    server: AppServer, task: str, kwargs: dict[str, Any], error: str
) -> None:
    """A failed job is recorded with its own error, whose message is never empty."""
    uid = server.post(task, **kwargs)
    server.outcome(uid)
    details = server.details(uid, ended=False)
    with server.likely(
        "a job whose task raised an exception has failed. This is an outcome as well: "
        "its store() comes after the try, whatever was raised in it"
    ):
        assert details["state"] == "failed"
        assert details["result"] is None
    with server.likely(
        '**outcome passes the error as a field: {"error": describe(error)}'
    ):
        assert details["error"], details
        assert details["error"]["type"] == error
        assert details["error"]["message"]
    assert details["started_at"] <= details["finished_at"]


@pytest.mark.todo("5.6")
@pytest.mark.parametrize("kind", ["NaN", "nested"])
def test_a_result_that_json_cannot_hold_is_a_failure(
    server: AppServer, kind: str
) -> None:
    """A result that can't be recorded fails its job with a ValueError."""
    uid = server.post("probe_unstorable", kind=kind)
    with server.likely(
        "a result that JSON can't hold is a failure, so call encode(outcome) inside "
        "the try. (The result alone may be a level less deep than its record)"
    ):
        server.outcome(uid)
        details = server.details(uid, ended=False)
        assert details["state"] == "failed"
        assert details["error"]["type"] == "ValueError"
        assert details["error"]["message"]


@pytest.mark.todo("5.6")
def test_an_outcome_that_cannot_be_written_is_logged(server: AppServer) -> None:
    """An outcome that can't be recorded is in the log at once; the worker goes on."""
    worker = server.worker().pid
    uid = server.post("probe_fills_the_disk")
    server.did += ", while the disk was full"
    ends = ("no space left", f"Job {uid} succeeded", f"Job {uid} failed")
    with server.likely(
        "the OSError of store() was lost. Await store(), and let its exception out: "
        "the scheduler logs it at once"
    ):
        server.until(
            lambda: any(end in server.logged("") for end in ends),
            "a line in the log about the outcome that couldn't be written",
        )
        log = server.logged("")
        assert "no space left" in log
    with server.likely("the log says that the job succeeded, and the file doesn't"):
        assert f"Job {uid} succeeded" not in log
    details = server.details(server.post("word_count", text="a b a"))
    assert details["state"] == "succeeded"
    assert server.worker().pid == worker


@pytest.mark.todo("5.6")
def test_a_job_is_finished_after_the_work(server: AppServer) -> None:
    """While its task runs, a job is running; finished_at is the time after the work."""
    release = server.data / "the-one-waited"
    uid = server.post("probe_waits", until=str(release))
    try:
        with server.likely("_started() has to record RUNNING, before the work begins"):
            server.running(uid)
        details = server.details(uid, ended=False)
        with server.likely("the job has started, and isn't finished"):
            assert details["started_at"], details
            assert details["finished_at"] is None, details
            assert details["result"] is None, details
    finally:
        release.touch()
    assert server.details(uid)["state"] == "succeeded"
    details = server.details(server.post("hello", seconds=0.3))
    with server.likely(
        "**outcome passes the result as a field of its own: store(..., **outcome)"
    ):
        assert details["result"] == "Hello, World."
        assert details["error"] is None
    times = [details["started_at"], details["finished_at"]]
    with server.likely("started_at and finished_at come from now(), which says UTC"):
        assert all(str(time).endswith("+00:00") for time in times), times
    started, finished = map(datetime.fromisoformat, times)
    with server.likely("finished_at has to be taken after the work has ended"):
        assert (finished - started).total_seconds() >= 0.29


@pytest.mark.todo("5.6")
def test_no_job_is_forgotten(start: StartServer) -> None:
    """After kill -9, ended jobs are as before, and all the others are Interrupted."""
    server = start()
    ended = [
        server.post("hello", name="Ada", seconds=0),
        server.post("probe_raises", kind="ValueError"),
    ]
    before = [server.details(uid) for uid in ended]
    lost = [server.post("hello", seconds=600)]
    server.running(lost[0])
    server.worker().suspend()
    lost.append(server.post("hello", seconds=0))
    assert server.details(lost[1], ended=False)["state"] == "queued"
    server.kill()
    again = start(after=server)
    after = [again.details(uid) for uid in ended]
    again.did = f"kill -9 of all processes, a restart, then {again.did}"
    assert after == before
    for uid in lost:
        details = again.details(uid)
        assert details["state"] == "failed"
        assert details["error"]["type"] == "Interrupted"
        assert details["task"] == "hello"
    # The same without a crash: the drain is over before the job is.
    late = again.post("hello", seconds=600)
    again.running(late)
    short = again.post("hello", name="Short", seconds=0.5)
    again.logged("Hello, Short.")
    again.signal(signal.SIGINT, to_group=True)
    again.did = "Ctrl+C, while jobs of 600 s and 0.5 s ran"
    again.ended_well()
    with again.likely(
        "a job that was interrupted has an outcome as well: its store() comes after "
        "the try, whatever was raised in it"
    ):
        assert on_file(again, late)[-1].get("error", {}).get("type") == "Interrupted"
        assert on_file(again, short)[-1]["state"] == "succeeded"


@pytest.mark.todo("5.6")
def test_only_jobs_that_have_a_slot_are_running(server: AppServer) -> None:
    """Of 30 blocking jobs, 8 are running, and the others are queued."""
    release = server.data / "all-waited"
    try:
        uids = [server.post("probe_waits", until=str(release)) for _ in range(30)]
        server.logged("Waiting at once: 8.")
        # The worker takes jobs in their order, so all 30 have had their turn then.
        server.post("probe_says", text="after the thirty")
        server.logged("Somebody says: after the thirty")
        found = [server.details(uid, ended=False) for uid in uids]
        server.did = "POST 30 jobs whose task blocks, and GET each of them"
        with server.likely(
            "a job that waits for a slot isn't running yet. _started() is called once "
            "it has one, so record RUNNING there, and nowhere else"
        ):
            states = Counter(details["state"] for details in found)
            assert states == {"running": 8, "queued": 22}
            times = [d["started_at"] for d in found if d["state"] == "queued"]
            assert not any(times)
    finally:
        release.touch()
    for uid in uids:
        assert server.details(uid)["state"] == "succeeded"


@pytest.mark.todo("5.6")
def test_one_app_at_a_time_uses_the_file(server: AppServer) -> None:
    """Another app on the same file is refused in words, and harms no running job."""
    uid = server.post("hello", seconds=600)
    server.running(uid)
    with pytest.raises(Checkpoint) as failure:
        AppServer(server.app, server.data).kill()
    server.did = f"started another app, with SANIC_SAJE_DB={server.db}"
    with server.likely("the lock in saje/creator.py was given, and has been changed"):
        assert "Another app uses" in str(failure.value)
        assert "Traceback" not in str(failure.value)
        assert server.details(uid, ended=False)["state"] == "running"
