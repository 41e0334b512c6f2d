"""/v1/job: the jobs of this application."""

from typing import Any
from uuid import uuid4  # TODO 5.5: and UUID

from sanic import Blueprint, HTTPResponse, Request, json
from sanic.exceptions import (  # TODO 5.5: and NotFound
    BadRequest,
    SanicException,
    ServiceUnavailable,
)
from sanic.log import logger

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
    kind = request.headers.get("content-type", "application/json")
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise BadRequest("Send the job as JSON, with 'Content-Type: application/json'.")
    body = request.json
    if not isinstance(body, dict):
        raise BadRequest('The body must be a JSON object: {"task": ..., "kwargs": {}}.')
    if unknown := body.keys() - {"task", "kwargs"}:
        raise BadRequest(f'A job has "task" and "kwargs". Remove {sorted(unknown)}.')
    kwargs = body.get("kwargs", {})
    if not isinstance(kwargs, dict):
        raise BadRequest('"kwargs" must be a JSON object like {"name": "Ada"}.')
    task = body.get("task")
    if not isinstance(task, str) or task not in Task.registry:
        names = ", ".join(sorted(Task.registry))
        raise UnknownTask(f'"task" must be one of these: {names}.')
    return task, kwargs


@bp.post("/")
async def start_job(request: Request, saje: SajeClient) -> HTTPResponse:
    """Accept a job and answer with its uid. The work runs in the worker."""
    task, kwargs = read_job(request)
    uid = str(uuid4())
    try:
        await saje.send({"task": task, "uid": uid, "kwargs": kwargs})
    except ValueError as error:
        raise BadRequest(f'"kwargs" cannot be stored: {error}.') from error
    except (EOFError, OSError) as error:
        logger.error("Job %s was refused: %r", uid, error)
        raise ServiceUnavailable(
            "The job could not be stored. Try again later.",
            headers={"Retry-After": "5"},  # seconds
        ) from error
    return json(
        {"uid": uid, "task": task},
        status=202,
        headers={"Location": f"/v1/job/{uid}"},
    )


# TODO 5.5: answer GET /v1/job/<uid> with the details of the job. Let the route match
# only a UUID, because nothing else can be one of ours. A job that nobody knows is
# NotFound, with a message that names its uid, and not an empty answer.
