"""Step 01: two Sanic workers share one queue."""

import psutil
import pytest
from app_server import AppServer

MORE = (
    "something else puts messages on it. Is the lesson's line that puts one there "
    "still in app/info.py?"
)


@pytest.mark.todo("1.1")
def test_every_server_has_the_queue(server: AppServer) -> None:
    """Every server finds a Manager's queue on app.shared_ctx.saje_queue."""
    for reply in server.each_server("/probe/queue").values():
        server.did = "type(app.shared_ctx.saje_queue), in each server"
        cause = "the queue has another name, or none at all"
        if reply["on_ctx"]:
            cause = "it is on app.ctx, which belongs to one process"
        elif reply["type"] != "NoneType":
            cause = "only a Manager's Queue() is the same queue for every process"
        with server.likely(cause):
            assert reply["type"] == "AutoProxy[Queue]"
        server.did = "app.shared_ctx.saje_queue.qsize(), in each server"
        with server.likely("the process of the Manager that made it has ended"):
            assert reply["raised"] is None


@pytest.mark.todo("1.2")
def test_info_reports_the_depth(server: AppServer) -> None:
    """GET /v1/info reports a depth of 0 from every server while nothing waits."""
    for reply in server.each_server("/v1/info").values():
        depth = reply.get("queue_depth", reply)
        cause = "queue_depth isn't the number that qsize() returns"
        with server.likely(MORE if isinstance(depth, int) and depth > 1 else cause):
            assert depth == 0


@pytest.mark.todo("1.2")
def test_what_one_server_puts_the_other_sees(server: AppServer) -> None:
    """A message that one server puts on the queue is counted by both."""
    held = server.worker_if_any()
    for process in held:
        process.suspend()  # it would take the messages
    stopped = {psutil.STATUS_STOPPED}
    server.until(lambda: {p.status() for p in held} <= stopped, "a worker that waits")
    try:
        for _ in range(5):
            server.put("a message of the test, and not a job")
        replies = server.each_server("/v1/info").values()
        depths = [reply.get("queue_depth", reply) for reply in replies]
        server.did = f"put 5 messages on the queue, then {server.did}"
        cause = "queue_depth has to come from the shared queue's qsize()"
        if any(isinstance(depth, int) and depth > 5 for depth in depths):
            cause = MORE
        # A suspended worker may have been about to take one of the five.
        with server.likely(cause):
            assert depths[0] == depths[1]
            assert depths[0] in range(5 - len(held), 6)
    finally:
        for process in held:
            process.resume()
