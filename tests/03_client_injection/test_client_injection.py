"""Step 03: a client for every handler that asks for it."""

import ast
import json
import uuid
from typing import Any

import psutil
import pytest
from app_server import AppServer, Call, Reply

BODY = {"task": "hello", "kwargs": {"name": "Ada"}}
NOT_REFUSED = (
    "send() wrote the job without a check. Pass it through encode(), which raises "
    "ValueError for what JSON can't hold"
)
NOT_RAISED = (
    "the ValueError of encode() doesn't get out of send(). The caller has to know why "
    "the job isn't queued, so don't catch it"
)
ASK = (
    "the number doesn't come from a client that the handler asked for. Give the "
    "handler the parameter `saje: SajeClient`, and report saje.depth()"
)


SETUP = """
from copy import copy
from uuid import uuid4
from saje_probe_fakes import FakeQueue
"""
"""What the calls of these tests begin with."""


def send(server: AppServer, call: Call, value: str, error: str = "None") -> Any:
    """Call send() on a client whose queue remembers what was put on it.

    Args:
        server: The app.
        call: Runs it there.
        value: The source of the job's argument.
        error: The source of what put() raises, if it should.

    Returns:
        The names of what send() raised, the messages and the job.
    """
    source = """
    job = {"task": "hello", "uid": str(uuid4()), "kwargs": {"value": eval(value)}}
    sender, raised = copy(client), []
    sender.queue = FakeQueue(error=eval(error))
    try:
        await sender.send(job)
    except Exception as found:
        raised = [kind.__name__ for kind in type(found).__mro__]
    messages = [ascii(message) for message in sender.queue.messages]
    return {"raised": raised, "messages": messages, "job": ascii(job)}
    """
    sent = call(source, value=value, error=error)
    server.did = f"await saje.send(...) with a job that holds {value:.40}"
    return sent


@pytest.mark.todo("3.1")
def test_a_handler_gets_the_client(server: AppServer) -> None:
    """A handler that asks for `saje: SajeClient` gets it, in every server."""
    for reply in server.each_server("/probe/client").values():
        server.did = "a handler with the parameter `saje: SajeClient`, in each server"
        with server.likely(
            "nothing is registered for SajeClient, or a function that doesn't return "
            "the client. Call app.ext.add_dependency(SajeClient, get_client) in "
            "create_saje() itself"
        ):
            assert reply.get("type", reply) == "SajeClient"


@pytest.mark.todo("3.1")
def test_a_server_has_one_client(server: AppServer) -> None:
    """All requests of one server get the same client."""
    clients: dict[int, set[str]] = {}
    for _ in range(4):
        for pid, reply in server.each_server("/probe/client").items():
            assert reply.get("type", reply) == "SajeClient"
            clients.setdefault(pid, set()).add(reply["id"])
    server.did = "asked each server for its client, 4 times"
    with server.likely(
        "a client is made for each request. Make it once, in before_server_start, and "
        "let get_client() return that one"
    ):
        assert [len(ids) for ids in clients.values()] == [1, 1]


@pytest.mark.todo("3.2")
def test_send_puts_one_line_of_json_on_the_queue(server: AppServer, call: Call) -> None:
    """saje.send() puts a job on the queue, once, as one line of JSON."""
    sent = send(server, call, r"'two\nlines, é and 😀'")
    assert sent["raised"] == []
    with server.likely("send() has to put the job on self.queue, once"):
        assert len(sent["messages"]) == 1
    message = ast.literal_eval(sent["messages"][0])
    job = ast.literal_eval(sent["job"])
    with server.likely(
        "the worker expects text, which means the same to every process. Put what "
        "encode() returns on the queue"
    ):
        assert isinstance(message, str)
    with server.likely("send() changed what encode() returned. Put it as it is"):
        assert "\n" not in message
    with server.likely("this isn't the job as JSON. Put what encode() returns"):
        try:
            read = json.loads(message)
        except ValueError:
            read = f"no JSON: {message}"
        assert read == job


@pytest.mark.todo("3.2")
def test_send_raises_if_the_queue_is_gone(server: AppServer, call: Call) -> None:
    """If put() fails, saje.send() raises the error, because the job isn't queued."""
    sent = send(server, call, "7", error="ConnectionResetError()")
    server.did = "await saje.send(...), while put_nowait() raises an OSError"
    with server.likely(
        "the error of put_nowait() doesn't get out of send(), or nothing was put. The "
        "caller has to know that the job isn't queued, so don't catch it"
    ):
        assert "OSError" in sent["raised"]


@pytest.mark.todo("3.2")
def test_what_is_sent_runs(server: AppServer) -> None:
    """The worker runs a job that saje.send() was given."""
    job = {
        "task": "hello",
        "uid": str(uuid.uuid4()),
        "kwargs": {"name": "Hedy", "seconds": 0},
    }
    server.send(job)
    with server.likely("send() has to put the job on self.queue, as encode() wrote it"):
        server.logged("Goodbye, Hedy.")


@pytest.mark.todo("3.2")
@pytest.mark.parametrize(
    "value",
    [
        'float("nan")',
        'float("inf")',
        r'"\ud800"',  # half of a surrogate pair
        '{1: "one"}',
        '{"deeper": [{None: "none"}]}',
        'b"bytes"',
        "{1, 2}",
        # The job and its kwargs are two levels.
        "[" * 63 + "]" * 63,
    ],
)
def test_send_refuses_what_json_cannot_hold(
    server: AppServer, call: Call, value: str
) -> None:
    """saje.send() raises ValueError for what JSON can't hold, and queues nothing."""
    sent = send(server, call, value)
    with server.likely(NOT_REFUSED if sent["messages"] else NOT_RAISED):
        assert "ValueError" in sent["raised"]
        assert sent["messages"] == []


