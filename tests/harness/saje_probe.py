"""The learner's app, with routes through which a test sees inside its processes."""

import asyncio
import faulthandler
import os
import signal
from contextlib import suppress
from copy import copy
from functools import cache, wraps
from typing import Any
from uuid import UUID, uuid4

from sanic import Blueprint, HTTPResponse, Request, Sanic, json
from sanic.exceptions import SanicException
from sanic.log import logger

if hasattr(signal, "SIGUSR1"):  # Windows has none.
    # For an app that does not come up, which may be due to the import that follows.
    faulthandler.register(signal.SIGUSR1, all_threads=False)

import server

bp = Blueprint("probe", url_prefix="/probe")


@bp.get("/pid")
async def pid(request: Request) -> HTTPResponse:
    """Tell which process this is."""
    return json({"pid": os.getpid()})


@bp.get("/queue")
async def queue(request: Request) -> HTTPResponse:
    """Tell what shared_ctx.saje_queue is, and how much it holds."""
    found = getattr(request.app.shared_ctx, "saje_queue", None)
    size = None
    with suppress(Exception):
        size = found.qsize()
    return json(
        {
            "type": type(found).__name__,
            "size": size,
            "on_ctx": hasattr(request.app.ctx, "saje_queue"),
        }
    )


@bp.post("/queue")
async def put(request: Request) -> HTTPResponse:
    """Put the text of the body on the queue."""
    request.app.shared_ctx.saje_queue.put_nowait(request.body.decode())
    return json({})


@bp.get("/tasks")
async def tasks(request: Request) -> HTTPResponse:
    """Name the registered tasks."""
    from saje.task import Task

    return json(sorted(Task.registry))


@cache
def backend(file: str) -> Any:
    """Return this process's FileBackend on a file."""
    from saje.backend import FileBackend

    return FileBackend(file)


class SlowDisk:
    """A backend that takes its time to store."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    async def store(self, uid: UUID, *args: Any, **changes: Any) -> None:
        """Wait, then store."""
        await asyncio.sleep(0.3)
        await self.backend.store(uid, *args, **changes)
        logger.info("Stored %s.", uid)


@bp.post("/store")
async def store(request: Request) -> HTTPResponse:
    """Record a change of a job."""
    from saje.model import JobState

    body = request.json
    state = JobState(body.pop("state"))
    await backend(body.pop("file")).store(UUID(body.pop("uid")), state, **body)
    return json({})


@bp.post("/fetch")
async def fetch(request: Request) -> HTTPResponse:
    """Answer with what a file has of a job, or null."""
    details = await backend(request.json["file"]).fetch(UUID(request.json["uid"]))
    return json({"pid": os.getpid(), "details": details and details.to_dict()})


@bp.post("/recover")
async def recover(request: Request) -> HTTPResponse:
    """Mark as failed what a file has that did not end; answer how many there were."""
    return json({"undone": await backend(request.json["file"]).recover()})


@bp.post("/settle")
async def settle(request: Request) -> HTTPResponse:
    """Ask the main process for what it has: it logs so once it listens."""
    request.app.m.scale(2)
    return json({})


@bp.post("/restart")
async def restart(request: Request) -> HTTPResponse:
    """Ask Sanic to restart the worker."""
    request.app.m.restart("Sanic-SajeWorker-0")
    return json({})


def log_what_is_sent(client: Any) -> None:
    """Log each job once SajeClient.send() is through with it.

    For a request with the header ``probe-slow`` that takes a while: whoever does not
    wait for it is found out.
    """
    original = client.send

    @wraps(original)
    async def send(self: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
        with suppress(SanicException):  # there is no request
            if "probe-slow" in Request.get_current().headers:
                await asyncio.sleep(0.3)
        result = await original(self, job, *args, **kwargs)
        logger.info("Sent: %s", job)
        return result

    client.send = send


def create_app() -> Sanic:
    """Build the learner's application and add the probe to it."""
    app = server.create_app()
    app.blueprint(bp)
    with suppress(ImportError):
        from saje.client import SajeClient

        log_what_is_sent(SajeClient)

        # A default, and yet the plain type: so that a handler for which nothing is
        # registered can say so.
        async def client(
            request: Request,
            saje: SajeClient = None,  # type: ignore[assignment]
        ) -> HTTPResponse:
            if saje is not None and not hasattr(saje, "probe_id"):
                saje.probe_id = str(uuid4())
            found = getattr(saje, "probe_id", None)
            return json({"type": type(saje).__name__, "id": found})

        async def send(
            request: Request,
            saje: SajeClient = None,  # type: ignore[assignment]
        ) -> HTTPResponse:
            await saje.send(request.json["job"])
            return json({})

        async def send_nan(
            request: Request,
            saje: SajeClient = None,  # type: ignore[assignment]
        ) -> HTTPResponse:
            job = request.json["job"]
            job["kwargs"]["seconds"] = float("nan")
            try:
                await saje.send(job)
            except Exception as error:
                return json({"raised": type(error).__name__})
            return json({})

        async def send_slowly(
            request: Request,
            saje: SajeClient = None,  # type: ignore[assignment]
        ) -> HTTPResponse:
            saje = copy(saje)
            saje.backend = SlowDisk(saje.backend)
            await saje.send(request.json["job"])
            return json({})

        async def ask(
            request: Request,
            saje: SajeClient = None,  # type: ignore[assignment]
        ) -> HTTPResponse:
            details = await saje.fetch(UUID(request.json["uid"]))
            return json({"details": details and details.to_dict()})

        # Each app builds its own: the annotation must be the app's class.
        app.add_route(client, "/probe/client")
        app.add_route(send, "/probe/send", methods=["POST"])
        app.add_route(send_nan, "/probe/send-nan", methods=["POST"])
        app.add_route(send_slowly, "/probe/send-slowly", methods=["POST"])
        app.add_route(ask, "/probe/ask", methods=["POST"])
    return app
