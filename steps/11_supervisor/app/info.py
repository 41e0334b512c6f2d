"""GET /v1/info: which process answered, and what runs beside it."""

from sanic import Blueprint, HTTPResponse, Request, __version__, json

from saje.client import SajeClient

bp = Blueprint("info", url_prefix="/v1")


@bp.get("/info")
async def info(request: Request, saje: SajeClient) -> HTTPResponse:
    """Report on this process, the queue and every process that Sanic manages."""
    this = request.app.m
    return json(
        {
            "sanic": __version__,
            "process": this.name,
            "pid": this.pid,
            "queue_depth": saje.depth(),
            "workers": {
                name: {
                    "pid": worker.get("pid"),
                    "state": worker.get("state"),
                    # TODO 11.7: an app that keeps repairing itself looks healthy, so
                    # add how many "restarts" there were. Sanic counts the "starts".
                }
                for name, worker in this.workers.items()
            },
        }
    )