@pytest.mark.todo("3.2")
def test_send_takes_64_levels(server: AppServer, call: Call) -> None:
    """saje.send() takes a job that is nested 64 levels deep."""
    sent = send(server, call, "[" * 62 + "]" * 62)
    assert sent["raised"] == []
    assert len(sent["messages"]) == 1


@pytest.mark.todo("3.3")
def test_info_asks_for_the_client(server: AppServer) -> None:
    """The handler of GET /v1/info gets the client and reports its depth()."""
    server.until(lambda: server.info()["queue_depth"] == 0, "a depth of 0")
    reply = server.request("GET", "/v1/info", headers={"probe-depth": "42"})
    server.did = "GET /v1/info, while depth() of the injected client returns 42"
    with server.likely(ASK):
        assert reply.json["queue_depth"] == 42, reply


def post(server: AppServer, **headers: str) -> Reply:
    """POST a job."""
    chosen = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.request("POST", "/v1/job", BODY, headers=chosen)


@pytest.mark.todo("3.4")
def test_post_starts_a_job(server: AppServer) -> None:
    """POST /v1/job sends a job through the client, and then answers 202."""
    reply = post(server, probe_slow="yes")
    at_answer = server.logged("")
    cause = "the handler has to answer with status 202: the work is accepted, and not "
    cause += "yet done"
    if "type UUID" in at_answer or "UUID(" in at_answer:
        cause = "JSON has no form for a UUID, so send str(uuid4())"
    with server.likely(cause):
        assert reply.status == 202, reply
    with server.likely('the answer needs {"uid": uid, "task": "hello"}'):
        assert reply.json.keys() >= {"uid", "task"}, reply
        assert reply.json["task"] == "hello", reply
    uid = str(reply.json["uid"])
    with server.likely("say where to ask for the job later: Location: /v1/job/<uid>"):
        location = reply.headers.get("location")
        assert location == f"/v1/job/{uid}"
    log = server.logged("Hello, Ada.")
    greeters = [line.split()[0] for line in log.splitlines() if "Hello, Ada." in line]
    with server.likely("the handler does the work itself. It should only send the job"):
        assert greeters == ["SajeWorker"]
    sent = next((line for line in log.splitlines() if "Sent: " in line), "")
    with server.likely(
        "the handler doesn't send the job through the client. await saje.send(...)"
    ):
        assert "Sent: " in sent
    with server.likely("the answer names another uid than the job. Make one for both"):
        assert uid in sent
    with server.likely(
        "the answer goes out before the job is on the queue, so it may turn out wrong. "
        "await saje.send(), and then answer"
    ):
        assert "Sent: " in at_answer
    with server.likely(
        "the handler waits for the work before it answers. Answer as soon as the job "
        "is queued"
    ):
        assert "Goodbye, Ada." not in at_answer


@pytest.mark.todo("3.4")
def test_post_does_not_wait_for_the_worker(server: AppServer) -> None:
    """POST /v1/job is answered although the worker is paused."""
    (worker,) = server.worker_if_any()
    worker.suspend()
    try:
        server.until(
            lambda: worker.status() == psutil.STATUS_STOPPED, "a paused worker"
        )
        with server.likely(
            "the handler waits until the worker has taken the job or done it. Answer "
            "as soon as the job is queued"
        ):
            # The worker may have been about to take the first one.
            for _ in range(2):
                limit = 2 * server.slowness
                reply = server.request("POST", "/v1/job", BODY, timeout=limit)
                server.did += ", while the worker was paused"
                assert reply.status == 202, reply
    finally:
        worker.resume()


@pytest.mark.todo("3.4")
def test_each_job_has_a_uid_of_the_servers_own(server: AppServer) -> None:
    """The uid is a new uuid4() for each job, whatever the request says."""
    chosen = str(uuid.uuid4())
    replies = [post(server, x_request_id=chosen) for _ in range(3)]
    server.did += ", 3 times"
    for reply in replies:
        assert reply.status == 202, reply
    uids = [str(reply.json.get("uid")) for reply in replies]
    with server.likely("the uid is taken from the request. Make a new one: uuid4()"):
        assert chosen not in uids
    with server.likely("each job needs a uid of its own. Call uuid4() in the handler"):
        assert len(set(uids)) == 3, uids
    with server.likely("this isn't the text of a uuid4(), which nobody can guess"):
        for uid in uids:
            assert is_random(uid), uid
    reply = server.request("POST", "/v1/job", {**BODY, "uid": chosen})
    with server.likely("the uid is taken from the request. Make a new one: uuid4()"):
        # From step 04 on a job with a uid is refused.
        assert reply.status == 400 or reply.json["uid"] != chosen, reply


def is_random(uid: str) -> bool:
    """Return whether a text is a UUID of version 4, or 7 from step 06 on."""
    try:
        found = uuid.UUID(uid)
    except ValueError:
        return False
    return found.version in (4, 7) and str(found) == uid


@pytest.mark.todo("3.4")
def test_a_job_that_is_not_queued_is_not_accepted(server: AppServer) -> None:
    """If the job can't be queued, the answer is an error, and never 202."""
    reply = post(server)
    assert reply.status == 202, reply
    reply = post(server, probe_raises="ConnectionResetError")
    server.did += ", while saje.send() raises a ConnectionResetError"
    with server.likely(
        "202 promises that the job is queued, but saje.send() failed, or the handler "
        "didn't call it. await saje.send() and let its exception out"
    ):
        assert reply.status >= 500, reply
