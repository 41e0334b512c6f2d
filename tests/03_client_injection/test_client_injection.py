"""Step 03: a client for every handler that asks for it."""

import json
import re
import uuid

import pytest
from app_server import AppServer, shown


@pytest.mark.todo("3.1")
def test_a_handler_gets_the_client(server: AppServer) -> None:
    """A handler that asks for `saje: SajeClient` gets it, in every server."""
    for reply in server.each_server("/probe/client").values():
        server.did = "a handler with the parameter `saje: SajeClient`, in each server"
        got = str(reply.get("type", reply))
        got = got.replace("NoneType", "nothing: no such type is registered")
        server.expect(got == "SajeClient", "a SajeClient", got)


@pytest.mark.todo("3.1")
def test_a_server_has_one_client(server: AppServer) -> None:
    """All requests of one server get the same client."""
    found: dict[int, set[str]] = {}
    for _ in range(4):
        for pid, reply in server.each_server("/probe/client").items():
            got = reply.get("type", reply)
            server.expect(got == "SajeClient", "a SajeClient", got)
            found.setdefault(pid, set()).add(reply["id"])
    got = f"clients by pid: { {pid: len(ids) for pid, ids in found.items()} }"
    cause = "a client is made for each request: make it once, in before_server_start"
    one = all(len(ids) == 1 for ids in found.values())
    server.expect(one, "one client in each server", got, cause)


@pytest.mark.todo("3.2")
@pytest.mark.parametrize("as_text", [False, True], ids=["dictionary", "string"])
def test_send_puts_a_job_on_the_queue(server: AppServer, as_text: bool) -> None:
    """saje.send() takes a job as a dictionary or as JSON text; the worker runs it."""
    name = f"Sender {as_text}"
    kwargs = {"name": name, "seconds": 0}
    job = {"task": "hello", "uid": str(uuid.uuid4()), "kwargs": kwargs}
    server.send(json.dumps(job) if as_text else job)
    server.logged(f"Goodbye, {name}.")


@pytest.mark.todo("3.2")
def test_send_refuses_what_is_no_json(server: AppServer) -> None:
    """saje.send() raises ValueError for what JSON cannot hold, such as NaN."""
    job = {"task": "hello", "uid": str(uuid.uuid4()), "kwargs": {"seconds": "NaN"}}
    reply = server.request("POST", "/probe/send-nan", {"job": job})
    server.did = "await saje.send(...) with a kwarg that is float('nan')"
    cause = "pass the dictionary through encode(), and let its ValueError out"
    raised = reply.json().get("raised")
    server.expect(raised == "ValueError", "ValueError", raised or "no error", cause)


@pytest.mark.todo("3.3")
def test_info_asks_for_the_client(server: AppServer) -> None:
    """The handler of GET /v1/info gets the client and reports the depth."""
    depth = server.info()["queue_depth"]
    server.expect(depth == 0, "queue_depth 0", depth)
    text = (server.app / "app" / "info.py").read_text(encoding="utf-8")
    server.did = "read app/info.py"
    for name in ("shared_ctx", "app.ctx"):
        got = f"it still reaches for {name}"
        server.expect(name not in text, "it asks for the client", got)


@pytest.mark.todo("3.4")
def test_post_starts_a_job(server: AppServer) -> None:
    """POST /v1/job sends a job, answers 202 with its uid, and the worker runs it."""
    body = {"task": "hello", "kwargs": {"name": "Ada"}}
    reply = server.request("POST", "/v1/job", body, headers={"probe-slow": "yes"})
    log_at_answer = server.output()[server.begun :]
    cause = None
    if "Object of type UUID" in log_at_answer:
        cause = "app/jobs.py: JSON has no form for a UUID: send str(uuid4())"
    server.expect(reply.status_code == 202, "202 Accepted", shown(reply), cause)
    uid = str(reply.json().get("uid"))
    is_uuid = re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uid)
    server.expect(is_uuid, "its uid, of uuid4()", shown(reply))
    server.expect(reply.json().get("task") == "hello", "its task", shown(reply))
    location = reply.headers.get("location")
    got = location or "no Location"
    server.expect(location == f"/v1/job/{uid}", f"Location: /v1/job/{uid}", got)
    log = server.logged("Hello, Ada.")
    line = next(line for line in log.splitlines() if "Hello, Ada." in line)
    cause = "the handler does the work itself: it should only send the job"
    right = line.startswith("SajeWorker ")
    server.expect(right, "the worker, not the server, greets", line, cause)
    cause = "the handler does not send the job through the client: await saje.send()"
    sent = next((line for line in log.splitlines() if "Sent: " in line), None)
    server.expect(sent, "a job sent by saje.send()", server.end_of_log(), cause)
    cause = "the answer names a uid that is not the job's: make one, for both"
    server.expect(uid in sent, f"the uid {uid} in the job", sent, cause)
    cause = "the answer goes out before the job is on the queue, and may be wrong: "
    cause += "await saje.send(), then answer"
    early = "Sent: " in log_at_answer
    server.expect(early, "sent, then answered", "answered, then sent", cause)
    # Of three requests, one server answers two.
    uids = [uid]
    for _ in range(2):
        uids.append(server.request("POST", "/v1/job", body).json().get("uid"))
    cause = "each job has a uid of its own: call uuid4() in the handler"
    server.expect(len(set(uids)) == 3, "three uids for three jobs", uids, cause)
