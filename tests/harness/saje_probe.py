"""The learner's app, with routes through which a test sees inside its processes."""

import os
from contextlib import suppress

import server
from sanic import Blueprint, HTTPResponse, Request, Sanic, json

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


@bp.post("/settle")
async def settle(request: Request) -> HTTPResponse:
    """Ask the main process for what it has: it logs so once it listens."""
    request.app.m.scale(2)
    return json({})


def create_app() -> Sanic:
    """Build the learner's application and add the probe to it."""
    app = server.create_app()
    app.blueprint(bp)
    with suppress(ImportError):
        from saje.client import SajeClient

        # A default, and yet the plain type: so that a handler for which nothing is
        # registered can say so.
        async def client(
            request: Request,
            saje: SajeClient = None,  # type: ignore[assignment]
        ) -> HTTPResponse:
            return json({"type": type(saje).__name__})

        async def send(
            request: Request,
            saje: SajeClient = None,  # type: ignore[assignment]
        ) -> HTTPResponse:
            await saje.send(request.json["job"])
            return json({})

        # Each app builds its own: the annotation must be the app's class.
        app.add_route(client, "/probe/client")
        app.add_route(send, "/probe/send", methods=["POST"])
    return app
