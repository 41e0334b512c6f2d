"""/v1/job: the jobs of this application."""

from typing import Any
from uuid import uuid4

from sanic import Blueprint, HTTPResponse, Request, json
from sanic.exceptions import BadRequest, SanicException

from saje.client import SajeClient
from saje.task import Task

bp = Blueprint("jobs", url_prefix="/v1/job")


class UnknownTask(SanicException):
    """The job asks for a task that this application does not offer."""

    status_code = 422
    quiet = True  # the client's mistake: no traceback in our log


def read_job(request: Request) -> tuple[str, dict[str, Any]]:
    """Take the task's name and its arguments from the body of a request.

    Args:
        request: The request, with a body such as
            `{"task": "hello", "kwargs": {"name": "Ada"}}`.

    Returns:
        The name of a registered task, and its keyword arguments.

    Raises:
        BadRequest: The body is not a JSON object of that form (400).
        UnknownTask: There is no such task (422).
    """
    # TODO 4.2: refuse what is no job, and say what to change.
    return "hello", {"name": "Ada"}


@bp.post("/")
async def start_job(request: Request, saje: SajeClient) -> HTTPResponse:
    """Accept a job and answer with its uid; the work runs in the worker."""
    task, kwargs = read_job(request)
    uid = str(uuid4())
    # TODO 4.2: what encode() refuses, send() raises as a ValueError: answer 400.
    await saje.send({"task": task, "uid": uid, "kwargs": kwargs})
    return json(
        {"uid": uid, "task": task},
        status=202,
        headers={"Location": f"/v1/job/{uid}"},
    )
