"""/v1/job: the jobs of this application."""

# TODO 3.4: import uuid4 from uuid.

from sanic import Blueprint, HTTPResponse, Request, text  # TODO 3.4: and json

# TODO 3.4: import SajeClient from saje.client.

bp = Blueprint("jobs", url_prefix="/v1/job")


@bp.post("/")
# TODO 3.4: ask for the client.
async def start_job(request: Request) -> HTTPResponse:
    """Accept a job and answer with its uid. The work runs in the worker."""
    # TODO 3.4: send a job for the task "hello" with the kwargs {"name": "Ada"} and a
    # new uid, as text. When it is on the queue, answer 202 with the uid and the task.
    # 202 means that the work was accepted, and that it isn't done yet, so also say
    # where to ask for it later, in the header Location: /v1/job/ and then the uid.
    return text("There is no way to start a job yet.", status=501)
