"""/v1/job: the jobs of this application."""

# TODO 3.4: import uuid4 from uuid, json from sanic, and SajeClient.
from sanic import Blueprint, HTTPResponse, Request
from sanic.exceptions import SanicException

bp = Blueprint("jobs", url_prefix="/v1/job")


@bp.post("/")
# TODO 3.4: ask for the client: saje: SajeClient.
async def start_job(request: Request) -> HTTPResponse:
    """Accept a job and answer with its uid; the work runs in the worker."""
    # TODO 3.4: make a uid, send the job {"task": "hello", "uid": uid, "kwargs":
    # {"name": "Ada"}}, and answer 202 with the uid and the task as JSON, and
    # with the header Location: /v1/job/<uid>.
    raise SanicException("POST /v1/job is not written yet.", status_code=501)
