"""/v1/job: the jobs of this application."""

from uuid import uuid4

from sanic import Blueprint, HTTPResponse, Request, json

from saje.client import SajeClient

bp = Blueprint("jobs", url_prefix="/v1/job")


@bp.post("/")
async def start_job(request: Request, saje: SajeClient) -> HTTPResponse:
    """Accept a job and answer with its uid. The work runs in the worker."""
    uid = str(uuid4())
    await saje.send({"task": "hello", "uid": uid, "kwargs": {"name": "Ada"}})
    return json(
        {"uid": uid, "task": "hello"},
        status=202,
        headers={"Location": f"/v1/job/{uid}"},
    )
