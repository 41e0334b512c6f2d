"""/v1/job: the jobs of this application."""

from typing import Any
from uuid import uuid4

from sanic import Blueprint, HTTPResponse, Request, json
from sanic.exceptions import BadRequest, SanicException

from saje.client import SajeClient
from saje.task import Task

bp = Blueprint("jobs", url_prefix="/v1/job")


class UnknownTask(SanicException):
    """The job asks for a task that this application doesn't offer."""

    status_code = 422
    quiet = True  # the client's mistake, so there is no traceback in our log


def read_job(request: Request) -> tuple[str, dict[str, Any]]:
    """Read the task and its arguments from the body of a request.

    Args:
        request: The request, with a body like
            `{"task": "hello", "kwargs": {"name": "Ada"}}`.

    Returns:
        The name of a registered task, and its keyword arguments.

    Raises:
        BadRequest: The body isn't a JSON object of that form (400).
        UnknownTask: There is no such task (422).
    """
    # TODO 4.2: check the body from the outside in, and let each message tell the client
    # what to change. BadRequest: the content type isn't application/json (in any case;
    # parameters such as a charset are fine, and so is no content type at all), the body
    # isn't an object, it has other keys than task and kwargs, or kwargs isn't an object
    # (if it is missing, take an empty one). UnknownTask: the task isn't registered.
    # That message lists the tasks, because the client can't know them.
    task, kwargs = request.json["task"], request.json["kwargs"]
    return task, kwargs


@bp.post("/")
async def start_job(request: Request, saje: SajeClient) -> HTTPResponse:
    """Accept a job and answer with its uid. The work runs in the worker."""
    task, kwargs = read_job(request)
    uid = str(uuid4())
    # TODO 4.2: send() raises ValueError for kwargs that JSON can't hold, such as NaN.
    # That is the client's mistake, and not ours: BadRequest.
    await saje.send({"task": task, "uid": uid, "kwargs": kwargs})
    return json(
        {"uid": uid, "task": task},
        status=202,
        headers={"Location": f"/v1/job/{uid}"},
    )
