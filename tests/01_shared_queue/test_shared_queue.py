"""Step 01: two Sanic workers share one queue."""

import pytest
from app_server import AppServer


@pytest.mark.todo("1.1")
def test_every_server_has_the_queue(server: AppServer) -> None:
    """Every server finds a Manager's queue on app.shared_ctx.saje_queue."""
    for reply in server.each_server("/probe/queue").values():
        got = f"{reply['type']}" + (" (one is on app.ctx)" if reply["on_ctx"] else "")
        server.expect(reply["type"] == "AutoProxy[Queue]", "a Manager().Queue()", got)


@pytest.mark.todo("1.2")
def test_info_reports_the_depth(server: AppServer) -> None:
    """GET /v1/info reports the same depth of the queue from every server."""
    replies = server.each_server("/v1/info")
    depths = {pid: reply["queue_depth"] for pid, reply in replies.items()}
    server.expect(set(depths.values()) == {0}, "queue_depth 0 from both", depths)


@pytest.mark.todo("1.2")
def test_what_one_server_puts_the_other_sees(server: AppServer) -> None:
    """A message that one server puts on the queue is counted by both."""
    workers = server.get("/v1/info").json()["workers"]
    held = [server.worker()] if any("SajeWorker" in name for name in workers) else []
    for process in held:
        process.suspend()  # it would take the messages
    try:
        for _ in range(5):
            server.put("a message of the test, and no job")

        def depths() -> list[int]:
            return [r["queue_depth"] for r in server.each_server("/v1/info").values()]

        # A suspended worker may have been about to take one of the five.
        got = depths()
        server.expect(got[0] in (4, 5) and got[0] == got[1], "both report 5", got)
    finally:
        for process in held:
            process.resume()
