"""GET /v1/info: which process answered, and what runs beside it."""

from sanic import Blueprint, HTTPResponse, Request, __version__, json

# TODO 3.3: import SajeClient from saje.client.

bp = Blueprint("info", url_prefix="/v1")


@bp.get("/info")
# TODO 3.3: ask for the client, so that this handler need not know where the queue is.
async def info(request: Request) -> HTTPResponse:
    """Report on this process, the queue and every process that Sanic manages."""
    this = request.app.m
    return json(
        {
            "sanic": __version__,
            "process": this.name,
            "pid": this.pid,
            # TODO 3.3: take the number of waiting jobs from the client.
            "queue_depth": request.app.shared_ctx.saje_queue.qsize(),
            "workers": {
                name: {"pid": worker.get("pid"), "state": worker.get("state")}
                for name, worker in this.workers.items()
            },
        }
    )
