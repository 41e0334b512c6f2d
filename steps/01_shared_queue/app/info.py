"""GET /v1/info: which process answered, and what runs beside it."""

from sanic import Blueprint, HTTPResponse, Request, __version__, json

bp = Blueprint("info", url_prefix="/v1")


@bp.get("/info")
async def info(request: Request) -> HTTPResponse:
    """Report on this process, the queue and every process that Sanic manages."""
    this = request.app.m
    return json(
        {
            "sanic": __version__,
            "process": this.name,
            "pid": this.pid,
            "queue_depth": None,  # TODO 1.2: the number of items on the shared queue
            "workers": {
                name: {"pid": worker.get("pid"), "state": worker.get("state")}
                for name, worker in this.workers.items()
            },
        }
    )
