"""/v1/job: the jobs of this application."""

from typing import Any
from uuid import UUID

from sanic import Blueprint, HTTPResponse, Request, json
from sanic.exceptions import BadRequest, NotFound, SanicException, ServiceUnavailable
from sanic.log import logger

from saje.backend import BacklogFull, KeyConflict
from saje.client import SajeClient
from saje.model import JobState
from saje.task import Task

bp = Blueprint("jobs", url_prefix="/v1/job")


class UnknownTask(SanicException):
    """The job asks for a task that this application doesn't offer."""

    status_code = 422
    quiet = True  # the client's mistake, so there is no traceback in our log


class KeyReused(SanicException):
    """The Idempotency-Key came with another job before."""

    status_code = 422
    quiet = True


class Conflict(SanicException):
    """The job is in a state that doesn't allow what is asked."""

    status_code = 409
    quiet = True


MAX_DELAY = 366 * 86_400
"""Seconds that a job may be delayed: a year."""

MAX_PRIORITY = 86_400
"""Seconds of a head start that a job may have: a day."""


def read_job(request: Request) -> dict[str, Any]:
    """Read what to run, and when, from the body of a request.

    Args:
        request: The request, with a body like
            `{"task": "hello", "kwargs": {"name": "Ada"}, "delay": 60}`, and possibly
            with a header `Idempotency-Key`.

    Returns:
        The job's definition, for `SajeClient.send`.

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
    if unknown := body.keys() - {"task", "kwargs", "delay", "priority"}:
        raise BadRequest(
            'A job has "task", "kwargs", and either "delay" or "priority". '
            f"Remove {sorted(unknown)}."
        )
    kwargs = body.get("kwargs", {})
    if not isinstance(kwargs, dict):
        raise BadRequest('"kwargs" must be a JSON object like {"name": "Ada"}.')
    task = body.get("task")
    if not isinstance(task, str) or task not in Task.registry:
        names = ", ".join(sorted(Task.registry))
        raise UnknownTask(f'"task" must be one of these: {names}.')
    delay = body.get("delay", 0)
    if type(delay) not in (int, float) or not 0 <= delay <= MAX_DELAY:
        raise BadRequest(f'"delay" must be seconds, from 0 to {MAX_DELAY}.')
    priority = body.get("priority", 0)
    if type(priority) not in (int, float) or not 0 <= priority <= MAX_PRIORITY:
        raise BadRequest(f'"priority" must be seconds, from 0 to {MAX_PRIORITY}.')
    if delay and priority:
        raise BadRequest('A job can have "delay" or "priority", but not both.')
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:
        raise BadRequest("An Idempotency-Key must have from 1 to 255 characters.")
    job = {"task": task, "kwargs": kwargs, "delay": delay, "priority": priority}
    return job | {"key": key}


def unavailable(error: OSError) -> ServiceUnavailable:
    """Return the exception that answers 503, and log what is wrong with the store."""
    logger.error("The store of the jobs can't be used: %s", error)
    return ServiceUnavailable(
        "The jobs can't be read or stored at the moment. Try again later.",
        quiet=True,
        headers={"Retry-After": "5"},  # seconds
    )


@bp.post("/")
async def start_job(request: Request, saje: SajeClient) -> HTTPResponse:
    """Accept a job and answer with its uid. The work runs in the worker."""
    job = read_job(request)
    try:
        uid = str(await saje.send(job))
    except ValueError as error:
        raise BadRequest(f'"kwargs" cannot be stored: {error}.') from error
    # TODO 12.5: if the key belongs to another job, it won't help to repeat the request.
    # So turn KeyConflict into KeyReused, and say in its message what the client has to
    # change.
    except BacklogFull as error:
        raise ServiceUnavailable(
            "Too many jobs are waiting. Try again later.",
            quiet=True,
            headers={"Retry-After": "1"},  # seconds
        ) from error
    except OSError as error:
        raise unavailable(error) from error
    return json(
        {"uid": uid, "task": job["task"]},
        status=202,
        headers={"Location": f"/v1/job/{uid}"},
    )


def read_page(request: Request) -> tuple[JobState | None, int, int | None]:
    """Read which jobs to list from the query of a request.

    Args:
        request: The request, with a query like `?state=failed&limit=20&after=117`.

    Returns:
        The state or None for all, how many jobs, and the cursor or None.

    Raises:
        BadRequest: A value can't be used, or a name is unknown (400).
    """
    query = dict(request.get_query_args(keep_blank_values=True))
    state, limit = query.pop("state", None), query.pop("limit", "50")
    after = query.pop("after", None)
    if query:
        raise BadRequest(f"Use state, limit and after, not {', '.join(query)}.")
    if state is not None and state not in list(JobState):
        raise BadRequest(f"state must be one of these: {', '.join(JobState)}.")
    if not (limit.isdecimal() and len(limit) <= 3 and 1 <= int(limit) <= 100):
        raise BadRequest("limit must be a number from 1 to 100.")
    if after is not None and not (after.isdecimal() and len(after) < 19):
        raise BadRequest('after must be the "next" of the page before.')
    return (
        JobState(state) if state else None,
        int(limit),
        int(after) if after else None,
    )


@bp.get("/")
async def list_jobs(request: Request, saje: SajeClient) -> HTTPResponse:
    """List jobs, newest first. `next` is the cursor of the next page."""
    page = read_page(request)
    try:
        jobs, after = await saje.page(*page)
    except OSError as error:
        raise unavailable(error) from error
    return json({"jobs": [details.to_dict() for details in jobs], "next": after})


@bp.get("/<uid:uuid>")
async def get_job(request: Request, uid: UUID, saje: SajeClient) -> HTTPResponse:
    """Answer with the details of a job, whether it is queued, running or ended."""
    try:
        details = await saje.fetch(uid)
    except OSError as error:
        raise unavailable(error) from error
    if details is None:
        raise NotFound(f"There is no job {uid}. Check the uid that POST returned.")
    return json(details.to_dict())


@bp.delete("/<uid:uuid>")
async def cancel_job(request: Request, uid: UUID, saje: SajeClient) -> HTTPResponse:
    """Cancel a job that waits, or ask for the end of one that runs."""
    try:
        state = await saje.cancel(uid)
    except OSError as error:
        raise unavailable(error) from error
    if state is None:
        raise NotFound(f"There is no job {uid}. Check the uid that POST returned.")
    if state not in (JobState.QUEUED, JobState.RUNNING):
        raise Conflict(f"The job is {state} already, so it can't be cancelled.")
    state_now = "cancelled" if state == JobState.QUEUED else "cancelling"
    return json({"uid": str(uid), "state": state_now}, status=202)


@bp.post("/<uid:uuid>/retry")
async def retry_job(request: Request, uid: UUID, saje: SajeClient) -> HTTPResponse:
    """Run a job again that is failed or dead, with all of its tries."""
    try:
        done, details = await saje.retry(uid), await saje.fetch(uid)
    except OSError as error:
        raise unavailable(error) from error
    if details is None:
        raise NotFound(f"There is no job {uid}. Check the uid that POST returned.")
    if not done:
        raise Conflict(
            f"Only a failed or dead job can be retried. This one is {details.state}."
        )
    return json({"uid": str(uid), "task": details.task}, status=202)
